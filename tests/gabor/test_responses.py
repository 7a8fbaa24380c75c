import numpy as np
import pytest
import scipy.ndimage
import torch
from skimage import data
from skimage.filters import gabor

from napari_convfact.foundation import blocks, fft
from napari_convfact.foundation.job import Step, run
from napari_convfact.gabor.bank import gabor_bank
from napari_convfact.gabor.responses import gabor_filter


@pytest.fixture(scope="module")
def camera():
    return data.camera()[::4, ::4][:, :101] / np.float32(255)


def grating(shape, frequency, theta, phase=0.3):
    y, x = np.indices(shape)
    return np.cos(2 * np.pi * frequency * (x * np.cos(theta) + y * np.sin(theta)) + phase)


@pytest.mark.parametrize("frequency", [0.1, 0.177, 0.25])
def test_equal_to_scikit_image(camera, frequency):
    angles = [0.3, 1.2, 2.5]
    bank = gabor_bank(frequencies=[frequency], orientations=angles, aspect=1, dc_free=False)
    response = gabor_filter(camera, bank).response[0]
    for ours, theta in zip(response, angles, strict=True):
        real, imaginary = gabor(camera, frequency, theta=theta, n_stds=5, mode="reflect")
        peer = real + 1j * imaginary
        # scikit-image cuts its kernels at five standard deviations: about 1e-4.
        assert np.linalg.norm(ours - peer) <= 2e-4 * np.linalg.norm(peer)
        assert abs(ours - peer).max() <= 2e-4 * abs(peer).max()


def test_an_impulse_shows_the_kernels():
    bank = gabor_bank(n_scales=3, n_orientations=5, phase=0.7)
    impulse = np.zeros((129, 129))
    impulse[64, 64] = 1
    response = gabor_filter(impulse, bank, boundary="zero").response
    kernels = bank.kernels(129)
    np.testing.assert_allclose(response, kernels, atol=2e-6 * abs(kernels).max())


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero"])
def test_boundaries_are_those_of_scipy(camera, boundary):
    bank = gabor_bank(frequencies=[0.2], orientations=[0.5], radial="gabor")
    kernel = bank.kernels()[0, 0]
    mode = {"reflect": "reflect", "periodic": "wrap", "zero": "constant"}[boundary]
    expected = sum(
        factor * scipy.ndimage.convolve(camera.astype(float), part, mode=mode)
        for factor, part in ((1, kernel.real), (1j, kernel.imag))
    )
    response = gabor_filter(camera, bank, boundary=boundary).response[0, 0]
    # The exported kernel ends at four standard deviations: 3e-4 of its height.
    np.testing.assert_allclose(response, expected, atol=1e-3 * abs(expected).max())


def test_a_constant_has_no_response():
    bank = gabor_bank()
    shape = (150, 201)
    of_grating = gabor_filter(1000 * grating(shape, 0.177, 0.4), bank).energy.max() ** 0.5
    of_constant = gabor_filter(np.full(shape, 1000.0), bank).energy.max() ** 0.5
    assert of_constant <= 1e-7 * of_grating


def test_a_large_mean_costs_no_digits(camera):
    bank = gabor_bank(n_scales=3)
    plain = gabor_filter(camera, bank).energy
    lifted = gabor_filter(np.float64(camera) * 1000 + 20000, bank).energy / 1e6
    # float32 holds 21000 to 1/1024: 1e-6 of the range of the image.
    np.testing.assert_allclose(lifted, plain, atol=2e-5 * plain.max())


def test_a_grating_is_strongest_at_its_frequency_and_orientation():
    bank = gabor_bank()
    image = grating((128, 128), bank.frequencies[2], np.pi * 3 / 8)
    energy = gabor_filter(image, bank).energy[..., 40:-40, 40:-40].mean(axis=(-2, -1))
    assert np.unravel_index(energy.argmax(), energy.shape) == (2, 3)
    # A cosine of height 1 is half of each of two waves.
    assert energy[2, 3] == pytest.approx(0.25, rel=1e-2)


