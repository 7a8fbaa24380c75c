import json
from dataclasses import asdict

import numpy as np
import pytest
import skimage.data

from napari_convfact.foundation.job import Step
from napari_convfact.kernels.beads import psf_from_beads, psf_from_beads_job
from napari_convfact.kernels.gaussian_fit import FWHM_PER_SIGMA, fit_gaussian
from napari_convfact.samples import load_sample

SIGMA = np.array([2.4, 1.9, 1.6])
CENTERS = np.array(
    [[15.3, 20.1, 22.7], [20.6, 24.4, 60.2], [17.0, 62.8, 24.5], [18.45, 66.3, 66.9]]
)
SHAPE = (36, 88, 90)


def blob(shape, center, sigma, skew=0.0):
    """A Gaussian, sheared along x by z: asymmetric under any flip of one axis."""
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    dz, dy, dx = z - center[0], y - center[1], x - center[2]
    dx = dx - skew * dz
    return np.exp(-0.5 * ((dz / sigma[0]) ** 2 + (dy / sigma[1]) ** 2 + (dx / sigma[2]) ** 2))


def bead_image(centers=CENTERS, brightness=300.0, background=5.0, skew=0.0, seed=0):
    brightness = np.broadcast_to(brightness, len(centers))
    image = sum(
        (b * blob(SHAPE, c, SIGMA, skew) for b, c in zip(brightness, centers, strict=True)),
        start=np.full(SHAPE, background),
    )
    return image if seed is None else np.random.default_rng(seed).poisson(image).astype(np.uint16)


def test_widths_and_positions_of_synthetic_beads_are_recovered():
    psf, report = psf_from_beads(bead_image(), voxel_size=(0.2, 0.1, 0.1))
    assert report.n_beads == len(CENTERS)
    np.testing.assert_allclose(report.fwhm, FWHM_PER_SIGMA * SIGMA, rtol=0.03)
    np.testing.assert_allclose(
        report.fwhm_physical, FWHM_PER_SIGMA * SIGMA * [0.2, 0.1, 0.1], rtol=0.03
    )
    found = np.array(report.positions)
    order = [np.abs(found - c).sum(axis=1).argmin() for c in CENTERS]
    np.testing.assert_allclose(found[order], CENTERS, atol=0.1)
    assert report.background == pytest.approx(5, abs=0.05)
    assert psf.dtype == np.float32
    assert psf.sum() == pytest.approx(1, abs=1e-5)
    assert psf.min() == 0
    assert all(n % 2 for n in psf.shape)


