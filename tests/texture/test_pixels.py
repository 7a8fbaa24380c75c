import numpy as np
import pytest
from skimage import data
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from texture_scenes import NAMES, painted_mosaic

from napari_convfact.foundation.job import run
from napari_convfact.texture.bank_learning import learn_bank
from napari_convfact.texture.pixel_features import pixel_features_job
from napari_convfact.texture.pixels import classify_pixels, classify_pixels_job


@pytest.fixture(scope="module")
def scene():
    return painted_mosaic(0, 128, 0.01)


def test_a_little_paint_segments_a_mosaic_better_than_basic_features():
    gains = []
    for seed in range(3):
        image, truth, paint = painted_mosaic(seed, 160)
        rest = paint == 0
        basic = multiscale_basic_features(image)
        forest = RandomForestClassifier(100, random_state=0).fit(basic[~rest], paint[~rest])
        theirs = np.mean(forest.predict(basic[rest]) == truth[rest])
        ours = np.mean(classify_pixels(image, paint)[rest] == truth[rest])
        gains.append(ours - theirs)
    assert np.mean(gains) >= 0.25


@pytest.mark.parametrize(
    "features", [("local",), ("residual",), ("gabor",), ("local", "intensity")]
)
def test_each_kind_of_feature_can_be_used(scene, features):
    image, truth, paint = scene
    dense = classify_pixels(image, paint, features, n_trees=30)
    assert dense.shape == image.shape
    assert dense.dtype == np.int32
    assert np.mean(dense == truth) > 0.6


def test_probabilities_are_in_the_order_of_the_labels(scene):
    image, _, paint = scene
    renamed = np.choose(paint, [0, 40, 7, 12])
    dense, shares = classify_pixels(image, renamed, n_trees=20, probabilities=True)
    assert shares.shape == (3, *image.shape)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(np.array([7, 12, 40])[shares.argmax(axis=0)], dense)


def test_known_feature_maps_are_not_computed_again(scene):
    image, _, paint = scene
    computed = run(pixel_features_job(image, ("local",)))
    steps = []
    again = run(classify_pixels_job(image, paint, n_trees=10, computed=computed), steps.append)
    assert {step.message for step in steps} == {"Growing trees", "Classifying pixels"}
    np.testing.assert_array_equal(
        again.labels, classify_pixels(image, paint, ("local",), n_trees=10)
    )
    assert sum(again.importances.values()) == pytest.approx(1)
    assert set(again.importances) == set(computed.names)


def test_a_bank_from_elsewhere_can_be_used(scene):
    image, truth, paint = scene
    bank = learn_bank([getattr(data, name)() for name in NAMES], 6, radius=1)
    dense = classify_pixels(image, paint, ("residual",), bank=bank, n_trees=30)
    assert np.mean(dense == truth) > 0.7


def test_pixels_without_a_value_have_no_label(scene):
    image, _, paint = scene
    holes = image.copy()
    holes[3:6, 3:9] = np.nan
    dense = classify_pixels(holes, paint, ("local",), n_trees=10)
    assert (dense[3:6, 3:9] == 0).all()
    assert (dense == 0).sum() == 18


def test_channels_have_features_of_their_own(scene):
    image, _, paint = scene
    colour = np.stack([image, image[::-1], image.T], axis=-1)
    computed = run(pixel_features_job(colour, ("local",), channel_axis=-1))
    assert computed.maps.shape == (3 * 18, *image.shape)
    assert len(set(computed.names)) == 54
    dense = classify_pixels(colour, paint, ("local",), channel_axis=-1, n_trees=5)
    assert dense.shape == image.shape


def test_volumes_can_be_segmented():
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(16, 32, 32))
    volume[:, :, 16:] = np.repeat(rng.normal(size=(16, 32, 8)), 2, axis=2)
    paint = np.zeros(volume.shape, int)
    paint[8, 10:20, 6:9] = 1
    paint[8, 10:20, 24:27] = 2
    dense = classify_pixels(volume, paint, ("local",), sigma=2, n_trees=30)
    assert np.mean(dense[:, :, :13] == 1) > 0.9
    assert np.mean(dense[:, :, 19:] == 2) > 0.9


def test_it_can_be_cancelled(scene):
    job = classify_pixels_job(scene[0], scene[2])
    for _ in range(3):
        next(job)
    job.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"features": ("haralick",)}, "features must be some of"),
        ({"features": ()}, "features must be some of"),
        ({"sigma": 0}, "sigma must be positive"),
        ({"n_trees": 0}, "n_trees must be"),
        ({"sparse_labels": np.zeros((5, 5), int)}, "labels' shape"),
        ({"sparse_labels": np.ones((128, 128), int)}, "at least two labels"),
        ({"sparse_labels": np.ones((128, 128))}, "whole numbers"),
        ({"sparse_labels": np.eye(128, dtype=np.int64) * 2**33 + 1}, "Labels go up to"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(scene, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        classify_pixels(**{"image": scene[0], "sparse_labels": scene[2], **arguments})


@pytest.mark.parametrize("hidden", [1, 2])
def test_paint_where_the_image_has_no_values_teaches_nothing(hidden):
    image = np.random.default_rng(0).standard_normal((32, 32))
    paint = np.zeros(image.shape, int)
    paint[:4, :4], paint[-4:, -4:] = 1, 2
    image[(paint > 0) & (paint <= hidden)] = np.nan
    with pytest.raises(ValueError, match="where the image has values"):
        classify_pixels(image, paint, ("intensity",), n_trees=5)


def test_where_there_is_no_value_there_is_no_probability(scene):
    image, _, paint = scene
    image = np.array(image, dtype=np.float32)
    image[40:44, 50:60] = np.nan
    dense, shares = classify_pixels(image, paint, n_trees=10, probabilities=True)
    holes = np.isnan(image)
    assert not dense[holes].any()
    assert np.isnan(shares[:, holes]).all()
    np.testing.assert_allclose(shares[:, ~holes].sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("features", [("local", "gabor"), ("residual", "intensity")])
def test_a_large_offset_changes_no_features_but_the_mean(scene, features):
    image = np.asarray(scene[0], dtype=np.float64)
    image = (image - image.mean()) / image.std()
    expected = run(pixel_features_job(image, features, seed=1))
    found = run(pixel_features_job(image + 1e7, features, seed=1))
    shift = np.array([1e7 * (name == "intensity: mean") for name in found.names])
    maps = found.maps - shift[:, None, None]
    rough = np.where(shift == 0, 2e-3, 1.0)  # float32 at 1e7
    assert (np.abs(maps - expected.maps).max(axis=(1, 2)) <= rough).all()


def test_small_images_learn_a_bank_of_their_own():
    image = np.random.default_rng(0).normal(size=(40, 40))
    paint = np.zeros((40, 40), int)
    paint[:3], paint[-3:] = 1, 2
    assert classify_pixels(image, paint, ("residual",), n_trees=3).shape == (40, 40)


def test_an_image_that_is_too_thin_for_local_models_is_refused_in_a_sentence():
    image, paint = np.ones((8, 40)), np.eye(8, 40, dtype=int)
    paint[0, 0] = 2
    with pytest.raises(ValueError, match="at least 9 pixels along each axis"):
        classify_pixels(image, paint)


def test_a_channel_axis_that_is_not_there_is_refused_in_a_sentence(scene):
    with pytest.raises(ValueError, match="channel_axis is 5"):
        classify_pixels(scene[0], scene[2], channel_axis=5)