def test_phase_advances_along_the_wave_vector():
    bank = gabor_bank(frequencies=[0.125], orientations=[0])
    image = grating((64, 64), 0.125, 0, phase=0.3)
    phase = gabor_filter(image, bank, boundary="periodic").phase[0, 0]
    expected = (2 * np.pi * 0.125 * np.arange(64) + 0.3 + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(
        np.exp(1j * phase), np.exp(1j * expected)[None].repeat(64, 0), atol=1e-4
    )


@pytest.mark.parametrize("frequency", [0.3, 0.177, 0.125, 0.0885])
def test_orientation_of_gratings(frequency):
    bank = gabor_bank(n_scales=4)
    for theta in np.arange(24) * np.pi / 24:
        responses = gabor_filter(grating((160, 160), frequency, theta), bank)
        inside = responses.orientation[50:-50, 50:-50]
        error = (inside - theta + np.pi / 2) % np.pi - np.pi / 2
        assert np.degrees(abs(error).max()) <= 1.5
        assert responses.coherence[50:-50, 50:-50].min() > 0.8
        assert inside.min() >= 0
        assert inside.max() < np.pi


def test_crossed_gratings_have_no_coherence():
    image = grating((128, 128), 0.177, 0) + grating((128, 128), 0.177, np.pi / 2)
    coherence = gabor_filter(image, gabor_bank(n_scales=3)).coherence
    assert np.median(coherence[32:-32, 32:-32]) < 0.05


def test_orientation_colors():
    bank = gabor_bank(n_scales=3)
    upright = gabor_filter(grating((96, 96), 0.177, 0), bank)
    red, green, blue = upright.orientation_rgb()[48, 48]
    assert red > 0.8 > 0.3 > max(green, blue)
    red, green, blue = gabor_filter(grating((96, 96), 0.177, np.pi / 2), bank).orientation_rgb()[
        48, 48
    ]
    assert min(green, blue) > 0.8 > 0.3 > red


def test_band_energies_are_samples_of_the_full_ones(camera):
    for boundary in ("reflect", "periodic", "zero"):
        responses = gabor_filter(camera[:96, :96], gabor_bank(), boundary=boundary)
        energies, strides = responses.band_energies()
        assert strides == [1, 2, 4, 8, 16]
        for full, band, stride in zip(responses.energy, energies, strides, strict=True):
            expected = full[:, ::stride, ::stride]
            np.testing.assert_allclose(band, expected, atol=2e-6 * expected.max())


def test_leading_axes_are_independent(camera):
    movie = np.stack([camera, camera[::-1], 3 * camera])[:, None]
    bank = gabor_bank(n_scales=2, n_orientations=3)
    together = gabor_filter(movie, bank)
    assert together.energy.shape == (2, 3, 3, 1, *camera.shape)
    for index, frame in enumerate(movie):
        alone = gabor_filter(frame[0], bank)
        np.testing.assert_array_equal(together.energy[:, :, index, 0], alone.energy)
        np.testing.assert_array_equal(together.orientation[index, 0], alone.orientation)
        np.testing.assert_array_equal(together.reconstruct()[index, 0], alone.reconstruct())


def test_maps_agree_with_stacks(camera):
    bank = gabor_bank(n_scales=3, n_orientations=4)
    responses = gabor_filter(camera, bank)
    job = responses.compute(["strongest", "strongest_scale", "total_energy"])
    steps = []
    while True:
        try:
            steps.append(next(job))
        except StopIteration as stop:
            maps = stop.value
            break
    assert [step.done for step in steps] == list(range(1, 13))
    assert all(isinstance(step, Step) and step.total == 12 for step in steps)
    energy = responses.energy
    np.testing.assert_array_equal(maps["strongest"], energy.max(axis=(0, 1)))
    np.testing.assert_array_equal(maps["strongest_scale"], energy.max(axis=1).argmax(axis=0))
    np.testing.assert_allclose(maps["total_energy"], energy.sum(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(abs(responses.response) ** 2, energy, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_three_dimensions_are_two_where_nothing_changes_along_z(camera, angle):
    plane = camera[:48, :40]
    volume = np.broadcast_to(plane, (12, *plane.shape))
    arguments = {"frequencies": [0.25, 0.15], "orientations": [angle, angle + 1], "aspect": 1.2}
    flat = gabor_filter(plane, gabor_bank(**arguments)).response
    deep = gabor_filter(volume, gabor_bank(ndim=3, **arguments)).response
    np.testing.assert_allclose(
        deep, np.broadcast_to(flat[:, :, None], deep.shape), atol=2e-6 * abs(flat).max()
    )


def test_orientation_in_three_dimensions():
    bank = gabor_bank(ndim=3, frequencies=[0.25, 0.125], n_orientations=13)
    indices = np.indices((40, 40, 40))
    for vector in ([1, 0, 0], [0, 1, 1], [1, 2, 3], [-1, 1, 2]):
        unit = np.array(vector) / np.linalg.norm(vector)
        image = np.cos(2 * np.pi * 0.177 * np.tensordot(unit, indices, 1))
        responses = gabor_filter(image, bank)
        inside = responses.orientation[:, 15:25, 15:25, 15:25]
        cosine = abs(np.tensordot(unit, inside, 1)).clip(max=1)
        # The directions lie 37 degrees apart.
        assert np.degrees(np.arccos(cosine)).max() < 4
        assert responses.orientation_rgb().shape == (40, 40, 40, 3)


@pytest.mark.parametrize("shape", [(401, 380), (12, 101, 130)], ids=["2-D", "3-D"])
def test_the_same_bits_on_any_number_of_processors(shape, monkeypatch):
    names = [
        "energy",
        "phase",
        "orientation",
        "coherence",
        "total_energy",
        "strongest",
        "strongest_scale",
    ]
    image = np.random.default_rng(0).random(shape)
    bank = gabor_bank(n_scales=2, n_orientations=6, ndim=len(shape))
    found = []
    for processors in (1, 3):
        for module in (blocks, fft):
            monkeypatch.setattr(module, "cpu_count", lambda n=processors: n)
        found.append(run(gabor_filter(image, bank).compute(names)))
    assert all(np.array_equal(found[0][name], found[1][name]) for name in names)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 5), (31, 2)])
def test_tiny_images(shape):
    image = np.random.default_rng(0).standard_normal(shape)
    responses = gabor_filter(image, gabor_bank(), dtype="float64")
    assert np.isfinite(responses.energy).all()
    np.testing.assert_allclose(responses.reconstruct(), image, atol=1e-12)


def test_input_is_not_changed_and_output_is_float32(camera):
    image = (camera * 255).astype(">u2")[::-1]
    before = image.copy()
    responses = gabor_filter(image, gabor_bank(n_scales=1))
    responses.reconstruct()
    assert responses.energy.dtype == responses.orientation.dtype == np.float32
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros(5)}, "axes"),
        ({"image": np.full((5, 5), np.nan)}, "NaN"),
        ({"boundary": "mirror"}, "boundary must be one of"),
        ({"dtype": "int8"}, "dtype"),
        ({"bank": np.zeros((3, 3))}, "gabor_bank"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        gabor_filter(**{"image": np.zeros((8, 8)), "bank": gabor_bank(), **arguments})


def test_unknown_output():
    responses = gabor_filter(np.zeros((8, 8)), gabor_bank())
    with pytest.raises(ValueError, match="Unknown output 'colour'"):
        next(responses.compute(["colour"]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees(camera):
    on_cpu = gabor_filter(camera, gabor_bank(), device="cpu")
    on_gpu = gabor_filter(camera, gabor_bank(), device="cuda")
    np.testing.assert_allclose(on_gpu.energy, on_cpu.energy, atol=1e-5 * on_cpu.energy.max())
    np.testing.assert_allclose(on_gpu.reconstruct(), camera, atol=1e-5)
    np.testing.assert_allclose(on_gpu.total_energy, on_cpu.total_energy, rtol=1e-3)


@pytest.mark.parametrize("factor", [1e-30, 1e-20, 1e18, 1e25])
def test_energies_beyond_the_precision_are_refused(camera, factor):
    """They were 0 or infinite, and the orientation made of them was noise or NaN."""
    responses = gabor_filter(camera * factor, gabor_bank(n_scales=1))
    for outputs in (["energy"], ["orientation"], ["phase", "strongest"]):
        with pytest.raises(ValueError, match="float32 cannot hold the energies"):
            responses.compute(outputs)
    with pytest.raises(ValueError, match="energies"):
        responses.band_energies()
    # What is linear, or a phase, is as good as ever, and so is all of it in float64.
    np.testing.assert_allclose(responses.reconstruct() / factor, camera, rtol=1e-4)
    precise = gabor_filter(camera * factor, gabor_bank(n_scales=1), dtype="float64")
    expected = gabor_filter(camera, gabor_bank(n_scales=1), dtype="float64")
    np.testing.assert_allclose(precise.coherence, expected.coherence, atol=1e-4)


def test_kernels_that_reach_too_far_beside_zeros():
    bank = gabor_bank(n_scales=12)
    with pytest.raises(ValueError, match="use boundary='reflect', or fewer scales"):
        gabor_filter(np.ones((8, 9)), bank, boundary="zero")
    gabor_filter(np.ones((8, 9)), bank)