def test_the_psf_is_the_true_one_centred():
    psf, _ = psf_from_beads(bead_image(brightness=3000.0), size=(17, 15, 15))
    truth = blob(psf.shape, np.array(psf.shape) // 2, SIGMA)
    # The peak is a sum of 12000 photons: its noise is 0.9 %.
    np.testing.assert_allclose(psf, truth / truth.sum(), atol=0.04 * psf.max())
    peak = fit_gaussian(psf, [n // 2 for n in psf.shape], FWHM_PER_SIGMA * SIGMA)
    np.testing.assert_allclose(peak.center, [n // 2 for n in psf.shape], atol=0.03)


def test_an_asymmetric_psf_is_not_flipped():
    psf, report = psf_from_beads(bead_image(brightness=2000.0, skew=0.6))
    truth = blob(psf.shape, np.array(psf.shape) // 2, SIGMA, skew=0.6)
    correlation = np.corrcoef(psf.ravel(), truth.ravel())[0, 1]
    assert correlation > 0.995
    assert np.corrcoef(psf[::-1].ravel(), truth.ravel())[0, 1] < 0.9
    # Along each axis through the centre, and not of the projection.
    inverse = np.diag(1 / SIGMA**2)
    inverse[0, 0] += (0.6 / SIGMA[2]) ** 2
    np.testing.assert_allclose(report.fwhm, FWHM_PER_SIGMA / np.sqrt(np.diag(inverse)), rtol=0.03)


def test_only_isolated_whole_unsaturated_round_beads_are_taken():
    image = bead_image(seed=None)
    image += 300 * blob(SHAPE, (18, 3.0, 45.0), SIGMA)  # at the edge
    image += 300 * blob(SHAPE, (18, 43.0, 40.0), SIGMA)  # a pair
    image += 300 * blob(SHAPE, (18, 43.0, 47.0), SIGMA)
    noisy = np.random.default_rng(2).poisson(image)
    _, report = psf_from_beads(noisy)
    assert report.n_beads == len(CENTERS)
    assert report.rejected["too near the edge"] == 1
    assert report.rejected["too near another"] == 2
    assert "left out" in str(report)


def test_a_blob_of_another_shape_is_left_out():
    image = bead_image(seed=None)
    image += 250 * blob(SHAPE, (18, 43.0, 44.0), [1.2, 7.0, 0.9])
    _, report = psf_from_beads(np.random.default_rng(3).poisson(image), size=(17, 17, 17))
    assert report.n_beads == len(CENTERS)
    assert sum(report.rejected.values()) >= 1


def test_a_saturated_bead_is_left_out():
    image = bead_image(brightness=[200, 200, 200, 900], seed=0)
    clipped = image.clip(max=255).astype(np.uint8)
    _, report = psf_from_beads(clipped)
    assert report.n_beads == 3
    assert report.rejected["saturated"] == 1


def test_points_are_refined_and_nothing_else_is_used():
    points = CENTERS[:2] + np.array([[1, -1, 1], [-1, 1, 0]])
    _, report = psf_from_beads(bead_image(), points)
    assert report.n_beads == 2
    np.testing.assert_allclose(report.positions, CENTERS[:2], atol=0.1)


def test_two_points_on_a_bead_do_not_make_it_two():
    points = CENTERS[[0, 1, 0]] + np.array([[1, -1, 1], [-1, 1, 0], [-1, 1, 0]])
    _, report = psf_from_beads(bead_image(), points)
    assert report.n_beads == 2
    np.testing.assert_allclose(report.positions, CENTERS[:2], atol=0.1)
    assert "1 marked twice" in str(report)


def test_a_bead_in_the_middle_between_voxels_is_one():
    # Without noise its eight brightest voxels are equal.
    center = np.array([17.5, 40.5, 40.5])
    _, report = psf_from_beads(bead_image(center[None], background=0.0, seed=None))
    assert report.n_beads == 1
    np.testing.assert_allclose(report.positions, center[None], atol=0.01)


@pytest.mark.parametrize("unit", [2.0**-90, 2.0**90])
def test_the_unit_of_intensity_does_not_matter(unit):
    image = bead_image().astype(np.float32)
    psf, report = psf_from_beads(image)
    same, scaled = psf_from_beads(image * np.float32(unit))
    np.testing.assert_allclose(same, psf, atol=1e-7)
    assert scaled.signal_to_noise == pytest.approx(report.signal_to_noise, rel=1e-4)
    assert scaled.background == pytest.approx(unit * report.background, rel=1e-5)


def test_two_dimensions():
    image = bead_image(brightness=800.0, seed=None)[17]
    noisy = np.random.default_rng(4).poisson(image)
    psf, report = psf_from_beads(noisy)
    assert psf.ndim == 2
    assert report.n_beads == len(CENTERS)
    np.testing.assert_allclose(report.fwhm, FWHM_PER_SIGMA * SIGMA[1:], rtol=0.04)


def test_real_beads():
    beads = load_sample("confocal_beads")
    psf, report = psf_from_beads(beads.data, voxel_size=beads.scale)
    assert report.n_beads == 4
    assert sum(report.rejected.values()) == 0
    near = [(24, 36, 125), (24, 73, 29), (24, 82, 75), (24, 111, 44)]  # read off the image
    for position in report.positions:
        assert min(np.abs(np.subtract(position, n)).max() for n in near) < 1.5
    # By eye in the profiles: 5, 11 and 8 voxels; narrower than light of 0.5 um allows no bead.
    np.testing.assert_allclose(report.fwhm, (5, 10.7, 7.8), rtol=0.1)
    assert psf.sum() == pytest.approx(1, abs=1e-5)
    middle = psf[tuple(n // 2 for n in psf.shape)]
    assert middle > 0.9 * psf.max()


def test_the_report_speaks_and_is_json_ready():
    _, report = psf_from_beads(bead_image(), voxel_size=0.1, unit="um")
    text = str(report)
    assert "4 beads were averaged" in text
    widths = " x ".join(f"{0.1 * w:.3g}" for w in report.fwhm)
    assert f"voxels, that is {widths} um." in text
    assert "times the noise" in text
    assert json.loads(json.dumps(asdict(report)))["n_beads"] == 4


def test_the_job_reports_steps_and_can_be_closed():
    job = psf_from_beads_job(bead_image())
    step = next(job)
    assert isinstance(step, Step)
    next(job)
    job.close()
    with pytest.raises(StopIteration):
        next(job)


def test_the_image_is_not_changed():
    image = bead_image(seed=None).astype(np.float32)
    before = image.copy()
    psf_from_beads(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.zeros((40, 40)), {}, "No bead"),
        (np.zeros((2, 3, 40, 40)), {}, "choose one time point"),
        (np.full((40, 40), np.nan), {}, "NaN"),
        (bead_image(), {"size": 10}, "odd"),
        (bead_image(), {"size": 71}, "edge"),
        (bead_image(), {"points": [[1, 2]]}, "columns"),
        (bead_image(), {"points": [[1, 2, 500]]}, "outside"),
        (bead_image(), {"voxel_size": (1, 2)}, "voxel_size"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(image, options, words):
    with pytest.raises(ValueError, match=words) as raised:
        psf_from_beads(image, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("noise", [0.01, 1.0, 5.0])
def test_points_beside_the_beads_are_not_called_good(noise):
    rng = np.random.default_rng(0)
    image = bead_image(seed=None) + rng.normal(0, noise, SHAPE)
    beads = np.rint(CENTERS).astype(int)
    _, on = psf_from_beads(image, beads)
    assert on.like_a_bead
    assert "does not look like" not in str(on)
    beside = np.array([[18, 42, 42], [20, 44, 80], [14, 76, 45]])
    _, off = psf_from_beads(image, beside)
    assert not off.like_a_bead
    assert "does not look like a bead" in str(off)
    assert "good" not in str(off)


def test_points_between_bright_things_are_refused():
    with pytest.raises(ValueError, match="not brighter than its surroundings"):
        psf_from_beads(skimage.data.coins(), [[100, 100]])
