import numpy as np
import pytest
import scipy.ndimage
from texture_targets import CAUSAL, SYMMETRIC, half_plane_kernel

from napari_convfact.texture.spectrum import ar_spectrum, ar_synthesize


@pytest.mark.parametrize("kernel", [CAUSAL, SYMMETRIC])
def test_the_noise_of_a_simultaneous_field_is_white_and_of_the_given_variance(kernel):
    field = ar_synthesize(kernel, (256, 200), variance=4.0, seed=1).astype(np.float64)
    noise = field - scipy.ndimage.convolve(field, kernel, mode="wrap")
    expected = 2 * np.random.default_rng(1).normal(size=(256, 200))
    np.testing.assert_allclose(noise, expected, atol=1e-4)  # float32 of a field of size 10


@pytest.mark.parametrize(
    ("kernel", "model", "shape"),
    [
        (CAUSAL, "simultaneous", (15, 18)),
        (SYMMETRIC, "simultaneous", (16, 17)),
        (SYMMETRIC, "conditional", (16, 17)),
    ],
)
def test_the_spectrum_is_the_formula_written_out(kernel, model, shape):
    y, x = (np.arange(n) - n // 2 for n in shape)
    gain = np.ones(shape, complex)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            phase = dy * y[:, None] / shape[0] + dx * x[None, :] / shape[1]
            gain -= kernel[dy + 1, dx + 1] * np.exp(-2j * np.pi * phase)
    expected = 3 / np.abs(gain) ** 2 if model == "simultaneous" else 3 / gain.real
    np.testing.assert_allclose(
        ar_spectrum(kernel, shape, variance=3.0, model=model), expected, rtol=1e-5
    )


def test_fields_have_the_spectrum_on_average():
    fields = [ar_synthesize(SYMMETRIC, (32, 32), model="conditional", seed=s) for s in range(400)]
    power = np.mean([np.abs(np.fft.fft2(field)) ** 2 / field.size for field in fields], axis=0)
    expected = ar_spectrum(SYMMETRIC, (32, 32), model="conditional")
    ratio = np.fft.fftshift(power) / expected
    # The mean of 400 exponential variables scatters by 5 % (7 % where the phase is real).
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert np.abs(ratio - 1).max() < 0.35


@pytest.mark.parametrize(
    ("kernel", "model", "sentence"),
    [
        (half_plane_kernel(0.5, 0, 0, 0), "simultaneous", "No stationary"),
        (half_plane_kernel(0.6, 0, 0, 0), "conditional", "No stationary"),
        (CAUSAL, "conditional", "symmetric kernel"),
        (SYMMETRIC, "car", "model must be"),
        (np.zeros(3), "simultaneous", "axes"),
        (np.zeros((41, 3)), "simultaneous", "does not fit"),
    ],
)
def test_kernels_without_a_field_are_refused(kernel, model, sentence):
    with pytest.raises(ValueError, match=sentence):
        ar_synthesize(kernel, (40, 40), model=model)
