"""Boxes whose missing values are filled."""

import tracemalloc

import numpy as np
import pytest
from tests.batch.test_plan import method

from napari_convfact.batch.halo import Reach
from napari_convfact.batch.missing import FILLING, read_filled_box
from napari_convfact.batch.plan import BASE_MEMORY, plan_tiles
from napari_convfact.batch.windows import read_filled_window
from napari_convfact.foundation.validate import fill_missing


class Recorder:
    """An array without end in memory, which keeps the largest box that was read."""

    def __init__(self, shape, missing_from):
        self.shape, self.dtype, self.largest = shape, np.dtype(np.float32), 0
        self._missing_from = missing_from

    def __getitem__(self, where):
        values = np.ones([s.stop - s.start for s in where], np.float32)
        values[max(0, self._missing_from - where[0].start) :] = np.nan
        self.largest = max(self.largest, values.size)
        return values


@pytest.mark.parametrize("shape", [(400,), (60, 70), (20, 30, 25)])
def test_a_box_is_filled_as_the_whole_is(shape):
    rng = np.random.default_rng(0)
    values = rng.random(shape)
    values[rng.random(shape) < 0.995] = np.nan
    filled = fill_missing(values, np.isnan(values))
    box = tuple(slice(n // 3, n // 2) for n in shape)
    found, missing = read_filled_box(values, (), box, most=values.size)
    np.testing.assert_array_equal(missing, np.isnan(values[box]))
    # Of two that are as near, either may be taken.
    known = np.argwhere(~np.isnan(values))
    places = np.stack(np.mgrid[box], -1).reshape(-1, len(shape))
    distances = np.linalg.norm(places[:, None] - known, axis=-1)
    least = np.sort(distances, axis=1)
    clear = least[:, 0] < least[:, 1]
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(found.ravel()[clear], filled[box].ravel()[clear])


@pytest.mark.parametrize("missing_from", [10, 200, 390])
def test_no_more_is_read_than_a_window(missing_from):
    """A hole of any size is looked across within the memory of a tile."""
    volume = Recorder((400, 4000, 4000), missing_from)
    size = (120, 120, 120)
    tracemalloc.start()
    window, missing = read_filled_window(volume, (), (-30, 1000, 1000), size, "periodic")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert volume.largest <= np.prod(size)
    assert peak <= FILLING * np.prod(size)
    # Thirty planes lie beyond the face: those at the other end.
    holes = np.concatenate([np.arange(370, 400), np.arange(90)]) >= missing_from
    np.testing.assert_array_equal(missing[:, 0, 0], holes)
    np.testing.assert_array_equal(window[~missing], 1)
    assert missing_from < 390 or np.isfinite(window).all()


def test_the_plan_leaves_room_to_fill():
    reach, memory = Reach((20,) * 3, (1e-3,) * 3), BASE_MEMORY + 1e9
    shape = (1000, 1000, 1000)
    plan = plan_tiles(shape, method(margin=0, fills_missing=True), reach, memory)
    assert BASE_MEMORY + FILLING * np.prod(plan.tiling.padded) <= plan.memory <= memory
