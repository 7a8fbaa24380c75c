import numpy as np
import pytest
import torch
from skimage import data

from napari_convfact.foundation.job import run
from napari_convfact.gabor.bank import gabor_bank
from napari_convfact.gabor.frame import measure_frame
from napari_convfact.gabor.responses import gabor_filter

BANKS = [
    {},
    {"n_orientations": 3, "octave_spacing": 0.5, "n_scales": 4},
    {"radial": "log-gabor"},
    {"dc_free": False, "aspect": 1, "phase": 1.0},
    {"preset": "lee1996"},
]


@pytest.fixture(scope="module")
def camera():
    return data.camera()[::5, ::5][:, :90].astype(np.float64)


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero"])
@pytest.mark.parametrize("arguments", BANKS)
def test_reconstruction_is_exact(camera, arguments, boundary):
    bank = gabor_bank(**arguments)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
        restored = gabor_filter(camera, bank, boundary=boundary, dtype=dtype).reconstruct()
        assert restored.dtype == dtype
        assert np.linalg.norm(restored - camera) <= tolerance * np.linalg.norm(camera)


@pytest.mark.parametrize("arguments", BANKS)
def test_parseval(camera, arguments):
    bank = gabor_bank(**arguments)
    responses = gabor_filter(camera, bank, boundary="periodic", dtype="float64")
    power = abs(np.fft.fft2(camera)) ** 2 / camera.size
    frame = run(measure_frame(bank, camera.shape, torch.float64, np.ones(bank.shape)))
    assert responses.energy.sum() == pytest.approx((power * frame.seen.numpy()).sum(), rel=1e-12)
    first = np.zeros(bank.shape)
    first[0, 1] = 1
    frame = run(measure_frame(bank, camera.shape, torch.float64, first))
    expected = (power * frame.seen.numpy()).sum()
    assert responses.energy[0, 1].sum() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("arguments", BANKS)
def test_the_frame_is_tight(camera, arguments):
    bank = gabor_bank(**arguments)
    gains = abs(bank.spectrum(camera.shape).astype(complex)) ** 2
    frame = run(measure_frame(bank, camera.shape, torch.float64, np.ones(bank.shape)))
    total, residual = frame.total.numpy(), frame.residual.numpy()
    power = abs(np.fft.fft2(camera)) ** 2 / camera.size
    energies = [
        (power * gain / total).sum() for gain in (*gains.reshape(-1, *camera.shape), residual)
    ]
    assert residual.min() >= 0
    # The kernels' gains are float32 here.
    assert sum(energies) == pytest.approx((camera**2).sum(), rel=1e-6)


def test_weights_are_those_of_the_adjoint_frame(camera):
    """Against the definition: filter, weight, filter with the adjoint, add."""
    bank = gabor_bank(n_scales=3, n_orientations=4)
    weights = np.random.default_rng(1).uniform(-1, 2, (3, 4, *camera.shape))
    coverage = bank.coverage(camera.shape).astype(float)
    energy = np.maximum(coverage, 0.1 * coverage.max())
    gains = bank.spectrum(camera.shape) / np.sqrt(energy)
    spectrum = np.fft.fft2(camera)
    expected = 0.5 * np.fft.ifft2(spectrum * (1 - coverage / energy)).real
    for index in np.ndindex(3, 4):
        response = weights[index] * np.fft.ifft2(spectrum * gains[index])
        expected += np.fft.ifft2(np.fft.fft2(response) * gains[index]).real
    responses = gabor_filter(camera, bank, boundary="periodic", dtype="float64")
    edited = responses.reconstruct(weights, residual=0.5)
    # The spectra that the definition was given are float32.
    np.testing.assert_allclose(edited, expected, atol=1e-6 * abs(expected).max())


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero"])
def test_a_constant_mask_is_a_weight(camera, boundary):
    bank = gabor_bank(n_scales=3)
    weights = np.ones(bank.shape)
    weights[1, 2] = 0.2
    responses = gabor_filter(camera, bank, boundary=boundary, dtype="float64")
    by_weight = responses.reconstruct(weights)
    by_mask = responses.reconstruct(weights[..., None, None])
    np.testing.assert_allclose(by_mask, by_weight, atol=1e-10)
    assert abs(by_weight - camera).max() > 1


def test_weights_that_are_not_finite_are_refused(camera):
    responses = gabor_filter(camera, gabor_bank(n_scales=2))
    with pytest.raises(ValueError, match="residual must be finite"):
        responses.reconstruct(residual=np.nan)
    with pytest.raises(ValueError, match="weights must be finite"):
        responses.reconstruct([[np.inf], [1]])


def test_weights_of_scales_broadcast(camera):
    responses = gabor_filter(camera, gabor_bank(n_scales=2), dtype="float64")
    by_scale = responses.reconstruct([[0], [1]])
    full = responses.reconstruct(np.repeat([[0.0], [1.0]], 8, axis=1))
    np.testing.assert_array_equal(by_scale, full)


def test_stripes_are_removed(camera):
    columns = np.arange(camera.shape[1])
    stripes = np.broadcast_to(20 * np.cos(2 * np.pi * 0.177 * columns), camera.shape)
    bank = gabor_bank(n_orientations=12)
    weights = np.ones(bank.shape)
    weights[:3, 0] = 0
    cleaned = gabor_filter(camera + stripes, bank).reconstruct(weights)
    of_image = gabor_filter(camera, bank).reconstruct(weights)
    left = np.linalg.norm(cleaned - of_image) / np.linalg.norm(stripes)
    assert left < 0.1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 7)), "do not fit"),
        (np.ones((2, 8, 3, 3)), "do not fit"),
        ([[np.nan]], "finite"),
    ],
)
def test_bad_weights(camera, weights, message):
    with pytest.raises(ValueError, match=message):
        gabor_filter(camera, gabor_bank(n_scales=2)).reconstruct(weights)


@pytest.mark.parametrize("shape", [(3, 2), (1, 1)])
@pytest.mark.parametrize("normalize", ["peak", "l2"])
def test_kernels_that_see_nothing_of_a_small_image(shape, normalize):
    image = np.random.default_rng(0).standard_normal(shape)
    bank = gabor_bank(radial="log-gabor", normalize=normalize)
    responses = gabor_filter(image, bank, boundary="periodic", dtype="float64")
    # The coarsest waves are far below the lowest frequency that so few pixels have.
    assert responses.energy[-1].max() == 0
    np.testing.assert_allclose(responses.reconstruct(), image, atol=1e-12)
