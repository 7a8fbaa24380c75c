import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
from skimage import data

from napari_convfact.foundation.job import Step, run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.operations import classify_pixels, texture
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.texture_parameters import ClassifyPixels, Texture
from napari_convfact.texture.classifier import TextureClassifier
from napari_convfact.texture.maps import residual_maps
from napari_convfact.texture.pixel_classifier import PixelClassifier
from napari_convfact.texture.pixels import classify_pixels as public_classify_pixels


@pytest.fixture(scope="module")
def picture():
    left, right = data.brick()[:96, :64], data.grass()[:96, :64]
    return SpatialImage(np.concatenate([left, right], axis=1), "wall", scale=(0.5, 0.5))


def results_of(operation, inputs, parameters):
    found = run(operation.OPERATION.job(inputs, parameters))
    for result in found:
        json.dumps(dict(result.summary))  # the provenance record is JSON
    return {result.name: result for result in found}


@pytest.mark.parametrize("name", ["bank_file", "table_file", "model_file"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(picture, tmp_path, name):
    where = {name: str(tmp_path / "nowhere" / "file.npz")}
    paint = SpatialImage(np.zeros(picture.data.shape, int), "paint")
    operation, parameters = (
        (classify_pixels, ClassifyPixels(**where))
        if name == "model_file"
        else (texture, Texture(**where))
    )
    with pytest.raises(ValueError, match="does not exist: make it first"):
        operation.OPERATION.plan({"image": picture, "labels": paint}, parameters)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        (texture, Texture(bank="file", file="none.npz")),
        (classify_pixels, ClassifyPixels(model="none")),
        (classify_pixels, ClassifyPixels(residual=True, file="none.npz")),
    ],
)
def test_a_file_that_is_not_there_is_said_before_the_work(picture, operation, parameters):
    paint = SpatialImage(np.zeros(picture.data.shape, int), "paint")
    with pytest.raises(ValueError, match=r"no file none\.npz: choose another"):
        operation.OPERATION.plan({"image": picture, "labels": paint}, parameters)


def test_a_bank_is_learned_mapped_and_shown(picture):
    parameters = Texture(n_kernels=4, predictability=True, residual=True)
    results = results_of(texture, {"image": picture}, parameters)
    assert list(results) == [
        "wall energies",
        "wall assignment",
        "wall novelty",
        "wall residuals",
        "wall predictability",
        "texture bank mosaic",
        "texture bank kernels",
    ]
    bank = KernelBank(results["texture bank kernels"].data)
    assert bank.kernels.shape == (4, 5, 5)
    expected = residual_maps(picture.data, bank)
    np.testing.assert_array_equal(results["wall energies"].data, expected)
    best = results["wall assignment"]
    assert best.kind == "labels"
    assert set(np.unique(best.data)) <= {1, 2, 3, 4}
    assert results["wall predictability"].data.shape == (1, 96, 128)
    table = results["texture bank kernels"].summary["table"]
    assert len(table["rows"]) == 1
    assert len(table["rows"][0]) == len(table["columns"])
    assert results["wall novelty"].summary["explained"] > 0.8


def test_one_kernel_is_no_kernels(picture):
    parameters = Texture(n_kernels=1, table=False, mosaic=False, kernel_stack=False)
    summary = results_of(texture, {"image": picture}, parameters)["wall novelty"].summary
    share = f"{100 * summary['explained']:.1f}"
    assert summary["message"] == f"1 kernel explains {share} % of the variance."


def test_a_learned_bank_is_applied_again_from_a_file_and_from_a_layer(picture, tmp_path):
    only = {"assignment": False, "novelty": False, "mosaic": False, "table": False}
    learned = results_of(
        texture,
        {"image": picture},
        Texture(n_kernels=3, bank_file=str(tmp_path / "bank.npz"), **only),
    )
    expected = learned["wall energies"].data
    kernels = SpatialImage(learned["texture bank kernels"].data, "bank")
    from_file = results_of(
        texture,
        {"image": picture},
        Texture(bank="file", file=str(tmp_path / "bank.npz"), kernel_stack=False, **only),
    )
    from_layer = results_of(
        texture, {"image": picture, "kernels": kernels}, Texture(kernel_stack=False, **only)
    )
    np.testing.assert_array_equal(from_file["wall energies"].data, expected)
    np.testing.assert_array_equal(from_layer["wall energies"].data, expected)


