import math

import numpy as np
import pytest
import torch
from skimage.filters import gabor_kernel

from napari_convfact.gabor import cache
from napari_convfact.gabor.bank import gabor_bank


def test_kernels_are_those_of_scikit_image():
    bank = gabor_bank(
        frequencies=[0.25, 0.1], orientations=[0, 0.4, 2.5], aspect=1, dc_free=False, phase=0.3
    )
    kernels = bank.kernels(41)
    for scale, frequency in enumerate(bank.frequencies):
        for index, theta in enumerate([0, 0.4, 2.5]):
            peer = gabor_kernel(frequency, theta=theta, n_stds=3, offset=0.3)
            height, width = (n // 2 for n in peer.shape)
            ours = kernels[scale, index, 20 - height : 21 + height, 20 - width : 21 + width]
            # complex64 against complex128.
            np.testing.assert_allclose(ours, peer, atol=1e-6 * abs(peer).max())


def test_wavelengths_are_reciprocal_frequencies():
    by_wavelength = gabor_bank(wavelengths=[4, 10]).spectrum((32, 48))
    by_frequency = gabor_bank(frequencies=[0.25, 0.1]).spectrum((32, 48))
    np.testing.assert_array_equal(by_wavelength, by_frequency)


def test_scales_go_down_by_octaves():
    bank = gabor_bank(highest=0.4, n_scales=3, octave_spacing=0.5)
    np.testing.assert_allclose(bank.frequencies, [0.4, 0.4 / math.sqrt(2), 0.2])


@pytest.mark.parametrize("radial", ["gabor", "log-gabor"])
def test_bandwidth_is_the_width_at_half_the_peak(radial):
    bank = gabor_bank(
        frequencies=[0.125], orientations=[0], bandwidth=1, radial=radial, dc_free=False
    )
    gain = bank.spectrum((1, 3000))[0, 0, 0]
    above = np.flatnonzero(gain >= gain.max() / 2)
    assert math.log2(above[-1] / above[0]) == pytest.approx(1, abs=0.02)


def test_neighbouring_orientations_cross_near_half_their_peak():
    bank = gabor_bank(frequencies=[0.2], n_orientations=8)
    gains = bank.spectrum((1000, 1000))[0]
    y, x = (round(200 * part) for part in (math.sin(math.pi / 16), math.cos(math.pi / 16)))
    # The crossing lies a little inside the circle of the peaks.
    np.testing.assert_allclose(gains[:2, y, x], 0.5, atol=0.01)


def test_dc_free_kernels_have_no_gain_at_zero():
    for arguments in ({}, {"bandwidth": 2.5}, {"radial": "log-gabor"}, {"ndim": 3, "n_scales": 2}):
        bank = gabor_bank(**arguments)
        zero = (..., *(0,) * bank.ndim)
        assert not bank.spectrum((40, 36, 30)[: bank.ndim])[zero].any()
    assert gabor_bank(dc_free=False).spectrum((40, 36))[..., 0, 0].min() > 1e-4


def test_kernels_of_unit_energy():
    kernels = gabor_bank(normalize="l2", n_scales=3).kernels()
    np.testing.assert_allclose((abs(kernels) ** 2).sum(axis=(-2, -1)), 1, rtol=1e-4)


def test_kernels_with_an_envelope_of_height_one():
    kernels = gabor_bank(normalize="envelope", n_scales=2, dc_free=False).kernels(9)
    np.testing.assert_allclose(kernels[..., 4, 4], 1, atol=1e-5)


def test_coverage_counts_frequencies_with_their_negatives():
    bank = gabor_bank(n_scales=3)
    gain = (bank.spectrum((30, 41)) ** 2).sum(axis=(0, 1))
    mirrored = np.roll(gain[::-1, ::-1], (1, 1), (0, 1))
    np.testing.assert_allclose(bank.coverage((30, 41)), (gain + mirrored) / 2, rtol=1e-5)


def test_spectra_of_a_shape_are_made_once():
    bank = gabor_bank(n_scales=1)
    band = bank.band((20, 20), 0, 3, torch.float32)
    assert bank.band((20, 20), 0, 3, torch.float32) is band
    assert bank.band((20, 20), 0, 3, torch.float64) is not band


def test_kept_spectra_are_bounded(monkeypatch):
    bank = gabor_bank()
    whole = bank.spectrum((64, 64))
    everything = bank._cache.bytes
    monkeypatch.setattr(cache, "MOST_BYTES", everything // 3)
    small = gabor_bank()
    np.testing.assert_array_equal(small.spectrum((64, 64)), whole)
    assert 0 < small._cache.bytes <= everything // 3
    for size in range(20, 30):
        small.spectrum((size, size))
    assert len(small._cache._shapes) == cache.MOST_SHAPES


@pytest.mark.parametrize(("count", "degrees"), [(3, 90), (4, 70.529), (6, 63.435)])
def test_directions_of_known_best_arrangements(count, degrees):
    directions = gabor_bank(ndim=3, n_orientations=count).directions
    cosines = abs(directions @ directions.T) - np.eye(count)
    np.testing.assert_allclose(np.degrees(np.arccos(cosines.max(axis=1))), degrees, atol=0.01)


def test_thirteen_directions_keep_apart():
    directions = gabor_bank(ndim=3, n_orientations=13).directions
    cosines = abs(directions @ directions.T) - np.eye(13)
    # The cube's 13 axes come as near as 35.26 degrees.
    assert np.degrees(np.arccos(cosines.max())) > 35.3


def test_manjunath_spectra_touch_at_half_the_peak():
    bank = gabor_bank(preset="manjunath")
    np.testing.assert_allclose(bank.frequencies, [0.4, 0.2, 0.1, 0.05])
    one = gabor_bank(preset="manjunath", orientations=[0]).spectrum((1, 4000))[:, 0, 0]
    for frequency, gain in zip(bank.frequencies, one, strict=True):
        half = [round(4000 * frequency * part) for part in (2 / 3, 4 / 3)]
        if half[1] < 2000:
            np.testing.assert_allclose(gain[half], 0.5, atol=5e-3)


def test_a_preset_gives_way_to_arguments():
    bank = gabor_bank(preset="manjunath", n_scales=2, bandwidth=1.2)
    assert bank.shape == (2, 6)
    assert bank.frequencies[0] == 0.354
    assert bank.along[0] == gabor_bank(bandwidth=1.2).along[0]


@pytest.mark.parametrize(
    ("preset", "arguments"),
    [
        ("manjunath", {"n_orientations": 8}),
        ("manjunath", {"highest": 0.354, "n_scales": 5}),
        ("lee1996", {"bandwidth": 1.0}),
        ("lee1996", {"normalize": "peak"}),
        ("ibsi", {"dc_free": True}),
    ],
)
def test_arguments_win_over_a_preset_where_they_are_the_default(preset, arguments):
    bank, plain = gabor_bank(preset=preset, **arguments), gabor_bank(**arguments)
    shown = {"n_orientations": "shape", "highest": "frequencies", "bandwidth": "along"}
    for name in arguments.keys() - {"n_scales"}:
        attribute = shown.get(name, name)
        found, expected = getattr(bank, attribute), getattr(plain, attribute)
        if name == "n_orientations":
            found, expected = found[1], expected[1]
        assert found == expected


@pytest.mark.parametrize("n_scales", [1, 3, 6])
def test_manjunath_takes_any_number_of_scales(n_scales):
    """Its widths follow its frequencies: as many of them as there are scales."""
    bank = gabor_bank(preset="manjunath", highest=0.4, n_scales=n_scales)
    ratio = np.array(bank.along) * bank.frequencies
    np.testing.assert_allclose(ratio, gabor_bank(preset="manjunath").along[0] * 0.4)


@pytest.mark.parametrize("radial", ["gabor", "log-gabor"])
@pytest.mark.parametrize("shape", [(1, 9), (64, 3), (200, 210)])
def test_the_height_of_unit_energy_is_no_matter_of_the_image(shape, radial):
    """On a small torus a sum over the spectrum's samples was not the kernel's energy."""
    options = {"n_scales": 3, "n_orientations": 4, "radial": radial}
    bank, peak = gabor_bank(normalize="l2", **options), gabor_bank(**options)
    energy = (abs(peak.kernels(601)) ** 2).sum((-2, -1), keepdims=True)
    expected = peak.spectrum(shape) / np.sqrt(energy)
    np.testing.assert_allclose(bank.spectrum(shape), expected, rtol=2e-3, atol=1e-5)


def test_kernels_that_do_not_fit_in_memory():
    with pytest.raises(ValueError, match="do not fit in memory"):
        gabor_bank(n_scales=12).kernels()


def test_lee_kernels_are_twice_as_long_across():
    bank = gabor_bank(preset="lee1996")
    np.testing.assert_allclose(bank.across, 2 * np.array(bank.along))


def test_ibsi_kernels_are_waves_under_an_envelope_of_height_one():
    kernel = gabor_bank(preset="ibsi", orientations=[0]).kernels(21)[0, 0]
    y, x = np.mgrid[-10:11, -10:11]
    expected = np.exp(-(x**2 + 6.25 * y**2) / 200) * np.exp(1j * math.pi / 2 * x)
    np.testing.assert_allclose(kernel, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bandwidth": 0}, "bandwidth must be a positive number"),
        ({"bandwidth": -1}, "bandwidth must be a positive number"),
        ({"bandwidth": 2000}, "bandwidth must be from 0.001 to 32 octaves"),
        ({"bandwidth": 1e-17}, "bandwidth must be from"),
        ({"bandwidth": "wide"}, "bandwidth must be a positive number"),
        ({"n_scales": "many"}, "n_scales must be a whole number"),
        ({"n_scales": None}, "n_scales must be a whole number"),
        ({"n_scales": 2.0}, "n_scales must be a whole number"),
        ({"sigma": 0}, "sigma must be a positive number"),
        ({"sigma": [1, 2, 3]}, "3 values for 5 scales"),
        ({"aspect": 0}, "aspect must be a positive number"),
        ({"frequencies": [0.6]}, "at most 0.5"),
        ({"frequencies": []}, "empty"),
        ({"wavelengths": [0]}, "wavelengths must be a positive number"),
        ({"wavelengths": [1.5]}, "at least 2 pixels"),
        ({"frequencies": [0.1], "wavelengths": [4]}, "not both"),
        ({"n_scales": 0}, "n_scales must be a whole number"),
        ({"n_orientations": 2.5}, "n_orientations must be a whole number"),
        ({"orientations": []}, "at least one"),
        ({"orientations": [[0, 0]]}, "length zero"),
        ({"orientations": [[0, 0, 1]]}, "angles"),
        ({"ndim": 4}, "ndim must be 2 or 3"),
        ({"radial": "round"}, "radial must be one of"),
        ({"normalize": "max"}, "normalize must be one of"),
        ({"radial": "log-gabor", "sigma": 3}, "no Gaussian envelope"),
        ({"phase": float("nan")}, "phase must be a number of radians"),
        ({"preset": "smith"}, "no preset 'smith'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        gabor_bank(**arguments)


def test_a_shape_of_another_dimension():
    with pytest.raises(ValueError, match="does not fit"):
        gabor_bank().spectrum((8, 8, 8))
