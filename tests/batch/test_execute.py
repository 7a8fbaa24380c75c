"""Runs in tiles from a script."""

import numpy as np
import pytest
from tests.batch.tile_cases import WIENER, limit

import napari_convfact as cf
from napari_convfact.cli import main


def test_it_gives_the_numbers_of_the_engine(files, uninterrupted, tmp_path):
    paths = {name: image.path for name, image in files.items()}
    steps = []
    found = cf.run_in_tiles(
        "deconvolve",
        paths,
        tmp_path / "a.ome.zarr",
        memory_limit=limit(4).memory_limit,
        on_step=steps.append,
        **WIENER,
    )
    assert found == [tmp_path / "a.ome.zarr"]
    assert steps[-1].done == steps[-1].total > 3
    result = cf.open_image(found[0])
    assert result.scale == files["image"].scale
    np.testing.assert_array_equal(result.data[:], uninterrupted)


def test_arrays_and_shards(files, uninterrupted, tmp_path):
    inputs = {name: np.asarray(image.data) for name, image in files.items()}
    options = {"memory_limit": limit(4).memory_limit, **WIENER}
    output = str(tmp_path / "a.ome.zarr")
    assert cf.run_in_tiles("deconvolve", inputs, output, shard=(1, 2), **options) == []
    (path,) = cf.run_in_tiles("deconvolve", inputs, output, shard=(2, 2), **options)
    np.testing.assert_array_equal(cf.open_image(path).data[:], uninterrupted)


def test_what_is_wrong_is_said(files, tmp_path):
    with pytest.raises(ValueError, match="deconvolve has no input 'kernel'"):
        cf.run_in_tiles("deconvolve", {"kernel": files["psf"]}, tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="no file"):
        cf.run_in_tiles("deconvolve", {"image": "no.tif", "psf": files["psf"]}, "a.zarr")
    with pytest.raises(ValueError, match="factorize"):
        cf.run_in_tiles("factorize", {"kernel": np.ones((5, 5))}, tmp_path / "a.zarr")
    assert main(["status", str(tmp_path / "a.zarr")]) == 2
