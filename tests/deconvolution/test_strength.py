"""The rules for the strength against dense matrices and statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter, uniform_filter

from napari_convfact.deconvolution.cosine_model import cosine_model, taper, taper_window
from napari_convfact.deconvolution.deconvolve import deconvolve
from napari_convfact.deconvolution.noise import Noise, noise_level
from napari_convfact.deconvolution.strength import (
    choose_automatically,
    l_curve,
    l_curve_corner,
    minimize_cross_validation,
    minimize_threshold_cross_validation,
    satisfy_discrepancy,
)

SYMMETRIC_PSFS = {
    "1-D": (np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16, (24,)),
    "2-D": (np.outer([1.0, 3.0, 1.0], [1.0, 2.0, 3.0, 2.0, 1.0]) / 45, (8, 9)),
    "3-D": (np.einsum("i,j,k", [1.0, 2.0, 1.0], [1.0], [0.3, 1.0, 0.3]) / 6.4, (4, 5, 6)),
}


def blur_matrix(psf: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Matrix of the convolution with reflecting boundaries."""
    n = int(np.prod(shape))
    columns = [convolve(unit.reshape(shape), psf, mode="reflect").ravel() for unit in np.eye(n)]
    return np.stack(columns, axis=1)


def gradient_matrix(shape: tuple[int, ...]) -> np.ndarray:
    n = int(np.prod(shape))
    units = np.eye(n).reshape(n, *shape)
    differences = [np.diff(units, axis=axis + 1) for axis in range(len(shape))]
    return np.concatenate([difference.reshape(n, -1).T for difference in differences])


# The histogram's bins are 0.45 % wide.
BIN_WIDTH = 5e-3


@pytest.mark.parametrize("case", SYMMETRIC_PSFS)
@pytest.mark.parametrize("prior", ["identity", "gradient"])
@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_the_cosine_model_is_the_dense_problem(case, prior, strength):
    """Residual, norm and cross-validation score, the trace included."""
    psf, shape = SYMMETRIC_PSFS[case]
    image = np.random.default_rng(0).random(shape)
    K = blur_matrix(psf, shape)
    L = np.eye(len(K)) if prior == "identity" else gradient_matrix(shape)
    y = (image - image.mean()).ravel()
    inverse = np.linalg.solve(K.T @ K + strength * L.T @ L, K.T)
    x, influence = inverse @ y, K @ inverse
    residual = ((K @ x - y) ** 2).sum()
    n = y.size

    model = cosine_model([image], psf, prior, windowed=False)
    assert model.residual(strength) == pytest.approx(residual, rel=BIN_WIDTH)
    assert model.prior_norm(strength) == pytest.approx(((L @ x) ** 2).sum(), rel=BIN_WIDTH)
    for weight in (1.0, 1.2):
        left = n - weight * np.trace(influence)
        score = n * residual / left**2 if left > 0 else np.inf
        measured = model.cross_validation(strength, weight=weight)
        # Where few degrees of freedom are left, the score is sensitive.
        assert measured == pytest.approx(score, rel=4 * BIN_WIDTH * max(1, n / abs(left)))


def test_the_threshold_score_is_the_dense_one():
    psf, shape = SYMMETRIC_PSFS["2-D"]
    image = np.random.default_rng(0).random(shape)
    U, s, _ = np.linalg.svd(blur_matrix(psf, shape))
    squares = (U.T @ (image - image.mean()).ravel()) ** 2
    model = cosine_model([image], psf, "identity", windowed=False)
    scores = model.threshold_cross_validation(weight=1.2)
    for threshold in (0.02, 0.1, 0.3, 0.7):
        kept = s >= threshold
        expected = s.size * squares[~kept].sum() / (s.size - 1.2 * kept.sum()) ** 2
        at = np.searchsorted(model.ratio, threshold**2)
        if s.size > 1.2 * kept.sum():
            assert scores[at] == pytest.approx(expected)
        else:
            assert scores[at] == np.inf


