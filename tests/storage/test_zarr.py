"""OME-Zarr: written as the standard says, read whichever version, never a shared shard."""

import numpy as np
import pytest
import zarr
from ome_zarr_models import open_ome_zarr

from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import read_image, write_image
from napari_convfact.storage.zarr_axes import StoredAxes
from napari_convfact.storage.zarr_files import read_levels, read_provenance
from napari_convfact.storage.zarr_pyramid import (
    Pyramid,
    block_mean,
    create_pyramid,
    default_shard,
    plan_levels,
)


@pytest.fixture
def volume():
    data = np.random.default_rng(0).random((5, 600, 7), dtype=np.float32)
    return SpatialImage(data, "cells", (0.5, 0.25, 0.125), ("um",) * 3, ("z", "y", "x"))


def test_values_voxel_size_and_provenance_come_back(volume, tmp_path):
    path = write_image(tmp_path / "a.ome.zarr", volume, provenance={"operation": "deconvolve"})
    again = read_image(path)
    np.testing.assert_array_equal(np.asarray(again.data), volume.data)
    assert (again.scale, again.units, again.axis_labels) == (
        volume.scale, volume.units, volume.axis_labels
    )  # fmt: skip
    assert again.name == "a"
    assert read_provenance(path) == {"operation": "deconvolve"}


def test_it_is_valid_ome_zarr(volume, tmp_path):
    path = write_image(tmp_path / "a.ome.zarr", volume)
    image = open_ome_zarr(zarr.open_group(path, mode="r"))
    assert image.ome_zarr_version == "0.5"
    assert type(image).__name__ == "Image"
    (multiscale,) = image.attributes.ome.multiscales
    assert [axis.name for axis in multiscale.axes] == ["z", "y", "x"]
    assert [axis.unit for axis in multiscale.axes] == ["micrometer"] * 3
    assert len(multiscale.datasets) == 2


def test_coarser_levels_are_means_that_lie_where_their_blocks_do(volume, tmp_path):
    path = write_image(tmp_path / "a.ome.zarr", volume)
    fine, coarse = read_levels(path)
    expected = volume.data.reshape(5, 300, 2, 7).mean(axis=2)
    np.testing.assert_allclose(coarse[:], expected, rtol=1e-6)
    assert fine.shape == (5, 600, 7)
    level = zarr.open_group(path).attrs["ome"]["multiscales"][0]["datasets"][1]
    scale, translation = level["coordinateTransformations"]
    assert scale["scale"] == [0.5, 0.5, 0.125]
    assert translation["translation"] == [0, 0.125, 0]


def test_several_channel_axes_become_one(tmp_path):
    data = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.uint16).reshape(2, 3, 4, 5, 6)
    labels = ("scale", "orientation", "t", "y", "x")
    stack = SpatialImage(
        data, "energy", (1, 1, 2.0, 0.1, 0.1), ("pixel",) * 2 + ("s", "um", "um"), labels
    )
    path = write_image(tmp_path / "energy.zarr", stack)
    again = read_image(path)
    assert again.axis_labels == ("t", "c", "y", "x")
    assert again.scale == (2.0, 1.0, 0.1, 0.1)
    np.testing.assert_array_equal(again.data[:], np.moveaxis(data.reshape(6, 4, 5, 6), 1, 0))
    open_ome_zarr(zarr.open_group(path, mode="r"))


def test_colour_becomes_a_channel(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    again = read_image(write_image(tmp_path / "rgb.zarr", SpatialImage(data, "rgb", rgb=True)))
    assert again.axis_labels == ("c", "y", "x")
    np.testing.assert_array_equal(again.data[:], np.moveaxis(data, -1, 0))


def test_colours_of_a_volume_are_no_planes(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (4, 8, 9, 3), dtype=np.uint8)
    scale, units = (0.5, 0.1, 0.1), ("um",) * 3
    volume = SpatialImage(data, "rgb", scale, units, ("z", "y", "x"), rgb=True)
    again = read_image(write_image(tmp_path / "rgb.ome.zarr", volume))
    assert again.axis_labels == ("c", "z", "y", "x")
    assert again.scale == (1.0, *scale)
    np.testing.assert_array_equal(again.data[:], np.moveaxis(data, -1, 0))


def test_version_04_and_plain_arrays_are_read(tmp_path):
    data = np.random.default_rng(0).random((3, 8, 9))
    group = zarr.open_group(tmp_path / "old.ome.zarr", mode="w", zarr_format=2)
    group.create_array("full", data=data)
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [
                {"name": "c", "type": "channel"},
                {"name": "y", "type": "space", "unit": "micrometer"},
                {"name": "x", "type": "space", "unit": "nanometer"},
            ],
            "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 1]}],
            "datasets": [
                {
                    "path": "full",
                    "coordinateTransformations": [{"type": "scale", "scale": [1, 0.25, 0.5]}],
                }
            ],
        }
    ]
    old = read_image(tmp_path / "old.ome.zarr")
    assert old.scale == (1, 0.5, 0.5)
    assert old.units == ("pixel", "um", "nm")
    np.testing.assert_array_equal(old.data[:], data)
    zarr.save_array(tmp_path / "plain.zarr", data)
    np.testing.assert_array_equal(read_image(tmp_path / "plain.zarr").data[:], data)
    np.testing.assert_array_equal(read_image(tmp_path / "old.ome.zarr" / "full").data[:], data)


def test_the_first_versions_did_not_name_their_axes(tmp_path):
    values = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.uint16).reshape(2, 3, 4, 5, 6)
    group = zarr.open_group(tmp_path / "old.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=values)
    group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}]}]
    image = read_image(tmp_path / "old.zarr")
    assert image.axis_labels == ("t", "c", "z", "y", "x")
    np.testing.assert_array_equal(image.data[:], values)


