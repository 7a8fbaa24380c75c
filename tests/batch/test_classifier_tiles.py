"""A classifier that was painted on a part classifies large images in tiles as in memory."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from tests.batch.tile_cases import in_memory, in_tiles, limit, request

from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.run import tiled_job
from napari_convfact.foundation.job import run
from napari_convfact.operations.operation import SpatialImage

LOCAL = {"local": True, "gabor": False, "sigma": 2.0, "n_trees": 10}
RESIDUAL = {**LOCAL, "local": False, "residual": True}


def two_textures(shape, seed=0):
    """Return white noise on the left and correlated noise on the right, of one variance."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = scipy.ndimage.gaussian_filter(noise, 1.0)
    left = np.arange(shape[-1]) < shape[-1] // 2
    return np.where(left, noise, smooth / smooth.std()).astype(np.float32) + 5


def saved(folder, **parameters):
    """Paint on a small image and return the classifier's file."""
    paint = np.zeros((96, 128), np.uint8)
    paint[30:60, 10:40], paint[30:60, 90:120] = 3, 7
    inputs = {"image": SpatialImage(two_textures((96, 128)), "part"), "labels": SpatialImage(paint)}
    file = folder / "classifier.npz"
    in_memory("classify-pixels", inputs, model_file=str(file), **parameters)
    return file


@pytest.mark.parametrize(
    "features", [LOCAL, RESIDUAL, {**RESIDUAL, "local": True, "intensity": True}]
)
def test_classes_and_probabilities_are_those_of_the_whole(features, tmp_path):
    file = saved(tmp_path, **features)
    inputs = {"image": SpatialImage(two_textures((550, 700), seed=1), "noise")}
    parameters = {"model": str(file), "probabilities": True}
    (classes, shares), manifest = in_tiles("classify-pixels", inputs, tmp_path, 80, **parameters)
    assert len(manifest.plan.tiling) > 1
    whole_classes, whole_shares = in_memory("classify-pixels", inputs, **parameters)
    assert set(np.unique(whole_classes)) == {3, 7}
    assert np.mean(whole_classes == np.where(np.arange(700) < 350, 3, 7)) > 0.9
    # Trees compare with thresholds: round-off moves a pixel of a hundred thousand across one.
    assert np.mean(classes != whole_classes) < 1e-4
    assert np.mean(np.abs(shares - whole_shares) > 1e-6) < 1e-3


def test_waves_have_a_long_reach_and_short_tails(tmp_path):
    file = saved(tmp_path, **{**LOCAL, "local": False, "gabor": True})
    inputs = {"image": SpatialImage(two_textures((200, 2400), seed=1), "noise")}
    (classes,), manifest = in_tiles("classify-pixels", inputs, tmp_path, 260, model=str(file))
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("classify-pixels", inputs, model=str(file))
    assert np.mean(classes != whole) < 1e-3


def test_every_image_of_a_stack_is_classified_as_alone(tmp_path):
    file = saved(tmp_path, **RESIDUAL)
    stack = np.stack([two_textures((130, 140), seed=s) * (s + 1) for s in range(3)])
    inputs = {"image": SpatialImage(stack, "movie")}
    (classes,), manifest = in_tiles("classify-pixels", inputs, tmp_path, 96 + 12, model=str(file))
    assert len(manifest.plan.tiling) == 3
    (whole,) = in_memory("classify-pixels", inputs, model=str(file))
    np.testing.assert_array_equal(classes, whole)


def test_paint_alone_is_not_enough_for_tiles(tmp_path):
    image = SpatialImage(two_textures((550, 700)), "noise")
    paint = SpatialImage(np.eye(550, 700, dtype=np.uint8), "paint")
    job = request("classify-pixels", {"image": image, "labels": paint}, tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="by a saved classifier: paint and run on a part"):
        run(prepare_job(job, limit(80)))


def test_a_run_keeps_to_the_classifier_that_it_began_with(tmp_path):
    file = saved(tmp_path, **LOCAL)
    inputs = {"image": SpatialImage(two_textures((550, 700)), "noise")}
    job = request("classify-pixels", inputs, tmp_path / "a.zarr", model=str(file))
    unfinished = tiled_job(job, limit(80))
    for step in unfinished:
        if step.done:
            break
    unfinished.close()
    saved(tmp_path, **{**LOCAL, "n_trees": 11})
    with pytest.raises(ValueError, match="another classifier than the run was begun with"):
        run(tiled_job(job, replace(limit(80), resume=True)))
