"""The time that a plan predicts: measured on a tile, and proportional to what there is to do."""

from dataclasses import replace

import numpy as np
import pytest
from tests.batch.tile_cases import WIENER, blurred_beads, gaussian, limit, request

from napari_convfact.batch import forecast
from napari_convfact.batch.costs import Costs, format_seconds, sum_costs
from napari_convfact.batch.forecast import forecast_job
from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.process import process_tile_job
from napari_convfact.foundation.job import run
from napari_convfact.operations.operation import SpatialImage


@pytest.fixture
def clock(monkeypatch):
    """A clock by which every tile costs the same per voxel."""
    tried = []

    def timed(source, destination, box, halo, plan):
        costs = yield from process_tile_job(source, destination, box, halo, plan)
        tried.append(box)
        window = np.prod(plan.tiling.window(box)[1])
        work = np.prod(plan.method.work_shape(plan.tiling.window(box)[1]))
        amounts = (window, work, work, np.prod(box.size))
        costs.seconds = dict(zip(costs.seconds, 1e-6 * np.array(amounts), strict=True))
        return costs

    monkeypatch.setattr(forecast, "process_tile_job", timed)
    return tried


def planned(shape, tmp_path, frames=None):
    image = blurred_beads(shape)
    if frames:
        image = SpatialImage(np.stack([image.data] * frames), "a")
    inputs = {"image": image, "psf": gaussian(1.5)}
    options = replace(limit(4 + 96 * bool(frames)), seam_error=1e-3)
    return run(forecast_job(request("deconvolve", inputs, tmp_path / "a.zarr", **WIENER), options))


def test_the_time_grows_with_what_there_is_to_do(clock, tmp_path):
    plan = planned((600, 700), tmp_path)
    tiling = plan.tiling
    windows = sum(count * np.prod(size) for size, count in tiling.window_sizes())
    filters = sum(np.prod(size) for size, _ in tiling.window_sizes())
    # Read and computed is each window, made for each size a filter, written the image.
    expected = 1e-6 * (2 * windows + filters + 600 * 700)
    assert plan.seconds == pytest.approx(expected, rel=1e-6)
    assert len(clock) == 2
    assert clock[0].size == tiling.core
    assert list(tmp_path.iterdir()) == []


def test_twice_the_tiles_take_twice_the_time(clock, tmp_path):
    one, two = (planned((256, 300), tmp_path, frames=frames) for frames in (4, 8))
    assert len(two.tiling) == 2 * len(one.tiling)
    filters = 1e-6 * sum(np.prod(size) for size, _ in one.tiling.window_sizes())
    assert two.seconds - filters == pytest.approx(2 * (one.seconds - filters), rel=1e-6)
    assert clock


def test_a_time_that_was_not_measured_is_not_told(tmp_path):
    inputs = {"image": blurred_beads((600, 700)), "psf": gaussian(1.5)}
    job = request("deconvolve", inputs, tmp_path / "a.zarr", **WIENER)
    plan = run(prepare_job(job, limit(4)))[0].plan
    assert plan.seconds is None
    assert "About" not in str(plan)
    assert "About 2 min in one process" in str(replace(plan, seconds=130.0))


def test_large_tiles_are_tried_in_small(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(forecast, "_PROBE", 300 * 300)
    plan = planned((600, 1100), tmp_path)
    whole = run(
        forecast_job(
            request("convolve", {"image": blurred_beads((600, 1100))}, tmp_path / "b.zarr"),
            limit(200),
        )
    )
    assert whole.tiling.core == (600, 1100)
    assert np.prod(clock[-1].size) <= 300 * 300
    assert plan.seconds > 0


def test_costs_add_up_and_durations_have_no_idle_digits():
    one = Costs()
    one.seconds["reading"] = one.processor["computing"] = 1.5
    both = sum_costs([one, Costs(**one.to_dict())])
    assert both.total == both.processor["computing"] == 3
    assert str(both) == "3.0 processor seconds: computing 100 %"
    assert [format_seconds(s) for s in (0.01, 42.4, 125, 5400)] == ["1 s", "42 s", "2 min", "1.5 h"]