def test_regions_get_a_table_on_a_copy_of_their_labels(picture, tmp_path):
    regions = np.zeros((96, 128), np.uint8)
    regions[:, :60] = 2
    regions[10:80, 70:120] = 9
    labels = SpatialImage(regions, "cells")
    parameters = Texture(
        n_kernels=2, log_energy=False, novelty=False, table_file=str(tmp_path / "t.csv")
    )
    results = results_of(texture, {"image": picture, "labels": labels}, parameters)
    copy = results["cells features"]
    assert copy.kind == "labels"
    assert copy.data is not regions
    features = copy.display["features"]
    assert features["index"].tolist() == [2, 9]
    written = pd.read_csv(tmp_path / "t.csv")
    assert written["label"].tolist() == [2, 9]
    assert copy.summary["table"]["columns"] == list(written.columns)


def test_planes_of_a_stack_are_images_of_their_own(picture):
    stack = SpatialImage(np.stack([picture.data, picture.data[::-1]]), "movie")
    results = results_of(texture, {"image": stack}, Texture(n_kernels=2))
    assert results["movie energies"].data.shape == (2, 2, 96, 128)
    assert results["movie novelty"].data.shape == (2, 96, 128)
    assert len(results["texture bank kernels"].summary["table"]["rows"]) == 2


def test_volumes_have_three_dimensional_kernels():
    volume = SpatialImage(np.random.default_rng(0).normal(size=(12, 34, 33)), "volume")
    results = results_of(texture, {"image": volume}, Texture(n_kernels=1, radius=1, ndim=3))
    assert results["texture bank kernels"].data.shape == (1, 3, 3, 3)
    assert results["texture bank mosaic"].data.shape == (3, 3, 3)


def test_colour_images_are_described_by_their_luminance():
    image = SpatialImage(data.astronaut()[:64, :64], "face", rgb=True)
    results = results_of(texture, {"image": image}, Texture(n_kernels=2))
    assert results["face novelty"].data.shape == (64, 64)
    assert "luminance" in results["face novelty"].summary["colour"]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"bank": "file"}, "No bank file"),
        ({"bank": "layer"}, "No kernel layer"),
        ({"dilations": "1 0"}, "dilations must be"),
        ({"ndim": 3}, "2 axes"),
        (
            dict.fromkeys(
                ("log_energy", "assignment", "novelty", "mosaic", "kernel_stack", "table"), False
            ),
            "tick at least one",
        ),
    ],
)
def test_the_plan_says_why_a_run_is_not_possible(picture, parameters, sentence):
    with pytest.raises(ValueError, match=sentence):
        texture.plan({"image": picture}, Texture(**parameters))


def test_the_plan_says_what_a_run_does(picture):
    plan = texture.plan({"image": picture}, Texture())
    assert "Learns a bank" in plan.text
    assert plan.memory > picture.data.size * 4 * 16


def test_paint_becomes_a_segmentation(picture):
    paint = np.zeros((96, 128), np.uint8)
    paint[40:50, 20:30] = 1
    paint[40:50, 100:110] = 5
    inputs = {"image": picture, "labels": SpatialImage(paint, "paint")}
    parameters = ClassifyPixels(gabor=False, n_trees=20, probabilities=True)
    results = results_of(classify_pixels, inputs, parameters)
    classes = results["wall classes"]
    assert classes.kind == "labels"
    truth = np.where(np.arange(128) < 64, 1, 5)
    assert np.mean(classes.data == truth) > 0.9
    assert results["wall probabilities"].data.shape == (2, 96, 128)
    assert set(classes.summary["shares"]) == {"1", "5"}
    assert classes.summary["painted (%)"] == pytest.approx(100 * 200 / (96 * 128), abs=1e-4)


def test_paint_on_one_plane_segments_all_of_them(picture):
    stack = np.stack([picture.data, picture.data[:, ::-1]])
    paint = np.zeros(stack.shape, np.uint8)
    paint[0, 40:50, 20:30] = 1
    paint[0, 40:50, 100:110] = 2
    inputs = {"image": SpatialImage(stack, "movie"), "labels": SpatialImage(paint, "paint")}
    parameters = ClassifyPixels(gabor=False, residual=True, n_trees=20)
    classes = results_of(classify_pixels, inputs, parameters)["movie classes"].data
    truth = np.where(np.arange(128) < 64, 1, 2)
    assert np.mean(classes[1] == truth[::-1]) > 0.8


def test_colours_have_features_of_their_own():
    image = data.astronaut()[:48, :48]
    paint = np.zeros((48, 48), np.uint8)
    paint[5:10, 5:10], paint[30:35, 30:35] = 1, 2
    inputs = {"image": SpatialImage(image, "face", rgb=True), "labels": SpatialImage(paint, "p")}
    parameters = ClassifyPixels(local=False, gabor=False, intensity=True, n_trees=5)
    results = results_of(classify_pixels, inputs, parameters)
    assert results["face classes"].summary["message"] == "2 classes by 6 features."