def test_an_asymmetric_psf_counts_by_its_mean_power():
    """A cosine is two waves, and the model averages what the PSF does to them."""
    rng = np.random.default_rng(3)
    psf = rng.random((3, 4))
    psf /= psf.sum()
    shape = (6, 7)
    waves = np.fft.fft2(psf, (2 * shape[0], 2 * shape[1]))
    power = np.abs(waves) ** 2
    mean = (power + np.roll(power[::-1], 1, 0))[: shape[0], : shape[1]] / 2
    model = cosine_model([rng.random(shape)], psf, "identity", windowed=False)
    expected = np.sort(np.maximum(mean, 1e-16).ravel())
    found = np.repeat(model.ratio, model.count.astype(int))
    np.testing.assert_allclose(found, expected, rtol=BIN_WIDTH)


def test_a_psf_larger_than_the_image_is_no_obstacle():
    image = np.random.default_rng(0).random((5, 1, 6))
    model = cosine_model([image], np.ones((9, 3, 2)) / 54, "gradient")
    assert model.size == image.size
    assert 1e-6 <= minimize_cross_validation(model) <= 1e4


def test_images_are_pooled():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 10, 12))
    psf = np.ones((3, 3)) / 9
    both, one, other = (
        cosine_model(images, psf, "gradient") for images in ([first, second], [first], [second])
    )
    np.testing.assert_allclose(both.energy, one.energy + other.energy)
    assert both.size == first.size + second.size


def test_the_discrepancy_meets_the_noise():
    rng = np.random.default_rng(0)
    scene = np.cumsum(rng.standard_normal((64, 64)), axis=0)
    psf = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16
    image = convolve(scene, psf, mode="reflect") + 0.3 * rng.standard_normal(scene.shape)
    model = cosine_model([image], psf, "gradient")
    strength = satisfy_discrepancy(model)
    assert model.residual(strength) == pytest.approx(image.size * model.noise.near**2, rel=1e-3)


@pytest.mark.parametrize("shape", [(10_000,), (120, 110), (30, 25, 20), (1, 3000), (2, 90, 80)])
def test_noise_is_measured_on_a_smooth_scene(shape):
    rng = np.random.default_rng(0)
    scene = 100 * np.sin(sum(np.indices(shape)) / 40)
    image = scene + 3 * rng.standard_normal(shape)
    # The median of n magnitudes of correlated differences varies by about 3 / sqrt(n).
    assert noise_level(image) == pytest.approx(3, rel=0.1)


def test_noise_of_a_point_is_zero():
    assert noise_level(np.ones((1, 2))) == 0


def test_long_axes_are_tapered_and_noise_keeps_its_energy():
    image = np.random.default_rng(0).standard_normal((300, 1, 20, 51))
    windows = [taper_window(n, k) for n, k in zip(image.shape, (9, 1, 5, 3), strict=True)]
    assert np.mean(taper(image, windows) ** 2) == pytest.approx(1, rel=0.02)
    assert [bool(np.ptp(window) > 0) for window in windows] == [True, False, False, True]
    np.testing.assert_allclose(taper(np.full((5, 4), 3.0), [np.ones(5), np.ones(4)]), 0)


@pytest.mark.parametrize("n", [24, 200])
def test_the_spectrum_behind_a_window_is_smoothed(n):
    """The gains are the mean periodogram of many windows of one random scene."""
    rng = np.random.default_rng(0)
    psf = np.exp(-(np.arange(-10, 11) ** 2) / 18)
    psf /= psf.sum()
    scene = np.convolve(rng.standard_normal(4000 * n), psf, mode="same")
    windows = scene.reshape(-1, n) * taper_window(n, len(psf))
    periodogram = np.mean(np.abs(np.fft.rfft(windows, 2 * n)) ** 2, axis=0)[:n] / n

    model = cosine_model([np.zeros(n)], psf, "identity")
    gains = np.repeat(model.ratio, model.count.astype(int))
    # Four thousand windows leave a spread of 2 % at each frequency.
    np.testing.assert_allclose(np.sort(periodogram), gains, rtol=0.1)


def test_the_l_curve_is_monotonic():
    """The more weight the prior has, the worse the fit and the smaller the prior's norm."""
    image = np.random.default_rng(0).random((16, 16))
    model = cosine_model([image], np.ones((3, 3)) / 9, "gradient")
    curve = l_curve(model)
    assert np.all(np.diff(curve.strength) > 0)
    assert np.all(np.diff(curve.residual_norm) > 0)
    assert np.all(np.diff(curve.prior_norm) < 0)
    best = curve.strength[np.argmin(curve.cross_validation)]
    # The curve has ten points per decade.
    assert abs(np.log10(best / minimize_cross_validation(model))) <= 0.05 + 1e-9
    assert l_curve(model, [0.5]).residual_norm[0] == np.sqrt(model.residual(0.5))


