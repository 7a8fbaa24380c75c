"""Images go to files and come back with their voxel size, complete or not at all."""

import numpy as np
import pytest
import tifffile

from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import read_image, write_image
from napari_convfact.storage.formats import open_image


@pytest.fixture
def volume():
    data = np.random.default_rng(0).random((5, 6, 7), dtype=np.float32)
    return SpatialImage(data, "cells", (0.125, 0.022, 0.022), ("um",) * 3, ("z", "y", "x"))


def test_tiff_keeps_values_voxel_size_and_provenance(volume, tmp_path):
    path = write_image(tmp_path / "a.tif", volume, provenance={"operation": "deconvolve"})
    again = read_image(path)
    np.testing.assert_array_equal(again.data, volume.data)
    assert again.scale == pytest.approx(volume.scale)
    assert again.units == volume.units
    assert again.axis_labels == volume.axis_labels
    with tifffile.TiffFile(path) as file:
        assert '"operation": "deconvolve"' in file.ome_metadata.replace("&quot;", '"')


def test_time_and_channels_keep_their_place(tmp_path):
    data = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    movie = SpatialImage(
        data, "movie", (2.0, 1, 0.1, 0.1), ("s", "pixel", "um", "um"), ("t", "c", "y", "x")
    )
    again = read_image(write_image(tmp_path / "movie.tif", movie))
    np.testing.assert_array_equal(again.data, data)
    assert again.axis_labels == ("t", "c", "y", "x")
    assert again.scale == (2.0, 1.0, 0.1, 0.1)
    assert again.units == ("s", "pixel", "um", "um")


def test_axes_that_ome_does_not_know_are_kept(tmp_path):
    data = np.zeros((2, 3, 5, 6), np.float32)
    bank = SpatialImage(data, "bank", axis_labels=("scale", "orientation", "y", "x"))
    assert read_image(write_image(tmp_path / "bank.tif", bank)).data.shape == data.shape


def test_colour_stays_colour(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    again = read_image(write_image(tmp_path / "rgb.tif", SpatialImage(data, "rgb", rgb=True)))
    assert again.rgb
    assert again.ndim == 2
    np.testing.assert_array_equal(again.data, data)


def test_slides_with_smaller_pictures_are_opened_at_full_size(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    options = {"photometric": "rgb", "tile": (64, 64)}
    with tifffile.TiffWriter(tmp_path / "slide.tif") as file:
        file.write(data, subifds=1, **options)
        file.write(data[::2, ::2], subfiletype=1, **options)
    slide = open_image(tmp_path / "slide.tif")
    assert slide.rgb
    assert slide.data.chunks == (64, 64, 3)
    np.testing.assert_array_equal(slide.data[10:90, 70:], data[10:90, 70:])


def test_imagej_files_give_their_voxel_size(shared_data):
    beads = read_image(shared_data / "confocal_grid" / "Bead_Image1_crop.tif")
    assert beads.scale == pytest.approx((0.125, 0.0225, 0.0225), abs=1e-4)
    assert beads.units == ("um", "um", "um")


def test_numpy_files_come_back(volume, tmp_path):
    again = read_image(write_image(tmp_path / "a.npy", volume))
    np.testing.assert_array_equal(again.data, volume.data)
    assert not again.calibrated


def test_an_existing_file_is_not_replaced_unasked(volume, tmp_path):
    path = write_image(tmp_path / "a.tif", volume)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="exists already"):
        write_image(path, volume)
    assert path.read_bytes() == before
    write_image(path, volume, overwrite=True)


def test_a_failed_write_leaves_no_file(volume, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError("No space left on device")

    monkeypatch.setitem(write_image.__globals__["_WRITERS"], ".tif", full)
    with pytest.raises(OSError, match="No space"):
        write_image(tmp_path / "a.tif", volume)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["picture.jpg", "archive.h5", "noending"])
def test_unknown_kinds_are_refused_with_the_known_ones(name, tmp_path, volume):
    with pytest.raises(ValueError, match=r"\.tif, \.tiff, \.npy"):
        read_image(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.tif, \.tiff, \.npy"):
        write_image(tmp_path / name, volume)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no file .*missing\.tif"):
        read_image(tmp_path / "missing.tif")


@pytest.mark.parametrize("name", ["broken.tif", "broken.npy"])
def test_a_broken_file_is_one_sentence(name, tmp_path):
    (tmp_path / name).write_bytes(b"not an image at all")
    with pytest.raises(ValueError, match=rf"{name} cannot be read"):
        read_image(tmp_path / name)


def test_a_pickle_in_a_numpy_file_is_refused(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_image(tmp_path / "evil.npy")