def test_paint_must_lie_on_the_image(picture):
    inputs = {"image": picture, "labels": SpatialImage(np.ones((5, 5), np.uint8), "paint")}
    with pytest.raises(ValueError, match="make labels in the image's shape"):
        classify_pixels.plan(inputs, ClassifyPixels())
    with pytest.raises(ValueError, match="tick at least one"):
        classify_pixels.plan({**inputs}, ClassifyPixels(local=False, gabor=False))


def test_both_jobs_can_be_cancelled(picture):
    paint = SpatialImage(np.eye(96, 128, dtype=np.uint8), "paint")
    for operation, parameters in ((texture, Texture()), (classify_pixels, ClassifyPixels())):
        job = operation.OPERATION.job({"image": picture, "labels": paint}, parameters)
        assert isinstance(next(job), Step)
        job.close()


def test_the_recorded_table_keeps_small_numbers(picture):
    dim = SpatialImage(picture.data * 1e-9, "dim")
    only = {"assignment": False, "novelty": False, "mosaic": False, "kernel_stack": False}
    record = results_of(texture, {"image": dim}, Texture(n_kernels=2, **only))
    table = record["dim energies"].summary["table"]
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    own = {name: value for name, value in row.items() if name.endswith(" mse")}
    assert len(own) == 2
    maps = record["dim energies"].data
    for value, energy in zip(own.values(), maps, strict=True):
        # Windows of pixels near an edge count its mirror image.
        assert value == pytest.approx(np.exp(energy).mean(), rel=0.05, abs=0)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (Texture(table=False, table_file="t.csv"), "tick the feature table"),
        (Texture(table_file="t.parquet"), r"written as \.csv"),
    ],
)
def test_a_table_file_that_would_not_hold_the_table_is_refused(picture, parameters, sentence):
    with pytest.raises(ValueError, match=sentence):
        texture.OPERATION.plan({"image": picture}, parameters)


@pytest.mark.parametrize("rgb", [False, True])
def test_the_operation_and_the_function_classify_alike(rgb):
    rng = np.random.default_rng(0)
    values = scipy.ndimage.gaussian_filter(rng.normal(size=(64, 64, 3)), (1, 1, 0))
    values[5:9, 40:44] = np.nan
    values = values if rgb else values[..., 0]
    paint = np.zeros((64, 64), int)
    paint[:10, :10], paint[50:, 50:] = 1, 2
    inputs = {"image": SpatialImage(values, "a", rgb=rgb), "labels": SpatialImage(paint, "p")}
    parameters = ClassifyPixels(local=False, gabor=False, residual=True, n_trees=5, seed=3)
    theirs = results_of(classify_pixels, inputs, parameters)["a classes"].data
    axis = -1 if rgb else None
    ours = public_classify_pixels(
        values, paint, ("residual",), channel_axis=axis, n_trees=5, seed=3
    )
    np.testing.assert_array_equal(theirs, ours)


def test_the_recorded_table_keeps_every_digit_of_a_label(picture):
    labels = np.where(np.arange(128) < 64, 2**31 - 1, 123456789) * np.ones((96, 1), int)
    inputs = {"image": picture, "labels": SpatialImage(labels, "walls")}
    table = results_of(texture, inputs, Texture(n_kernels=1))["walls features"].summary["table"]
    assert table["columns"][:2] == ["image", "label"]
    assert [row[:2] for row in table["rows"]] == [[0, 123456789], [0, 2**31 - 1]]


@pytest.fixture
def painted(picture, tmp_path):
    """The path of a classifier that was painted on the picture."""
    paint = np.zeros(picture.data.shape, int)
    paint[:9, :9], paint[-9:, -9:] = 1, 2
    path = tmp_path / "walls.npz"
    parameters = ClassifyPixels(local=False, gabor=False, intensity=True, n_trees=2)
    inputs = {"image": picture, "labels": SpatialImage(paint, "paint")}
    results_of(classify_pixels, inputs, replace(parameters, model_file=str(path)))
    return path


def test_a_classifier_of_other_features_is_refused(picture, painted):
    classifier = PixelClassifier.load(painted)
    replace(classifier, names=classifier.names[::-1]).save(painted)
    with pytest.raises(ValueError, match="made in another way"):
        results_of(classify_pixels, {"image": picture}, ClassifyPixels(model=str(painted)))


