"""The layers that show what an inverse does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter

from napari_convfact.deconvolution.deconvolve import deconvolve
from napari_convfact.deconvolution.spectrum import deconvolution_spectra, residual_image

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(12,), (9, 10), (4, 5, 6)])
def test_spectra_are_centred_gains(shape):
    psf = RNG.random((3,) * len(shape))
    psf /= psf.sum()
    H = np.abs(np.fft.fftshift(np.fft.fftn(psf, shape)))
    spectra = deconvolution_spectra(psf, shape, method="wiener", boundary="periodic", strength=0.1)
    np.testing.assert_allclose(spectra.transfer, H, atol=1e-6)
    np.testing.assert_allclose(spectra.gain, H / (H**2 + 0.1), atol=1e-5)
    assert spectra.spacing == tuple(1 / n for n in shape)
    assert spectra.transfer[tuple(n // 2 for n in shape)] == pytest.approx(1, abs=1e-6)


def test_the_cut_of_the_pseudo_inverse_is_seen():
    psf = np.full(5, 0.2)
    spectra = deconvolution_spectra(
        psf, (40,), method="pseudo-inverse", boundary="periodic", strength=0.3
    )
    cut = spectra.transfer < 0.3
    assert cut.any()
    np.testing.assert_allclose(spectra.gain[cut], 0, atol=1e-6)
    np.testing.assert_allclose(spectra.gain[~cut] * spectra.transfer[~cut], 1, atol=1e-5)


def test_richardson_lucy_has_no_spectrum():
    with pytest.raises(ValueError, match="not linear"):
        deconvolution_spectra([1, 2, 1], (9,), method="richardson-lucy", strength=1.0)
    with pytest.raises(ValueError, match="1 axes"):
        deconvolution_spectra([1, 2, 1], (9, 9), strength=1.0)


def test_the_residual_is_what_the_estimate_leaves():
    image, estimate = RNG.random((2, 3, 8, 9))
    psf = RNG.random((3, 2))
    # Zeros make the origin of an even axis the one that scipy takes.
    odd = np.pad(psf / psf.sum(), ((0, 0), (0, 1)))
    expected = [
        y - convolve(x, odd, mode="reflect") - 0.5 for y, x in zip(image, estimate, strict=True)
    ]
    residual = residual_image(image, estimate, psf, background=0.5)
    np.testing.assert_allclose(residual, expected, atol=1e-6)
    assert residual.dtype == np.float32


def test_the_residual_of_a_deconvolution_is_noise():
    scene = 100 * gaussian_filter(RNG.standard_normal((64, 64)), 4)
    psf = np.outer([1, 2, 1], [1, 2, 1]) / 16
    image = convolve(scene, psf, mode="reflect") + 0.2 * RNG.standard_normal(scene.shape)
    estimate = deconvolve(image, psf).estimate
    # Some of the noise is in the estimate, so a little less than all of it is left.
    inner = residual_image(image, estimate, psf)[3:-3, 3:-3]
    assert 0.15 < inner.std() < 0.2
    assert abs(inner.mean()) < 0.02


def test_missing_values_are_missing_in_the_residual():
    image, estimate = RNG.random((2, 6, 6))
    estimate[2, 3] = np.nan
    residual = residual_image(image, estimate, np.ones((3, 3)))
    assert np.isnan(residual[2, 3])
    assert np.isfinite(residual).sum() == residual.size - 1


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        residual_image(np.ones((4, 5)), np.ones((4, 4)), np.ones((3, 3)))