def image_with_shared_noise(smooth, size):
    """A smooth scene behind a Gaussian PSF, with smoothed noise of standard deviation 0.02."""
    rng = np.random.default_rng(0)
    psf = np.outer(*[np.exp(-(np.arange(-6, 7) ** 2) / 8)] * 2)
    psf /= psf.sum()
    scene = np.cumsum(np.cumsum(rng.standard_normal((128, 128)), 0), 1)
    noise = smooth(rng.standard_normal(scene.shape), size)
    return convolve(scene, psf, mode="reflect") / scene.std() + 0.02 * noise / noise.std(), psf


def test_correlated_noise_is_not_taken_for_signal():
    """Cross-validation alone asks for the least strength there is."""
    image, psf = image_with_shared_noise(gaussian_filter, 0.7)
    model = cosine_model([image], psf, "gradient")
    strength, rule = choose_automatically(model)
    assert minimize_cross_validation(model) < 1e-5
    assert rule == "L-curve"
    assert strength == l_curve_corner(model) > 1e-3


def test_under_the_identity_prior_correlated_noise_leaves_a_residual_of_its_size():
    image, psf = image_with_shared_noise(uniform_filter, 3)
    model = cosine_model([image], psf, "identity")
    strength, rule = choose_automatically(model)
    assert rule == "discrepancy"
    assert np.sqrt(model.residual(strength) / image.size) == pytest.approx(0.02, rel=0.3)


def test_photon_noise_in_a_volume_loses_little_against_the_best_strength():
    """The L-curve's corner, which is for noise that samples share, would lose 1 dB."""
    rng = np.random.default_rng(0)
    scene = gaussian_filter((rng.random((16, 64, 64)) < 0.001) * 3e3, 1) + 5
    line = np.exp(-(np.arange(-6, 7) ** 2) / 4.5)
    psf = np.einsum("i,j,k", line, line, line) / line.sum() ** 3
    image = rng.poisson(convolve(scene, psf, mode="reflect")).astype(np.float32)

    def error(strength):
        estimate = deconvolve(image, psf, boundary="reflect", strength=strength).estimate
        return np.mean((estimate - scene) ** 2)

    best = min(error(strength) for strength in np.logspace(-4, 1, 11))
    assert 10 * np.log10(error("auto") / best) <= 0.3


@pytest.mark.parametrize("shape", [(90000,), (300, 300), (40, 50, 60)])
def test_neighbours_share_smoothed_noise_and_no_other(shape):
    white = np.random.default_rng(0).standard_normal(shape)
    noise = Noise.of(white)
    assert (noise.near, noise.apart, noise.far) == pytest.approx((1, 1, 1), rel=0.03)
    assert not noise.correlated
    assert Noise.of(uniform_filter(white, 2)).correlated


def test_noise_that_explains_too_little_gives_no_strength():
    """A grid of points is not the blur of anything under a wide PSF."""
    image = np.zeros((32, 32))
    image[::8, ::8] = 1
    model = cosine_model([image], np.ones((9, 9)) / 81, "gradient")
    assert satisfy_discrepancy(model, noise=0.0) is None


def test_noise_of_few_grey_levels():
    """Half of the second differences are 0, and so is their median."""
    rng = np.random.default_rng(0)
    image = (rng.random((200, 200)) < 0.02).astype(float)
    assert noise_level(image) > 0


@pytest.mark.parametrize("image", [np.zeros((12, 12)), np.full((3, 4), 5.0), np.ones((1, 1))])
def test_nothing_to_learn_from_a_constant(image):
    """There is no noise to see and no detail: any strength is right, but it must be a number."""
    psf = np.ones((3, 3)) / 9
    for prior in ("identity", "gradient"):
        model = cosine_model([image], psf, prior)
        assert 1e-6 <= minimize_cross_validation(model) <= 1e4
        assert 1e-6 <= satisfy_discrepancy(model) <= 1e4
    assert 1e-2 <= minimize_threshold_cross_validation(model) <= 1