@pytest.mark.parametrize(
    ("load", "lost"),
    [
        (PixelClassifier.load, "n_trees"),
        (KernelBank.load, "dilations"),
        (TextureClassifier.load, "parameters"),
    ],
)
def test_an_archive_of_another_version_is_refused_in_a_sentence(painted, tmp_path, load, lost):
    bank = KernelBank(np.zeros((1, 3, 3))).save(tmp_path / "bank")
    patches = np.random.default_rng(0).normal(size=(4, 16, 16))
    model = TextureClassifier(1, dilations=(1,)).fit(patches, [0, 1, 0, 1])
    saved = {
        "n_trees": painted,
        "dilations": bank,
        "parameters": model.save(tmp_path / "model"),
    }
    with np.load(saved[lost]) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays["header"]))
    del header[lost]
    np.savez(saved[lost], **{**arrays, "header": np.array(json.dumps(header))})
    with pytest.raises(ValueError, match=f"another version, without '{lost}'"):
        load(saved[lost])


def test_local_models_alone_learn_no_bank():
    flat = SpatialImage(np.zeros((32, 32)), "flat")  # of which nothing can be learned
    off = dict.fromkeys((*texture.MAPS, "mosaic", "kernel_stack", "table"), False)
    (result,) = run(texture.OPERATION.job({"image": flat}, Texture(predictability=True, **off)))
    assert not result.data.any()
    assert "kernels" not in result.summary


@pytest.mark.parametrize("bank", ["learn", "gabor"])
def test_a_flat_image_has_no_texture_to_learn(bank):
    flat = SpatialImage(np.ones((3, 64, 64)), "flat")
    with pytest.raises(ValueError, match="no texture to learn"):
        run(texture.OPERATION.job({"image": flat}, Texture(bank=bank, n_kernels=4)))


def test_paint_that_lies_on_no_value_is_said_to_be_left_out(picture):
    values = picture.data.astype(np.float32)
    values[:20] = np.nan
    paint = np.zeros(values.shape, int)
    paint[:5], paint[40:50, :20], paint[40:50, 90:] = 7, 2, 3
    inputs = {"image": SpatialImage(values, "a"), "labels": SpatialImage(paint, "p")}
    parameters = ClassifyPixels(local=False, gabor=False, intensity=True, n_trees=2)
    summary = results_of(classify_pixels, inputs, parameters)["a classes"].summary
    assert summary["left out"] == "Painted only where the image has no value: 7."


def test_a_frame_without_any_value_changes_nothing_in_the_others(picture):
    frames = np.stack([picture.data, picture.data[::-1]]).astype(np.float32)
    holed = np.insert(frames, 1, np.nan, axis=0)
    parameters = Texture(n_kernels=2, predictability=True)
    expected = results_of(texture, {"image": SpatialImage(frames, "a")}, parameters)
    found = results_of(texture, {"image": SpatialImage(holed, "a")}, parameters)
    for name in ("a energies", "a novelty", "a assignment", "a predictability"):
        values = np.moveaxis(found[name].data, -3, 0)
        empty = 0 if name == "a assignment" else np.nan
        np.testing.assert_array_equal(values[1], np.full_like(values[1], empty))
        others = np.moveaxis(values[[0, 2]], 0, -3)
        np.testing.assert_array_equal(others, expected[name].data)
    rows = found["texture bank kernels"].summary["table"]["rows"]
    same = expected["texture bank kernels"].summary["table"]["rows"]
    assert [row[0] for row in rows] == [0, 1, 2]
    assert set(rows[1][1:]) == {None}
    assert [rows[0][1:], rows[2][1:]] == [row[1:] for row in same]


def test_a_frame_without_any_value_has_no_class_and_no_row(picture):
    frames = np.stack([picture.data, picture.data[::-1]]).astype(np.float32)
    holed = np.insert(frames, 1, np.nan, axis=0)
    paint = np.zeros(holed.shape, int)
    paint[0, :20, :20], paint[2, :20, 90:], paint[1, 5, 5] = 1, 2, 1
    inputs = {"image": SpatialImage(holed, "a"), "labels": SpatialImage(paint, "p")}
    parameters = ClassifyPixels(gabor=False, residual=True, probabilities=True, n_trees=3)
    found = results_of(classify_pixels, inputs, parameters)
    assert not found["a classes"].data[1].any()
    assert found["a classes"].data[[0, 2]].all()
    assert np.isnan(found["a probabilities"].data[:, 1]).all()
    table = results_of(texture, inputs, Texture(n_kernels=1))["p features"].summary["table"]
    assert [row[:2] for row in table["rows"]] == [[0, 1], [2, 2]]
