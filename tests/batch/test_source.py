"""Windows of volumes: what lies beyond the faces, and how often a chunk is read."""

import numpy as np
import pytest
import torch
import zarr

from napari_convfact.batch.samples import sample_size, sample_windows
from napari_convfact.batch.source import Slabs
from napari_convfact.batch.windows import read_window
from napari_convfact.deconvolution.direct import reflect_onto_torus


@pytest.mark.parametrize("gap", [(0, 0), (3, 5), (14, 40)])
def test_windows_of_a_torus_are_parts_of_the_one_that_images_are_laid_on(gap):
    data = np.random.default_rng(0).random((6, 17), dtype=np.float32)
    torus = tuple(n + g for n, g in zip(data.shape, gap, strict=True))
    whole = reflect_onto_torus(torch.as_tensor(data), torus).numpy()
    for first in [(0, 0), (-4, 3), (5, 15), (-2, -9)]:
        rows = np.arange(first[0], first[0] + 9) % torus[0]
        columns = np.arange(first[1], first[1] + 20) % torus[1]
        window = read_window(data, (), first, (9, 20), "reflect", torus)
        np.testing.assert_allclose(window, whole[np.ix_(rows, columns)], rtol=1e-6)


def test_windows_of_periodic_and_dark_surroundings():
    data = np.arange(35, dtype=np.uint16).reshape(5, 7)
    window = read_window(data, (), (-2, 4), (9, 8), "periodic")
    np.testing.assert_array_equal(window, np.pad(data, ((2, 5), (0, 9)), "wrap")[:9, 4:12])
    window = read_window(data, (), (3, -1), (4, 9), "zero", (9, 11))
    np.testing.assert_array_equal(window, np.pad(data, ((0, 4), (1, 1)))[3:7])
    assert window.dtype == np.uint16


@pytest.mark.parametrize("first", [(-6, -6), (-100, 11), (2, 26), (0, 0)])
def test_mirrored_windows_are_those_of_numpy(first):
    data = np.random.default_rng(0).random((5, 30))
    padded = np.pad(data, 130, mode="symmetric")
    for size in ((3, 9), (17, 40), (90, 90)):
        window = read_window(data, (), first, size, "mirror")
        box = tuple(slice(130 + a, 130 + a + n) for a, n in zip(first, size, strict=True))
        np.testing.assert_array_equal(window, padded[box])


def test_leading_axes_are_indexed():
    data = np.random.default_rng(0).random((2, 3, 8, 9))
    np.testing.assert_array_equal(read_window(data, (1, 2), (2, 3), (4, 5)), data[1, 2, 2:6, 3:8])


class Counting:
    """An array that counts how many voxels are read of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.chunks = (
            array, array.shape, array.dtype, array.chunks
        )  # fmt: skip
        self.reads = 0

    def __getitem__(self, where):
        self.reads += 1
        return self.array[where]


def test_planes_are_read_by_whole_chunks(tmp_path):
    data = np.random.default_rng(0).random((2, 20, 8, 9))
    stored = zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(1, 8, 8, 9))
    counting = Counting(stored)
    slabs = Slabs(counting, 2)
    for t in range(2):
        for z in range(20):
            np.testing.assert_array_equal(slabs[t, z, 1:7, 2:9], data[t, z, 1:7, 2:9])
    assert counting.reads == 2 * 3
    plain = Slabs(data, 2)
    np.testing.assert_array_equal(plain[1, 3, 1:7, 2:9], data[1, 3, 1:7, 2:9])
    np.testing.assert_array_equal(Slabs(data, 0)[:1, 1:3, :, :], data[:1, 1:3])


def test_samples_are_spread_and_repeatable():
    data = np.arange(100 * 200, dtype=np.float32).reshape(100, 200)
    windows = sample_windows(data, (10, 10), 8)
    assert len(windows) == 8
    corners = {float(window[0, 0]) for window in windows}
    assert len(corners) == 8
    assert corners == {float(window[0, 0]) for window in sample_windows(data, (10, 10), 8)}
    (whole,) = sample_windows(data, (100, 200), 8)
    np.testing.assert_array_equal(whole, data)
    assert len(sample_windows(data[None].repeat(3, 0), (100, 200), 8)) == 3


def test_samples_keep_the_proportions():
    assert sample_size((100, 200), 10**6) == (100, 200)
    assert sample_size((100, 4000, 4000), 10**6) == (100, 63, 125)


def test_large_reads_are_split_at_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_convfact.batch.source._AT_ONCE", 2000)
    data = np.random.default_rng(0).integers(0, 99, (3, 30, 40), dtype=np.uint16)
    counting = Counting(zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(2, 8, 8)))
    window = read_window(counting, (1,), (3, 5), (25, 30))
    np.testing.assert_array_equal(window, data[1, 3:28, 5:35])
    assert counting.reads >= 4