def test_a_resolution_that_is_not_there_is_named(tmp_path):
    group = zarr.open_group(tmp_path / "bare.zarr", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "full"}]}]
    with pytest.raises(ValueError, match="names a resolution 'full' that is not there"):
        read_image(tmp_path / "bare.zarr")


def test_a_group_without_an_image_says_so(tmp_path):
    zarr.open_group(tmp_path / "plate.zarr", mode="w")
    with pytest.raises(ValueError, match=r"plate\.zarr/0"):
        read_image(tmp_path / "plate.zarr")


def test_a_line_cannot_be_stored(tmp_path):
    with pytest.raises(ValueError, match=r"write \.npy"):
        write_image(tmp_path / "a.zarr", SpatialImage(np.zeros(4), "line"))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_image_is_replaced_only_when_asked(volume, tmp_path):
    path = write_image(tmp_path / "a.zarr", volume)
    with pytest.raises(ValueError, match="exists already"):
        write_image(path, volume)
    half = SpatialImage(volume.data / 2, "cells")
    write_image(path, half, overwrite=True)
    np.testing.assert_array_equal(read_image(path).data[:], half.data)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize(
    ("start", "size"), [((0, 32), (64, 64)), ((0, 0), (32, 64)), ((64, 64), (36, 60))]
)
def test_an_unaligned_box_is_refused(tmp_path, start, size):
    image = SpatialImage(np.empty((600, 700)), "a")
    pyramid = create_pyramid(tmp_path / "a.zarr", image, dtype="f4", ndim=2, shard=(256, 512))
    with pytest.raises(ValueError, match="whole shards"):
        pyramid.write((), start, np.zeros(size))


def test_levels_keep_to_the_shards():
    levels = plan_levels((100, 1500, 2000), (100, 192, 512))
    for level in levels:
        assert all(s % c == 0 for s, c in zip(level.shard, level.chunk, strict=True))
        # A whole axis has one shard; the others' shards are those of the finest level.
        assert level.shard[0] >= level.shape[0]
        assert level.shard[1] * level.factor[1] == 192
        assert level.shard[2] * level.factor[2] == 512
    assert levels[-1].factor == (1, 4, 4)
    with pytest.raises(ValueError, match="multiple of the chunk"):
        plan_levels((100, 1500, 2000), (100, 200, 512))


def test_boxes_written_in_any_order_make_the_same_pyramid(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 60000, (2, 700, 1100), dtype=np.uint16)
    image = SpatialImage(data, "a", axis_labels=("t", "y", "x"))
    pyramid = create_pyramid(tmp_path / "a.zarr", image, dtype="u2", ndim=2, shard=(256, 512))
    boxes = [(t, box) for t in range(2) for box in pyramid.boxes()]
    for i in rng.permutation(len(boxes)):
        t, (start, stop) = boxes[i]
        window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        pyramid.write((t,), start, data[(t, *window)])
    whole = data
    for level, array in zip(pyramid.levels, read_levels(tmp_path / "a.zarr"), strict=True):
        np.testing.assert_array_equal(array[:], whole)
        assert level.shape == whole.shape[1:]
        whole = block_mean(whole, (1, 2, 2))
    assert isinstance(pyramid, Pyramid)


def test_shards_of_large_images_are_parts():
    assert default_shard((10, 20)) == (10, 20)
    shard = default_shard((512, 2048, 2048))
    assert np.prod(shard) <= 2**24
    assert all(s % 64 == 0 for s in shard)


def test_axes_without_names():
    assert StoredAxes.of([f"axis {i}" for i in range(-5, 0)]) == StoredAxes(0, (1,), (2, 3, 4))
    assert StoredAxes.of(["p", "q", "r"], spatial=3) == StoredAxes(None, (), (0, 1, 2))


def test_where_an_image_lies_is_kept(tmp_path):
    place = (0.0, 3.0, -20.5, 7.25)
    image = SpatialImage(
        np.random.default_rng(0).random((2, 8, 300, 310), dtype=np.float32),
        "cells",
        (1.0, 0.5, 0.1, 0.1),
        ("pixel", "um", "um", "um"),
        ("c", "z", "y", "x"),
        translate=place,
    )
    path = write_image(tmp_path / "a.ome.zarr", image)
    assert read_image(path).translate == pytest.approx(place)
    multiscale = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]
    for level, dataset in enumerate(multiscale["datasets"]):
        sizes, shift = (list(t.values())[1] for t in dataset["coordinateTransformations"])
        # The first corner of all levels is the same, half a voxel before its middle.
        corner = np.array(shift) - np.array(sizes) / 2
        np.testing.assert_allclose(corner[1:], np.array(place[1:]) - [0.25, 0.05, 0.05])
        assert level < 1 or sizes[-1] > 0.1


def test_transforms_of_level_and_image_are_applied_one_after_the_other(tmp_path):
    write_image(tmp_path / "a.ome.zarr", SpatialImage(np.zeros((4, 5), np.float32), "a"))
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r+")
    ome = group.attrs["ome"]
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [2.0, 3.0]},
        {"type": "translation", "translation": [10.0, 20.0]},
    ]
    ome["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [0.5, 0.1]},
        {"type": "translation", "translation": [1.0, -1.0]},
    ]
    group.attrs["ome"] = ome
    image = read_image(tmp_path / "a.ome.zarr")
    assert image.scale == pytest.approx((1.0, 0.3))
    assert image.translate == pytest.approx((6.0, 1.0))
