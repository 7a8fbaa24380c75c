"""A centred PSF moves nothing. Linearity, shift and adjoint tests miss an uncentred one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_convfact.deconvolution.deconvolve import deconvolve

SIZES = {
    1: [(n,) for n in (16, 17)],
    2: list(itertools.product((12, 13), repeat=2)),
    3: list(itertools.product((8, 9), repeat=3)),
}
PSF_SIZES = {ndim: list(itertools.product((4, 5), repeat=ndim)) for ndim in (1, 2, 3)}
CASES = [(n, k) for ndim in (1, 2, 3) for n in SIZES[ndim] for k in PSF_SIZES[ndim]]

METHODS = (
    {"method": "pseudo-inverse", "rcond": 1e-6},
    {"method": "wiener", "strength": 1e-9},
    {"method": "tikhonov", "strength": 1e-9, "prior": "gradient"},
)


def centred_psf(shape: tuple[int, ...]) -> np.ndarray:
    """A narrow symmetric peak at k // 2; an even axis has one sample more before it."""
    psf = np.ones(shape)
    for axis, k in enumerate(shape):
        distance = np.abs(np.arange(k) - k // 2)
        along = np.where(distance <= 1, np.where(distance == 0, 1.0, 0.2), 0.0)
        psf = psf * along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return psf / psf.sum()


def blur(scene: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Periodic convolution by its definition: a weighted sum of shifted copies."""
    total = np.zeros(scene.shape)
    axes = tuple(range(scene.ndim))
    for index in np.ndindex(psf.shape):
        shift = tuple(i - k // 2 for i, k in zip(index, psf.shape, strict=True))
        total += psf[index] * np.roll(scene, shift, axes)
    return total


def blob(shape: tuple[int, ...]) -> np.ndarray:
    """A spot off the middle that is dark well before the edges."""
    grids = np.meshgrid(*(np.arange(n) - n // 2 + 0.3 for n in shape), indexing="ij")
    return np.exp(-sum(grid**2 for grid in grids) / 0.8)


def centroid(image: np.ndarray) -> np.ndarray:
    grids = np.indices(image.shape)
    return np.array([(grid * image).sum() / image.sum() for grid in grids])


@pytest.mark.parametrize(("shape", "psf_shape"), CASES, ids=str)
def test_nothing_moves_for_any_parity(shape, psf_shape):
    scene = blob(shape)
    data = blur(scene, centred_psf(psf_shape))
    for options, boundary in itertools.product(METHODS, ("periodic", "reflect", "zero")):
        result = deconvolve(
            data, centred_psf(psf_shape), boundary=boundary, dtype="float64", **options
        )
        np.testing.assert_allclose(centroid(result.estimate), centroid(scene), atol=1e-3)


@pytest.mark.parametrize(("shape", "psf_shape"), CASES[::3], ids=str)
def test_nothing_moves_in_the_extended_scene(shape, psf_shape):
    scene = blob(shape)
    data = blur(scene, centred_psf(psf_shape))
    result = deconvolve(
        data, centred_psf(psf_shape), strength=1e-3, tolerance=1e-4, iterations=500, dtype="float64"
    )
    # At the spot: faint remains at the edges would weigh much in the centroid of the whole.
    spot = tuple(slice(n // 2 - 3, n // 2 + 3) for n in shape)
    np.testing.assert_allclose(centroid(result.estimate[spot]), centroid(scene[spot]), atol=1e-3)


@pytest.mark.parametrize(("shape", "psf_shape"), CASES[::2], ids=str)
def test_a_delta_changes_nothing(shape, psf_shape):
    image = np.random.default_rng(0).random(shape)
    delta = np.zeros(psf_shape)
    delta[tuple(k // 2 for k in psf_shape)] = 3.0
    for options in METHODS:
        for boundary in ("periodic", "reflect", "zero", "extended"):
            result = deconvolve(image, delta, boundary=boundary, dtype="float64", **options)
            np.testing.assert_allclose(result.estimate, image, atol=1e-6)


@pytest.mark.parametrize(("shape", "psf_shape"), CASES, ids=str)
def test_the_blur_is_undone(shape, psf_shape):
    """Against convolution by its definition, with a PSF of no symmetry at all."""
    rng = np.random.default_rng(1)
    scene = rng.random(shape)
    psf = 0.3 * rng.random(psf_shape) / np.prod(psf_shape)
    psf[tuple(k // 2 for k in psf_shape)] += 1
    psf /= psf.sum()
    for options in METHODS:
        result = deconvolve(blur(scene, psf), psf, boundary="periodic", dtype="float64", **options)
        np.testing.assert_allclose(result.estimate, scene, atol=1e-6)


@pytest.mark.parametrize("shape", [(16,), (15,), (10, 9), (6, 7, 8)], ids=str)
@pytest.mark.parametrize("cycles", [1, 2, 3])
def test_a_cosine_gets_the_gain_of_wiener(shape, cycles):
    """A wave comes back with the magnitude and phase of ``conj(H) / (|H|^2 + s)``."""
    rng = np.random.default_rng(2)
    psf = rng.random(tuple(4 if n % 2 else 3 for n in shape))
    psf /= psf.sum()
    phase = sum(
        2 * np.pi * cycles * grid / n for grid, n in zip(np.indices(shape), shape, strict=True)
    )
    response = 0
    for index in np.ndindex(psf.shape):
        offsets = np.array(index) - np.array(psf.shape) // 2
        response += psf[index] * np.exp(-2j * np.pi * cycles * (offsets / np.array(shape)).sum())
    strength = 0.1
    gain = np.conj(response) / (abs(response) ** 2 + strength)
    result = deconvolve(
        np.cos(phase), psf, method="wiener", strength=strength, boundary="periodic", dtype="float64"
    )
    np.testing.assert_allclose(result.estimate, (gain * np.exp(1j * phase)).real, atol=1e-12)
