"""The operation behind the widget: what it lays out and what it reports."""

import json

import numpy as np
import pytest

from napari_convfact.foundation.job import run
from napari_convfact.operations.factorize import OPERATION, FactorizeKernel
from napari_convfact.operations.operation import SpatialImage

LOW = np.array([-3, -15, 73, 170, 73, -15, -3]) / 280


def ran(inputs, **parameters):
    return run(OPERATION.job(inputs, FactorizeKernel(**parameters)))


@pytest.fixture
def kernel():
    return SpatialImage(np.outer(LOW, LOW), "LL", scale=(2.0, 2.0))


def test_results_are_reconstruction_residual_and_factors(kernel):
    reconstruction, residual, factors = ran({"kernel": kernel})
    assert [r.name for r in (reconstruction, residual, factors)] == [
        "LL reconstruction",
        "LL residual",
        "LL factors",
    ]
    np.testing.assert_allclose(reconstruction.data + residual.data, kernel.data, atol=1e-7)
    # Two factors of 3x3, one sample apart, as wide as the seven samples of the kernel.
    assert factors.data.shape == (3, 7)
    assert factors.scale == (2.0, 2.0)
    assert not factors.data[:, 3].any()
    low, high = residual.display["contrast_limits"]
    assert low == -high
    lefts = [r.display["translate"][1] for r in (reconstruction, residual, factors)]
    assert all(a + 7 * 2.0 < b for a, b in zip([0, *lefts], lefts, strict=False))


def test_summary_can_be_stored_and_names_the_optimum(kernel):
    summary = ran({"kernel": kernel})[0].summary
    json.dumps(dict(summary))
    assert summary["status"] == "certified"
    assert summary["error (%)"] == pytest.approx(2.9987, rel=1e-4)
    assert (summary["multiplications"], summary["directly"], summary["separably"]) == (18, 49, 14)
    assert summary["details"][0]["nmse"] == pytest.approx(8.9921e-4, rel=1e-4)


def test_compare_lays_three_chains_below_each_other(kernel):
    results = ran({"kernel": kernel}, compare=True)
    assert len(results) == 9
    tops = [r.display["translate"][0] for r in results[::3]]
    assert tops[0] == 0
    assert tops[2] == 2 * tops[1] > 2 * 7 * 2.0
    statuses = [row["status"] for row in results[0].summary["details"]]
    assert statuses == ["certified", "certified", "exact"]
    limits = {r.display["contrast_limits"] for r in results if "residual" in r.name}
    assert len(limits) == 1


def test_image_is_filtered_and_every_way_is_measured(kernel):
    rng = np.random.default_rng(0)
    image = SpatialImage(rng.random((3, 48, 40)), "cells")
    results = ran({"kernel": kernel, "image": image}, apply=True, shapes="3x3, 3x3, 3x3")
    assert results[-1].like == "image"
    from scipy.ndimage import convolve

    expected = [convolve(plane, kernel.data, mode="reflect") for plane in image.data]
    np.testing.assert_allclose(results[-1].data, expected, atol=1e-5)
    summary = results[0].summary
    assert {"chain (ms)", "FFT (ms)", "direct (ms)", "separable (ms)"} <= set(summary)
    assert summary["fastest"].startswith("Fastest on this image")


def test_the_plan_counts_in_words(kernel):
    plan = OPERATION.plan({"kernel": kernel}, FactorizeKernel(shapes="5x5"))
    assert "1 factor that spans 5 × 5, 25 multiplications" in plan.text
    plan = OPERATION.plan({"kernel": kernel}, FactorizeKernel(shapes="3x3, 3x3"))
    assert "2 factors that span 5 × 5, 18 multiplications" in plan.text


@pytest.mark.parametrize("chain_ms", [(3.0, 2.0, 9.0), (3.0, 9.0, 9.0)])
def test_the_fastest_of_several_chains_is_named(kernel, monkeypatch, chain_ms):
    times = iter(chain_ms)
    exact = {"FFT": 0.008, "direct": 0.007}
    monkeypatch.setattr(
        "napari_convfact.factorization.timing.measure_ways",
        lambda *_: {"chain": next(times) / 1e3, **exact},
    )
    image = SpatialImage(np.ones((20, 20)), "flat")
    summary = ran({"kernel": kernel, "image": image}, compare=True)[0].summary
    fastest = summary["details"][int(np.argmin(chain_ms))]["chain"]
    assert summary["fastest"] == (
        f"Fastest on this image: the chain {fastest}; of the exact ways, the kernel as it is."
    )


def test_sums_of_dilated_chains_are_laid_out_in_rows():
    kernel = SpatialImage(np.random.default_rng(1).standard_normal((7, 7)), "noise")
    factors = ran({"kernel": kernel}, terms=2, dilations="1, 2")[2]
    assert factors.data.shape == (7, 7)
    assert not factors.data[3].any()


def test_complex_kernel_is_shown_in_two_parts():
    x = np.arange(-3, 4)
    gabor = np.exp(-(x[:, None] ** 2 + x**2) / 4 + 1j * x)
    results = ran({"kernel": SpatialImage(gabor, "Gabor")}, shapes="3x3, 3x3, 3x3")
    assert results[0].data.shape == (2, 7, 7)
    np.testing.assert_allclose(results[0].data, [gabor.real, gabor.imag], atol=1e-6)
    assert len(results[0].scale) == len(results[0].display["translate"]) == 3


def test_plan_says_what_will_be_done(kernel):
    text = OPERATION.plan({"kernel": kernel}, FactorizeKernel(dilations="1, 2")).text
    assert "span 7 × 7, 18 multiplications" in text
    text = OPERATION.plan({"kernel": kernel}, FactorizeKernel(shapes="auto for 2 %")).text
    assert "within 2 %" in text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shapes": "3x3x3"}, "kernel has 2"),
        ({"dilations": "one"}, "not understood"),
        ({"dilations": "1, 2, 3"}, "3 dilations for 2 factors"),
        ({"apply": True}, "Choose an image"),
        ({"shapes": "auto", "terms": 2}, "leave them at 1"),
    ],
)
def test_plan_refuses_what_cannot_run(kernel, parameters, message):
    with pytest.raises(ValueError, match=message):
        OPERATION.plan({"kernel": kernel}, FactorizeKernel(**parameters))


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_a_kernel_that_pictures_cannot_hold_is_refused(kernel, size):
    with pytest.raises(ValueError, match="beyond what float32 holds"):
        ran({"kernel": SpatialImage(size * kernel.data, "huge")})
