import numpy as np
import pytest
from scipy.special import j0, j1

from napari_convfact.foundation.job import Step
from napari_convfact.kernels.focus import Focus
from napari_convfact.kernels.microscope import Lens, Microscope
from napari_convfact.kernels.psf import psf_shape, theoretical_psf_job
from napari_convfact.kernels.psf import theoretical_psf as psf_of_microscope


def theoretical_psf(voxel, size=None, **optics):
    return psf_of_microscope(Microscope(**optics), voxel, size=size)


def fwhm(profile, spacing):
    """Width at half maximum of a symmetric profile by linear interpolation."""
    half = profile[len(profile) // 2 :] / profile.max()
    first = np.flatnonzero(half < 0.5)[0]
    step = (half[first - 1] - 0.5) / (half[first - 1] - half[first])
    return 2 * spacing * (first - 1 + step)


def middle_profiles(psf):
    center = tuple(n // 2 for n in psf.shape)
    return [psf[tuple(slice(None) if a == b else center[b] for b in range(3))] for a in range(3)]


@pytest.mark.parametrize(("na", "index"), [(0.3, 1.0), (0.5, 1.33), (0.8, 1.33), (1.2, 1.33)])
def test_widths_follow_the_textbook(na, index):
    lens = Lens(na, 0.52, index)
    voxel = (lens.axial_fwhm / 16, lens.lateral_fwhm / 16, lens.lateral_fwhm / 16)
    psf = theoretical_psf(voxel, na=na, wavelength=0.52, refractive_index=index)
    z, y, x = (fwhm(p, v) for p, v in zip(middle_profiles(psf), voxel, strict=True))
    assert z == pytest.approx(0.88 * 0.52 / (index - np.sqrt(index**2 - na**2)), rel=0.035)
    # The formula is for scalar light: at high apertures the field along the axis widens it.
    lateral = 0.5145 * 0.52 / na
    assert lateral * 0.99 < x < lateral * (1.01 + 0.14 * (na / index) ** 3)
    assert y == pytest.approx(x, rel=1e-4)


def test_a_low_aperture_gives_the_airy_pattern():
    psf = theoretical_psf((0.05, 0.05), na=0.1, wavelength=0.5, refractive_index=1.0, size=201)
    radius = 0.05 * np.arange(1, 101)
    argument = 2 * np.pi * 0.1 * radius / 0.5
    airy = (2 * j1(argument) / argument) ** 2
    np.testing.assert_allclose(psf[100, 101:] / psf[100, 100], airy, atol=3e-3)


def test_it_equals_psf_generator():
    generator = pytest.importorskip("psf_generator").VectorialSphericalPropagator
    n, n_planes, pixel, step = 31, 15, 25.0, 100.0
    # Its samples are n / (n - 1) of the pixel size apart, and its depths are rounded down to
    # whole units: picometres make that harmless.
    fields = [
        generator(
            na=1.2,
            wavelength=520e3,
            n_i=1.33,
            n_i0=1.33,
            pix_size=pixel * 1e3 * (n - 1) / n,
            n_pix_psf=n,
            n_pix_pupil=301,
            defocus_step=step * 1e3 * (n_planes - 1) / n_planes,
            n_defocus=n_planes,
            apod_factor=True,
            e0x=e0x,
            e0y=1 - e0x,
        ).compute_focus_field()
        for e0x in (0.0, 1.0)
    ]
    peer = sum((field.abs() ** 2).sum(dim=1) for field in fields).numpy()
    psf = theoretical_psf((0.1, 0.025, 0.025), na=1.2, wavelength=0.52, size=(n_planes, n, n))
    np.testing.assert_allclose(psf, peer / peer.sum(), atol=1e-5 * psf.max())


@pytest.mark.parametrize("modality", ["widefield", "confocal", "light-sheet"])
@pytest.mark.parametrize("voxel", [(0.2, 0.1, 0.1), (0.125, 0.022, 0.022), (0.5, 0.13, 0.2)])
def test_it_is_centred_symmetric_and_of_unit_sum(modality, voxel):
    psf = theoretical_psf(voxel, na=1.0, wavelength=0.52, modality=modality, sheet_thickness=1.0)
    assert psf.dtype == np.float32
    assert psf.sum() == pytest.approx(1, abs=1e-5)
    assert all(n % 2 == 1 for n in psf.shape)
    assert np.unravel_index(psf.argmax(), psf.shape) == tuple(n // 2 for n in psf.shape)
    for axis in range(3):
        np.testing.assert_allclose(psf, np.flip(psf, axis), atol=1e-6 * psf.max())


def test_a_closed_pinhole_gives_the_product_and_an_open_one_the_excitation():
    options = {"na": 1.1, "size": (9, 25, 25)}
    voxel = (0.15, 0.025, 0.025)
    emission = theoretical_psf(voxel, wavelength=0.52, **options).astype(float)
    excitation = theoretical_psf(voxel, wavelength=0.488, **options).astype(float)
    confocal = {"modality": "confocal", "wavelength": 0.52, "excitation_wavelength": 0.488}
    closed = theoretical_psf(voxel, pinhole=0.01, **confocal, **options)
    product = emission * excitation
    np.testing.assert_allclose(closed, product / product.sum(), atol=2e-3 * closed.max())
    opened = theoretical_psf(voxel, pinhole=30, **confocal, **options)
    np.testing.assert_allclose(opened, excitation, atol=0.02 * opened.max())


def test_the_light_sheet_multiplies_by_its_profile():
    options = {"na": 0.8, "wavelength": 0.52, "size": (11, 21, 21)}
    voxel = (0.5, 0.2, 0.2)
    wide = theoretical_psf(voxel, **options)
    sheet = theoretical_psf(voxel, modality="light-sheet", sheet_thickness=3.0, **options)
    z = 0.5 * (np.arange(11) - 5)
    expected = wide * 0.5 ** ((z / 1.5) ** 2)[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(sheet, expected / expected.sum(), atol=1e-6)


def test_coarse_pixels_are_integrated_over():
    options = {"na": 1.2, "wavelength": 0.52}
    coarse = theoretical_psf((0.15, 0.15), size=5, **options)
    fine = theoretical_psf((0.01, 0.01), size=75, **options).astype(float)
    blocks = fine.reshape(5, 15, 5, 15).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse, blocks / blocks.sum(), atol=0.01 * coarse.max())


def test_two_dimensions_are_the_plane_in_focus():
    options = {"na": 1.2, "wavelength": 0.52}
    volume = theoretical_psf((0.2, 0.05, 0.05), size=(5, 31, 31), **options)
    plane = theoretical_psf((0.05, 0.05), size=31, **options)
    np.testing.assert_allclose(plane, volume[2] / volume[2].sum(), atol=1e-6)


def test_the_default_size_holds_the_light():
    options = {"na": 1.0, "wavelength": 0.52, "modality": "confocal"}
    psf = theoretical_psf((0.2, 0.06, 0.06), **options)
    larger = theoretical_psf((0.2, 0.06, 0.06), size=tuple(n + 12 for n in psf.shape), **options)
    inner = tuple(slice(6, -6) for _ in range(3))
    # The tails fall with the square of the depth: 1.2 um more at each end hold 2.5 %.
    assert larger[inner].sum() > 0.97
    computed = psf_shape(Microscope(**options), (0.2, 0.06, 0.06))
    assert all(n <= m for n, m in zip(psf.shape, computed, strict=True))
    profile = psf.sum(axis=(1, 2))
    assert profile[0] < 0.03 * profile.max()


def test_the_job_steps_by_planes():
    job = theoretical_psf_job(Microscope(1.0, 0.52), (0.2, 0.1, 0.1), size=(9, 15, 15))
    steps = list(job)
    assert all(isinstance(step, Step) for step in steps)
    assert steps[-1].done == 4
    assert steps[-1].total == 5


@pytest.mark.parametrize(
    ("voxel", "options", "words"),
    [
        ((0.1, 0.1), {"na": 1.4}, "below the refractive index"),
        ((0.1, 0.1), {"na": -1}, "na must be positive"),
        ((0.1,), {"na": 1.0}, "y, x"),
        ((0.1, 0.0), {"na": 1.0}, "voxel_size must be positive"),
        ((0.1, 0.1), {"na": 1.0, "size": 10}, "odd"),
        ((200.0, 200.0), {"na": 1.0}, "unit of the wavelength"),
        ((200.0, 0.1, 0.1), {"na": 1.0, "size": 9}, "unit of the wavelength"),
        ((0.1, 0.1), {"na": 1.0, "refractive_index": np.inf}, "refractive_index must be"),
        ((0.1, 0.1), {"na": 1.0, "modality": "telescope"}, "modality must be"),
        ((0.1, 0.1), {"na": 1.0, "modality": "light-sheet"}, "sheet_thickness"),
        ((0.1, 0.1), {"na": 1.0, "modality": "confocal", "pinhole": 0}, "pinhole"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(voxel, options, words):
    with pytest.raises(ValueError, match=words):
        theoretical_psf(voxel, wavelength=0.52, **options)


def scalar_psf(voxel, size, na, wavelength, index, sample_index, depth, focus):
    """Gibson and Lanni's integral for an objective with its own cover glass, by plain sums."""
    rho = (np.arange(2000) + 0.5) / 2000
    k = 2 * np.pi / wavelength
    immersion, sample = (np.sqrt(n**2 - (na * rho) ** 2) for n in (index, sample_index))
    z, y, x = (np.arange(n) - n // 2 for n in size)
    radius = np.hypot(y[:, np.newaxis] * voxel[1], x * voxel[2])
    unique, where = np.unique(radius, return_inverse=True)
    bessel = j0(k * na * np.outer(unique, rho)) * rho
    planes = []
    for defocus in focus + z * voxel[0]:
        path = depth * (sample - index / sample_index * immersion) - defocus * immersion
        planes.append(np.abs(bessel @ np.exp(1j * k * path))[where.reshape(radius.shape)] ** 2)
    return np.stack(planes)


@pytest.mark.parametrize(("index", "sample_index"), [(1.0, 1.33), (1.515, 1.33)])
def test_spherical_aberration_is_that_of_gibson_and_lanni(index, sample_index):
    optics = {"na": 0.45, "wavelength": 0.52, "sample_index": sample_index}
    lens = Lens(refractive_index=index, depth=250.0, **optics)
    voxel, size = (1.0, 0.06, 0.06), (61, 31, 31)
    psf = theoretical_psf(voxel, size, refractive_index=index, depth=250.0, **optics)
    reach = Focus(lens, 5.0, 60.0)
    defocus = np.linspace(-20, 20, 4001)
    focus = defocus[np.argmax([reach.on_axis(u) for u in defocus])]
    expected = scalar_psf(voxel, size, 0.45, 0.52, index, sample_index, depth=250.0, focus=focus)
    # At this aperture the light is nearly scalar.
    np.testing.assert_allclose(psf / psf.max(), expected / expected.max(), atol=0.02)
    assert abs(psf - psf[::-1]).max() > 0.03 * psf.max()


def test_rays_far_from_the_axis_meet_where_refraction_sends_them():
    """Oil over water: a flat ray crosses the axis above the paraxial focus."""
    oil = {"na": 1.3, "wavelength": 0.52, "refractive_index": 1.515, "sample_index": 1.33}
    psf = theoretical_psf((0.2, 0.1, 0.1), depth=8.0, **oil)
    axis = middle_profiles(psf)[0]
    middle = len(axis) // 2
    assert axis[middle] == psf.max()
    assert axis[middle + 10 :].sum() > 3 * axis[: middle - 9].sum()


@pytest.mark.parametrize(
    "sample", [{"sample_index": 1.33, "depth": 40.0}, {"sample_index": 1.4, "depth": 0.0}]
)
def test_no_aberration_without_depth_or_difference(sample):
    options = {"na": 1.1, "wavelength": 0.52, "size": (9, 15, 15)}
    plain = theoretical_psf((0.2, 0.1, 0.1), **options)
    np.testing.assert_array_equal(theoretical_psf((0.2, 0.1, 0.1), **options, **sample), plain)


@pytest.mark.parametrize("modality", ["widefield", "confocal", "light-sheet"])
def test_a_tiny_difference_makes_a_tiny_difference(modality):
    options = {"na": 1.2, "wavelength": 0.52, "size": (9, 15, 15), "modality": modality}
    options["sheet_thickness"] = 2.0
    plain = theoretical_psf((0.2, 0.1, 0.1), **options)
    nearly = theoretical_psf((0.2, 0.1, 0.1), sample_index=1.3301, depth=5.0, **options)
    np.testing.assert_allclose(nearly, plain, atol=5e-3 * plain.max())


def test_light_beyond_total_reflection_does_not_arrive():
    deep = {"wavelength": 0.52, "refractive_index": 1.515, "sample_index": 1.33, "depth": 2.0}
    options = {"size": (11, 21, 21), **deep}
    all_of_it = theoretical_psf((0.2, 0.1, 0.1), na=1.33, **options)
    np.testing.assert_array_equal(theoretical_psf((0.2, 0.1, 0.1), na=1.45, **options), all_of_it)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"sample_index": 0.0}, "sample_index must be positive"),
        ({"sample_index": np.inf, "depth": 3.0}, "sample_index must be positive"),
        ({"depth": -1.0}, "depth must be a length from 0"),
        ({"depth": np.inf}, "depth must be a length from 0"),
    ],
)
def test_impossible_samples(sample, message):
    with pytest.raises(ValueError, match=message):
        Microscope(1.0, 0.52, **sample)
