"""Thinning, the photon gain, and the automatic stop of Richardson-Lucy."""

import re

import numpy as np
import pytest
import scipy.ndimage
from skimage import data

from napari_convfact.deconvolution.richardson_lucy import richardson_lucy_job
from napari_convfact.deconvolution.stopping import (
    HeldOutError,
    best_iteration,
    photon_gain,
    thin,
)
from napari_convfact.foundation.job import run

torch = pytest.importorskip("torch")


def gaussian_psf(sigma, ndim=2):
    radius = int(5 * sigma)
    grid = np.indices((2 * radius + 1,) * ndim) - radius
    psf = np.exp(-(grid**2).sum(0) / (2 * sigma**2))
    return psf / psf.sum()


def camera():
    return data.camera().reshape(256, 2, 256, 2).mean((1, 3))


def filaments():
    """Beads and curved threads on a torus."""
    random = np.random.default_rng(0)
    scene = np.zeros((256, 256))
    np.add.at(scene, tuple(random.integers(0, 256, (2, 80))), random.uniform(5, 15, 80))
    for _ in range(16):
        directions = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, 0.02, 400))
        path = random.uniform(0, 256, 2)[:, None] + 0.5 * np.cumsum(
            [np.sin(directions), np.cos(directions)], axis=1
        )
        scene[tuple(path.astype(int) % 256)] = random.uniform(0.5, 3)
    return scipy.ndimage.gaussian_filter(scene, 0.8, mode="wrap") + 0.02


def photographed(scene, sigma, peak):
    """Return the scene in photons and its blurred, noisy picture."""
    blurred = scipy.ndimage.gaussian_filter(scene, sigma, mode="wrap", truncate=5)
    factor = peak / blurred.max()
    return factor * scene, np.random.default_rng(7).poisson(factor * blurred).astype(np.float32)


def psnr(estimate, truth):
    return 10 * np.log10(truth.max() ** 2 / ((estimate - truth) ** 2).mean())


def restore(image, sigma, **options):
    psf = gaussian_psf(sigma)
    return run(richardson_lucy_job(image, psf, boundary="periodic", device="cpu", **options))


def test_thinning_deals_every_photon_to_independent_parts():
    counts = np.random.default_rng(0).poisson(6, 200_000).astype(np.float32)
    thinned = thin(counts)
    whole = 0.9 * thinned.training + 0.1 * thinned.held_out
    np.testing.assert_allclose(whole, counts, rtol=1e-6)
    assert thinned.gain == 1
    # Four standard errors of 200 000 draws.
    assert abs(np.corrcoef(thinned.training, thinned.held_out)[0, 1]) < 4 / 200_000**0.5
    assert thinned.held_out.mean() == pytest.approx(6, rel=4 * (10 / 6 / 200_000) ** 0.5)
    # Poisson counts of mean 0.6, ten times as bright.
    assert thinned.held_out.var() == pytest.approx(60, rel=0.03)


@pytest.mark.parametrize(
    ("gain", "found"), [(1.0, 1.0), (0.004, 0.004), (3.0, 3.0), (250.0, 250.0)]
)
@pytest.mark.parametrize("peak", [20, 2000])
def test_the_gain_is_read_from_the_noise(gain, found, peak):
    _, counts = photographed(camera(), 2, peak)
    assert photon_gain(gain * counts) == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize("shape", [(4096,), (12, 60, 70), (1, 128, 128)])
def test_the_gain_is_read_in_any_number_of_axes(shape):
    image = 0.5 * np.random.default_rng(1).poisson(40, shape)
    assert photon_gain(image) == pytest.approx(0.5, rel=0.15)


def test_images_without_noise_have_a_tiny_gain():
    assert photon_gain(np.full((64, 64), 7.5)) == pytest.approx(7.5 / 2**31)
    assert photon_gain(np.zeros((64, 64))) == 1


@pytest.mark.parametrize("shape", [(15, 16), (15, 15)])
def test_the_held_out_error_is_the_weighted_error_of_the_scene(shape):
    random = np.random.default_rng(2)
    psf = gaussian_psf(1.0)
    scene, guess = random.random((2, *shape))
    blur = lambda x: scipy.ndimage.convolve(x, psf, mode="wrap")  # noqa: E731
    error = HeldOutError(torch.tensor(blur(scene) + 3), psf)
    transfer = np.fft.fftn(blur(np.eye(1, scene.size).reshape(shape)))
    power = np.abs(transfer) ** 2
    spectrum = np.abs(np.fft.fftn(guess - scene)) ** 2
    expected = (power / (power + 0.01) * spectrum).sum() / scene.size**2
    assert error(torch.tensor(blur(guess)), 3.0) == pytest.approx(expected, rel=1e-10)


def test_the_least_error_counts_once_three_are_behind_it():
    assert best_iteration([5, 3, 2, 4, 4]) is None
    assert best_iteration([5, 3, 2, 4, 4, 4]) == 2
    assert best_iteration([5, 3, 2, 4, 4, 1]) is None


@pytest.mark.parametrize(
    ("scene", "sigma", "peak"),
    [(filaments, 2, 200), (filaments, 3, 20), (camera, 2, 200), (camera, 3, 2000)],
)
def test_the_automatic_stop_is_close_to_the_best_iteration(scene, sigma, peak):
    truth, image = photographed(scene(), sigma, peak)
    result = restore(image, sigma)
    every = restore(image, sigma, iterations=60, keep_every=1)
    curve = [psnr(estimate, truth) for estimate in every.intermediate]
    assert result.stopped_by == "held-out photons"
    # The goal is 0.8 dB at worst over twelve cases (benchmarks/richardson_lucy.py).
    assert psnr(result.estimate, truth) > max(curve) - 0.8
    assert np.argmin(result.held_out) == result.iterations
    np.testing.assert_array_equal(result.estimate, every.intermediate[result.iterations - 1])


def test_scaled_intensities_stop_where_the_counts_do():
    truth, image = photographed(camera(), 2, 200)
    scaled = restore(0.013 * image, 2)
    gain = float(re.search(r"shows (\S+) intensity units per photon", scaled.message)[1])
    assert gain == pytest.approx(0.013, rel=0.1)
    loss = psnr(restore(image, 2).estimate, truth) - psnr(scaled.estimate / 0.013, truth)
    # The gain is rounded and the draws differ, so the number may differ by one.
    assert abs(loss) < 0.1


def test_few_iterations_are_called_a_case_for_regularization():
    smooth = scipy.ndimage.gaussian_filter(
        np.random.default_rng(3).normal(size=(128, 128)), 12, mode="wrap"
    )
    _, image = photographed(smooth - smooth.min(), 2, 20)
    result = restore(image, 2)
    assert result.iterations <= 3
    assert "tikhonov" in result.message


def test_the_trial_is_reported_step_by_step():
    _, image = photographed(camera(), 2, 200)
    steps = []
    run(richardson_lucy_job(image, gaussian_psf(2), boundary="periodic"), steps.append)
    trial = [step for step in steps if step.total == 0]
    final = [step for step in steps if step.total]
    assert all(step.held_out > 0 for step in trial)
    assert all(step.held_out is None for step in final)
    assert [step.done for step in final] == list(range(1, final[0].total + 1))
    assert final[-1].preview.shape == image.shape
