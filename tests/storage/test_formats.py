"""Images go to files and come back with their voxel size, complete or not at all."""

import os

import numpy as np
import pytest
import tifffile

from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import read_image, write_image
from napari_convfact.storage.formats import check_output, open_image


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


@pytest.mark.parametrize(
    ("unit", "short"), [("nanometer", "nm"), ("micrometer", "um"), ("millimeter", "mm"), ("m", "m")]
)
def test_units_in_the_viewers_words_are_kept(unit, short, tmp_path):
    units = ("second", unit, unit)
    movie = SpatialImage(np.zeros((2, 5, 6), np.float32), "a", (3, 2, 4), units, ("t", "y", "x"))
    again = read_image(write_image(tmp_path / "a.tif", movie))
    assert again.units == ("s", short, short)
    assert again.scale == (3, 2, 4)


def test_voxel_sizes_without_a_unit_are_kept(tmp_path):
    # As of OME-Zarr images whose axes have a scale and no unit.
    image = SpatialImage(np.zeros((4, 5, 6), np.float32), "a", (3, 1, 0.5), (), ("z", "y", "x"))
    again = read_image(write_image(tmp_path / "a.tif", image))
    assert again.units == ("pixel",) * 3
    assert again.scale == (3, 1, 0.5)


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


def test_channels_of_a_hyperstack_come_before_space(tmp_path):
    # ImageJ stores the channels of a stack behind z: the last three axes would not be space.
    data = np.random.default_rng(0).integers(0, 99, (2, 5, 3, 6, 7)).astype(np.uint16)
    path = tmp_path / "hyperstack.tif"
    tifffile.imwrite(
        path, data, imagej=True, metadata={"axes": "TZCYX", "unit": "um", "spacing": 3}
    )
    image, lazy = read_image(path), open_image(path)
    expected = np.moveaxis(data, 2, 1)
    np.testing.assert_array_equal(image.data, expected)
    assert image.axis_labels == lazy.axis_labels == ("t", "c", "z", "y", "x")
    assert image.scale[2] == lazy.scale[2] == 3
    np.testing.assert_array_equal(np.asarray(lazy.data), expected)
    for part in (1, (1, 2), (0, 1, slice(1, 4), slice(0, 2)), (slice(0, 1), 2, 3), ()):
        np.testing.assert_array_equal(lazy.data[part], expected[part])
    again = read_image(write_image(tmp_path / "again.tif", image))
    np.testing.assert_array_equal(again.data, expected)


def test_samples_of_a_pixel_that_are_no_colours_come_before_space(tmp_path):
    data = np.random.default_rng(0).random((6, 7, 5)).astype(np.float32)
    path = tmp_path / "spectral.tif"
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read_image(path).data, np.moveaxis(data, -1, 0))


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


def test_a_folder_is_not_replaced_by_a_file(volume, tmp_path):
    folder = tmp_path / "results.tif"
    folder.mkdir()
    (folder / "kept.txt").touch()
    with pytest.raises(ValueError, match="is a folder"):
        write_image(folder, volume, overwrite=True)
    assert (folder / "kept.txt").exists()


def test_a_folder_that_cannot_be_written_to_is_named_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda _path, mode: not mode & os.W_OK)  # as for a user
    with pytest.raises(ValueError, match="cannot be written to"):
        check_output(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("shape", "labels", "dtype"),
    [
        ((2, 2, 2, 2, 4, 4), ("scale", "t", "c", "z", "y", "x"), np.float32),
        ((9,), ("x",), np.float32),
        ((4, 4), ("y", "x"), np.int64),
    ],
)
def test_what_tiff_has_no_room_for_is_one_sentence(shape, labels, dtype, tmp_path):
    image = SpatialImage(np.zeros(shape, dtype), axis_labels=labels)
    with pytest.raises(ValueError, match=r"no room .*\.npy"):
        write_image(tmp_path / "a.tif", image)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    ("before", "after"), [(b"</Pixels>", b"</Pixelz>"), (b"\x78\x9c", b"\x78\x00")]
)
def test_a_damaged_tiff_is_one_sentence(before, after, volume, tmp_path):
    path = write_image(tmp_path / "damaged.tif", volume)
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))
    with pytest.raises(ValueError, match=r"damaged\.tif cannot be read"):
        read_image(path)


def test_a_damaged_numpy_file_is_one_sentence(volume, tmp_path):
    path = write_image(tmp_path / "damaged.npy", volume)
    path.write_bytes(path.read_bytes().replace(b"}", b" ", 1))
    with pytest.raises(ValueError, match=r"damaged\.npy cannot be read"):
        read_image(path)


def test_a_tiff_whose_first_page_is_nowhere_is_damaged(tmp_path):
    (tmp_path / "cut.tif").write_bytes(b"II*\0garbage")
    with pytest.raises(ValueError, match=r"cut\.tif cannot be read: it is damaged"):
        read_image(tmp_path / "cut.tif")


def test_a_single_number_is_no_image(tmp_path):
    np.save(tmp_path / "number.npy", np.array(3.0))
    with pytest.raises(ValueError, match="single number"):
        read_image(tmp_path / "number.npy")


def test_a_pickle_in_a_numpy_file_is_refused(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_image(tmp_path / "evil.npy")


def test_a_folder_is_not_an_image(tmp_path):
    with pytest.raises(ValueError, match="is a folder: name a file in it"):
        read_image(tmp_path)
