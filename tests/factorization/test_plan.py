"""Plans against the SVD, scipy and made-up times."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from napari_convfact.factorization import plan as plan_module
from napari_convfact.factorization import ways
from napari_convfact.factorization.layouts import candidate_layouts
from napari_convfact.factorization.plan import plan_filtering, plan_filtering_job
from napari_convfact.foundation.job import Step


def disk(radius, size):
    y, x = np.mgrid[:size, :size] - size // 2
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)


def gaussian(size, sigma):
    return np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)


@pytest.fixture
def timed(monkeypatch):
    """Make-believe times: of the transform, and of a pass per multiplication."""

    def use(transform, multiplication):
        def fused_seconds(chains, *_):
            return multiplication * sum(chain.multiplications for chain in chains)

        monkeypatch.setattr(ways, "transform_seconds", lambda *_: transform)
        monkeypatch.setattr(ways, "fused_seconds", fused_seconds)
        monkeypatch.setattr(plan_module, "retimed", lambda rivals, _: list(rivals))

    return use


def test_rank_and_errors_are_those_of_the_svd(timed):
    timed(1.0, 1e-3)
    kernel = disk(6, 15)
    plan = plan_filtering(kernel, (100, 100), relative_error=0.1, time_limit=0.5)
    s = np.linalg.svd(kernel, compute_uv=False)
    tails = [np.linalg.norm(s[r:]) / np.linalg.norm(s) for r in range(len(s) + 1)]
    by_kind = {way.kind: way for way in plan.ways}
    rank = next(r for r, tail in enumerate(tails) if tail <= 0.1)
    assert by_kind["separable"].relative_error == pytest.approx(tails[1])
    assert by_kind["rank"].relative_error == pytest.approx(tails[rank])
    assert by_kind["rank"].name == f"rank {rank}"
    assert set(by_kind) == {"direct", "fft", "separable", "rank", "chain", "a-trous"}


def test_the_error_of_every_way_is_that_of_its_kernel(timed):
    timed(1.0, 1e-3)
    kernel = disk(3, 9)
    plan = plan_filtering(kernel, (60, 70), relative_error=0.2, time_limit=0.5)
    image = np.random.default_rng(0).random((60, 70))
    for way in plan.ways:
        total = sum(
            np.pad(chain.kernel(), [(5 - n // 2, 5 - (n - 1) // 2) for n in chain.shape])
            for chain in way.chains
        )
        residual = total - np.pad(kernel, 1)
        error = np.linalg.norm(residual) / np.linalg.norm(kernel)
        assert error == pytest.approx(way.relative_error, rel=1e-3, abs=1e-6), way.name
        expected = scipy.ndimage.convolve(image, total, mode="reflect")
        np.testing.assert_allclose(way.apply(image), expected, rtol=0, atol=2e-6 * expected.max())


def test_the_best_is_the_fastest_within_the_error(timed):
    timed(1.0, 1e-2)
    plan = plan_filtering(disk(6, 15), (100, 100), relative_error=0.1, time_limit=0.5)
    within = [way for way in plan.ways if way.relative_error <= 0.1]
    assert list(plan.ways[: len(within)]) == sorted(within, key=lambda way: way.seconds)
    beyond = plan.ways[len(within) :]
    assert list(beyond) == sorted(beyond, key=lambda way: way.relative_error)
    assert plan.best is plan.ways[0]
    assert plan.best.relative_error <= 0.1


def test_it_says_when_the_transform_is_exact_and_faster(timed):
    timed(1e-3, 1e-3)
    plan = plan_filtering(disk(6, 15), (100, 100), time_limit=0.5)
    assert plan.best.kind == "fft"
    assert "exact and faster" in plan.message


def test_a_separable_kernel_is_applied_as_one(timed):
    timed(1.0, 1e-3)
    kernel = np.multiply.outer(gaussian(9, 1.5), gaussian(7, 1.2))
    plan = plan_filtering(kernel, (100, 100), time_limit=0.5)
    assert plan.best.kind == "separable"
    assert plan.best.exact
    assert plan.best.multiplications == 16
    assert plan.message.startswith("Separable: 62.5 times faster than transforms, and exact")
    chain = next(way for way in plan.ways if way.kind == "chain")
    assert chain.exact  # by pairing roots


def test_an_approximation_names_the_fastest_exact_way(timed):
    timed(1.0, 1e-3)
    plan = plan_filtering(disk(6, 15), (100, 100), relative_error=0.1, time_limit=0.5)
    assert not plan.best.exact
    assert "fastest exact way (direct)" in plan.message


def test_table_has_a_row_per_way(timed):
    timed(1.0, 1e-2)
    plan = plan_filtering(disk(2, 5), (50, 50), time_limit=0.5)
    table = plan.table()
    assert len(table) == len(plan.ways)
    assert table["way"][0] == plan.best.name
    fft = table[table["way"] == "Fourier transform"].iloc[0]
    assert fft["times faster than FFT"] == 1
    assert fft["milliseconds"] == 1000


def test_rivals_are_timed_again(timed, monkeypatch):
    timed(1.0, 1e-3)
    kernel = np.outer(gaussian(5, 1), gaussian(5, 1))
    first = plan_filtering(kernel, (60, 70), time_limit=0.5)
    assert first.best.kind == "separable"

    def separable_is_slow(rivals, shape):
        assert shape == (60, 70)
        slow = {"separable": 0.9}
        return [replace(way, seconds=slow.get(way.kind, way.seconds)) for way in rivals]

    monkeypatch.setattr(plan_module, "_RIVAL", 10.0)
    monkeypatch.setattr(plan_module, "retimed", separable_is_slow)
    plan = plan_filtering(kernel, (60, 70), time_limit=0.5)
    assert plan.best.kind != "separable"
    assert len(plan.ways) == len(first.ways)


def test_measured_times_and_progress():
    steps = []
    job = plan_filtering_job(disk(2, 5), (128, 128), time_limit=0.5)
    try:
        while True:
            steps.append(next(job))
    except StopIteration as stop:
        plan = stop.value
    assert all(way.seconds > 0 for way in plan.ways)
    assert all(isinstance(step, Step) for step in steps)
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] < steps[0].total


def test_closing_the_job_cancels_the_search():
    job = plan_filtering_job(disk(7, 15), (128, 128), time_limit=60.0)
    for step in job:
        if step.done > 3:
            break
    job.close()
    assert job.gi_frame is None


@pytest.mark.parametrize("shape", [(15, 15), (31, 31), (8, 6), (5, 9, 9), (29,), (31, 7)])
def test_layouts_cover_the_kernel(shape):
    undilated, *dilated = candidate_layouts(shape)
    assert undilated.support == shape
    for layout in dilated:
        assert all(s >= k for k, s in zip(shape, layout.support, strict=True))


def test_dilations_of_the_common_sizes():
    dilations = {
        size: [x.dilations for x in candidate_layouts((size, size))[1:]] for size in (15, 31)
    }
    assert dilations[15] == [(1, 2, 4), (1, 1, 2, 3)]
    assert dilations[31] == [(1, 2, 4, 8), (1, 1, 2, 3, 3, 5)]


def test_one_dimension_and_three():
    line = plan_filtering(gaussian(9, 2.0), (500,), time_limit=0.5)
    assert {"direct", "fft"} <= {way.kind for way in line.ways}
    volume = np.multiply.outer(gaussian(3, 1), np.multiply.outer(gaussian(5, 1), gaussian(5, 1)))
    plan = plan_filtering(volume, (16, 40, 40), time_limit=0.5)
    separable = next(way for way in plan.ways if way.kind == "separable")
    assert separable.exact
    assert separable.multiplications == 13


@pytest.mark.parametrize(
    ("kernel", "shape", "options", "message"),
    [
        (np.ones((3, 3)), (10,), {}, "does not fit"),
        (np.zeros((3, 3)), (10, 10), {}, "zero everywhere"),
        (np.ones((3, 3)), (10, 10), {"relative_error": -1}, "relative_error"),
        (np.ones((3, 3)), (10, 10), {"time_limit": 0}, "time_limit"),
        (np.ones((3, 3)), (10, 10), {"relative_error": math.nan}, "relative_error"),
    ],
)
def test_bad_input_is_refused(kernel, shape, options, message):
    with pytest.raises(ValueError, match=message):
        plan_filtering(kernel, shape, **options)
