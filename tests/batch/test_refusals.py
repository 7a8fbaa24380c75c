"""Runs that cannot be are refused in a sentence, and leave nothing behind."""

import numpy as np
import pytest

import napari_convfact as cf

IMAGE = np.random.default_rng(0).random((60, 70)).astype(np.float32)
PSF = np.full((3, 3), 1 / 9)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGE + 1j, "The image is complex: pass its magnitude"),
        (IMAGE[:0], "The image is empty: its shape is"),
        (IMAGE.astype(str), "numbers are needed"),
    ],
)
def test_what_is_no_image(image, message, tmp_path):
    output = tmp_path / "a.ome.zarr"
    for run in (cf.run_operation, lambda *request: cf.run_in_tiles(*request, output)):
        with pytest.raises(ValueError, match=message):
            run("deconvolve", {"image": image, "psf": PSF})
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0), (1, 2, 3), (1.0, 2), "1/2"])
def test_what_is_no_shard(shard, tmp_path):
    with pytest.raises(ValueError, match="The shard must be two whole numbers"):
        cf.run_in_tiles(
            "convolve", {"image": IMAGE}, tmp_path / "a.ome.zarr", shard=shard, kind="sobel"
        )
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_is_not_there(tmp_path):
    output = tmp_path / "results" / "a.ome.zarr"
    with pytest.raises(ValueError, match="results"):
        cf.run_in_tiles("convolve", {"image": IMAGE}, output, kind="sobel")
