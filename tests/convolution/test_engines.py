"""Engines against the transforms, the definition of the adjoint, and the SVD."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from napari_convfact.convolution import engines
from napari_convfact.convolution.apply import apply_chain, apply_chains, apply_separable
from napari_convfact.convolution.engines import FusedEngine, choose_engine, factor
from napari_convfact.convolution.geometry import BOUNDARIES, plan_geometry
from napari_convfact.convolution.operator import Convolution
from napari_convfact.execution import measure
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.separable import outer, separable_terms, separate

SIZES = [
    ((3,), (12,)),
    ((4,), (13,)),
    ((9,), (7,)),
    ((3, 4), (11, 8)),
    ((5, 2), (10, 13)),
    ((2, 3, 4), (6, 7, 5)),
    ((1, 3), (1, 9)),
]


def separable_kernel(shape, seed=0):
    rng = np.random.default_rng(seed)
    return outer([rng.standard_normal(n) for n in shape])


def engine_and_operator(kernel, shape, boundary, origin=None):
    origin = tuple(n // 2 for n in kernel.shape) if origin is None else origin
    geometry = plan_geometry(kernel.shape, shape, boundary=boundary, origin=origin)
    chains, _ = factor(kernel, 1e-13)
    operator = Convolution(
        kernel, shape, boundary=boundary, origin=origin, engine="fft", dtype="float64"
    )
    return FusedEngine(chains, geometry, boundary), operator


def fits(kernel_shape, shape, boundary):
    return boundary != "valid" or all(k <= n for k, n in zip(kernel_shape, shape, strict=True))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("kernel_shape", "shape"), SIZES)
@pytest.mark.parametrize("separable", [True, False])
def test_engine_equals_the_transforms_and_its_adjoint_is_exact(
    kernel_shape, shape, boundary, separable
):
    if not fits(kernel_shape, shape, boundary):
        pytest.skip("the kernel is larger than the image")
    rng = np.random.default_rng(3)
    kernel = separable_kernel(kernel_shape) if separable else rng.standard_normal(kernel_shape)
    engine, operator = engine_and_operator(kernel, shape, boundary)
    x = torch.as_tensor(rng.standard_normal((2, *operator.input_shape)))
    y = torch.as_tensor(rng.standard_normal((2, *operator.output_shape)))
    ax, aty = engine.apply(x), engine.apply_adjoint(y)
    torch.testing.assert_close(ax, operator.apply(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(aty, operator.apply_adjoint(y), rtol=0, atol=1e-12)
    scale = ax.norm() * y.norm() + x.norm() * aty.norm()
    assert abs((ax * y).sum() - (x * aty).sum()) <= 1e-13 * scale


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_engine_with_every_origin(boundary):
    kernel = separable_kernel((3, 4))
    rng = np.random.default_rng(4)
    for origin in np.ndindex(3, 4):
        engine, operator = engine_and_operator(kernel, (8, 9), boundary, origin)
        x = torch.as_tensor(rng.standard_normal(operator.input_shape))
        y = torch.as_tensor(rng.standard_normal(operator.output_shape))
        torch.testing.assert_close(engine.apply(x), operator.apply(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(
            engine.apply_adjoint(y), operator.apply_adjoint(y), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("shape", [(7,), (5, 7), (4, 5, 6), (7, 9, 9)])
def test_separable_kernels_are_recognized(shape):
    kernel = separable_kernel(shape)
    taps, error = separate(kernel)
    assert error <= 1e-14
    np.testing.assert_allclose(outer(taps), kernel, rtol=0, atol=1e-13 * np.abs(kernel).max())


def test_nearly_separable_kernels_are_told_from_separable_ones():
    kernel = separable_kernel((7, 7))
    noise = np.random.default_rng(1).standard_normal((7, 7))
    noise *= 1e-4 * np.linalg.norm(kernel) / np.linalg.norm(noise)
    _, error = separate(kernel + noise)
    s = np.linalg.svd(kernel + noise, compute_uv=False)
    assert error == pytest.approx(np.linalg.norm(s[1:]) / np.linalg.norm(s), rel=1e-3)


def test_errors_of_terms_are_those_of_the_svd():
    kernel = np.random.default_rng(0).standard_normal((9, 12))
    terms = separable_terms(kernel)
    s = np.linalg.svd(kernel, compute_uv=False)
    expected = [np.linalg.norm(s[rank:]) / np.linalg.norm(s) for rank in range(10)]
    np.testing.assert_allclose(terms.errors, expected, atol=1e-14)
    assert terms.rank(0.5) == next(r for r, e in enumerate(expected) if e <= 0.5)


def test_terms_of_a_volume_have_the_errors_they_claim():
    kernel = scipy.ndimage.gaussian_filter(np.random.default_rng(0).random((5, 6, 7)), 1)
    terms = separable_terms(kernel)
    for rank in (1, 3, 8, len(terms.taps)):
        approximation = sum(outer(taps) for taps in terms.taps[:rank])
        error = np.linalg.norm(kernel - approximation) / np.linalg.norm(kernel)
        assert error == pytest.approx(terms.errors[rank], rel=1e-6, abs=1e-12)


def test_zero_kernel_is_refused():
    with pytest.raises(ValueError, match="zero everywhere"):
        separate(np.zeros((3, 3)))


def test_factor_takes_the_cheapest_within_the_tolerance():
    y, x = np.mgrid[-7:8, -7:8]
    disk = (x**2 + y**2 <= 36).astype(float)
    assert factor(disk, 0.0)[0][0].multiplications == np.count_nonzero(disk)
    chains, error = factor(disk, 0.2)
    s = np.linalg.svd(disk, compute_uv=False)
    tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1]) / np.linalg.norm(s)
    assert len(chains) == np.argmax(tails <= 0.2)
    assert error == pytest.approx(tails[len(chains)], rel=1e-9)
    total = sum(chain.kernel() for chain in chains)
    assert np.linalg.norm(total - disk) / np.linalg.norm(disk) == pytest.approx(error, rel=1e-9)


def choice(kernel, shape, measured, monkeypatch, **options):
    """Choose with made-up times."""
    monkeypatch.setattr(engines, "fused_seconds", lambda *_: measured["fused"])
    monkeypatch.setattr(measure, "fft_seconds", lambda *_: measured["fft"])
    geometry = plan_geometry(kernel.shape, shape, boundary="zero")
    return choose_engine(kernel, geometry, "zero", **options)


def test_auto_follows_the_measurement(monkeypatch):
    kernel, shape = separable_kernel((7, 7)), (300, 300)
    fast, slow = {"fused": 1.0, "fft": 4.0}, {"fused": 4.0, "fft": 1.0}
    chosen = choice(kernel, shape, fast, monkeypatch)
    assert chosen.name == "fused"
    assert "4.0 times faster" in chosen.reason
    assert choice(kernel, shape, slow, monkeypatch).name == "fft"
    assert choice(kernel, shape, fast, monkeypatch, requested="fft").name == "fft"
    assert choice(kernel, shape, slow, monkeypatch, requested="fused").name == "fused"
    assert choice(kernel, (20, 20), fast, monkeypatch).name == "fft"


def test_an_approximation_needs_the_tolerance(monkeypatch):
    y, x = np.mgrid[-15:16, -15:16]
    disk = (x**2 + y**2 <= 200).astype(float)
    fast = {"fused": 1.0, "fft": 4.0}
    assert choice(disk, (300, 300), fast, monkeypatch).name == "fft"
    granted = choice(disk, (300, 300), fast, monkeypatch, tolerance=0.2)
    assert granted.name == "fused"
    assert 0.01 < granted.relative_error <= 0.2


def test_fused_is_refused_where_it_cannot_run():
    geometry = plan_geometry((3,) * 4, (4,) * 4, boundary="zero")
    with pytest.raises(ValueError, match="engine='auto'"):
        choose_engine(np.ones((3,) * 4), geometry, "zero", requested="fused")


MODES = {"periodic": "wrap", "reflect": "reflect", "zero": "constant"}


@pytest.mark.parametrize("engine", ["auto", "fused", "fft", "direct"])
@pytest.mark.parametrize("boundary", MODES)
def test_apply_equals_ndimage_with_every_engine(engine, boundary):
    rng = np.random.default_rng(0)
    image = rng.random((2, 30, 25)).astype(np.float32)
    factors = [rng.standard_normal((3, 2)), rng.standard_normal((3, 4))]
    kernel = Chain.of(factors, (1, 2)).kernel()
    expected = [
        scipy.ndimage.convolve(i.astype(float), kernel, mode=MODES[boundary]) for i in image
    ]
    result = apply_chain(image, factors, (1, 2), boundary=boundary, engine=engine)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_apply_valid_with_every_engine():
    rng = np.random.default_rng(0)
    image, chain = rng.random((20, 21)), Chain.of([rng.random((4, 3)), rng.random((2, 2))])
    expected = scipy.signal.convolve(image, chain.kernel(), mode="valid")
    for engine in ("auto", "fused", "fft", "direct"):
        result = apply_chains(torch.as_tensor(image), [chain], boundary="valid", engine=engine)
        assert result.dtype == torch.float64
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)


def test_separable_taps_along_each_axis():
    rng = np.random.default_rng(0)
    image, taps = rng.random((6, 12, 13)), [rng.standard_normal(n) for n in (2, 5, 4)]
    expected = image
    for axis, t in enumerate(taps):
        expected = scipy.ndimage.convolve1d(expected, t, axis=axis, mode="reflect")
    result = apply_separable(image, taps)
    np.testing.assert_allclose(result, expected, atol=2e-6 * np.abs(expected).max())


def test_terms_of_different_sizes_meet_at_their_origins():
    rng = np.random.default_rng(0)
    image = rng.random((15, 16))
    chains = [Chain.of([rng.random((3, 3))]), Chain.of([rng.random((2, 5)), rng.random((3, 1))])]
    expected = sum(scipy.ndimage.convolve(image, c.kernel(), mode="reflect") for c in chains)
    for engine in ("fused", "fft", "direct"):
        result = apply_chains(image, chains, engine=engine)
        np.testing.assert_allclose(result, expected, atol=2e-6 * np.abs(expected).max())


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="boundary"):
        apply_chain(np.ones((5, 5)), [np.ones((3, 3))], boundary="mirror")
    with pytest.raises(ValueError, match="engine"):
        apply_chain(np.ones((5, 5)), [np.ones((3, 3))], engine="gpu")
    with pytest.raises(ValueError, match="larger than the image"):
        apply_chain(np.ones((2, 5)), [np.ones((3, 3))], boundary="valid")


def test_importing_engines_does_not_import_numba():
    code = (
        "import sys, napari_convfact.convolution.apply, napari_convfact.convolution.engines;"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_warm_up_compiles_on_another_thread():
    engines.warm_up("float32", block=True)
    from napari_convfact.execution.fused import run_tile

    assert any("float32" in str(signature) for signature in run_tile.signatures)
    assert threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_operators_agree_on_a_large_image(boundary):
    kernel = np.abs(separable_kernel((7, 6)))
    rng = np.random.default_rng(0)
    fft, fused = (
        Convolution(kernel, (200, 210), boundary=boundary, engine=engine, stride=(2, 1))
        for engine in ("fft", "fused")
    )
    assert (fft.engine, fused.engine) == ("fft", "fused")
    x = rng.random(fft.input_shape)
    y = rng.random(fft.output_shape)
    for a, b in ((fft.forward(x), fused.forward(x)), (fft.adjoint(y), fused.adjoint(y))):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * np.abs(a).max())


def test_auto_engine_says_what_it_measured():
    operator = Convolution(separable_kernel((5, 5)), (256, 256))
    assert set(operator.engine_choice.seconds) == {"fft", "fused"}
    assert operator.engine in operator.engine_choice.seconds
    assert operator.engine_choice.reason.endswith(".")
