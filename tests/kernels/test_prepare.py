import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_convfact.kernels.prepare import prepare_kernel
from napari_convfact.kernels.shapes import laplacian_of_gaussian

DATA = Path(__file__).parents[3] / "shared" / "data"


def gaussian(shape, center, sigma):
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    sigmas = np.broadcast_to(sigma, len(shape))
    terms = (((g - c) / s) ** 2 for g, c, s in zip(grids, center, sigmas, strict=False))
    return np.exp(-0.5 * sum(terms, start=np.zeros(shape)))


def centroid_offset(kernel):
    """Centre of mass relative to index n // 2."""
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in kernel.shape], indexing="ij")
    return np.array([(g * kernel).sum() for g in grids]) / kernel.sum()


@pytest.mark.parametrize("shape", [(21,), (20, 21), (20, 22), (15, 18, 17)])
def test_a_shifted_gaussian_comes_to_the_middle(shape):
    center = np.array(shape) / 2 + np.array([0.83, -1.37, 0.44])[: len(shape)]
    kernel, report = prepare_kernel(gaussian(shape, center, 1.5), center="centroid")
    assert all(n % 2 == 1 for n in kernel.shape)
    np.testing.assert_allclose(centroid_offset(kernel.astype(float)), 0, atol=1e-3)
    moved = np.array(shape) // 2 - center
    np.testing.assert_allclose(report.shift, moved, atol=0.02)  # the window cuts the Gaussian
    assert "moved by" in str(report)


@pytest.mark.parametrize("n", [15, 16])
def test_the_peak_comes_to_the_middle_and_nothing_wraps(n):
    kernel = np.zeros((n, n))
    kernel[2, 3], kernel[3, 3], kernel[2, 5] = 4, 2, 1
    out, report = prepare_kernel(kernel, background=None, energy=1)
    assert report.shift == (n // 2 - 2, n // 2 - 3)
    middle = tuple(m // 2 for m in out.shape)
    assert out[middle] == pytest.approx(4 / 7)
    assert out[middle[0] + 1, middle[1]] == pytest.approx(2 / 7)
    assert out[middle[0], middle[1] + 2] == pytest.approx(1 / 7)
    assert report.lost_energy == pytest.approx(0, abs=1e-12)


def test_an_asymmetric_kernel_is_not_flipped():
    kernel = np.arange(1.0, 26).reshape(5, 5) ** 3
    kernel[2, 2] = 1e5
    out, _ = prepare_kernel(kernel, background=None, energy=1)
    np.testing.assert_allclose(out, kernel / kernel.sum(), rtol=1e-6)


def test_keep_leaves_the_origin_of_an_even_kernel():
    kernel = np.zeros(8)
    kernel[[3, 4]] = 1, 3
    out, report = prepare_kernel(kernel, center="keep", energy=1, background=None)
    np.testing.assert_allclose(out, [0.25, 0.75, 0])
    assert report.shift == (0,)


@pytest.mark.parametrize("shape", [(5, 5), (7,), (9, 9), (3, 3, 3)])
def test_a_box_stays_a_box(shape):
    out, report = prepare_kernel(np.ones(shape))
    np.testing.assert_allclose(out, np.full(shape, 1 / np.prod(shape)), rtol=1e-6)
    assert report.background == 0


def test_the_crop_keeps_the_energy_and_says_what_it_lost():
    kernel = gaussian((41, 41), (20, 20), 3)
    out, report = prepare_kernel(kernel, energy=0.9)
    half = out.shape[0] // 2
    window = slice(20 - half, 20 + half + 1)
    kept = kernel[window, window].sum() / kernel.sum()
    assert report.lost_energy == pytest.approx(1 - kept, abs=1e-12)
    assert kept >= 0.9
    # One sample less along both axes would be too little by the rule of equal shares.
    inner = slice(21 - half, 20 + half)
    assert kernel[inner].sum() / kernel.sum() < 0.95
    assert f"lost {100 * report.lost_energy:.2f} % of its energy" in str(report)
    assert "41 x 41" in str(report)


def test_energy_one_cuts_off_zeros_only():
    kernel = np.zeros((9, 11))
    kernel[3:6, 4:7] = [[0, 1, 0], [1, 5, 2], [0, 1e-9, 0]]
    out, report = prepare_kernel(kernel, energy=1)
    assert out.shape == (3, 3)
    assert report.lost_energy == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("target", [(0.13, 0.07), (0.04, 0.05), (0.1, 0.05)])
def test_resampling_a_gaussian_gives_the_gaussian_sampled_there(target):
    sigma = np.array([0.3, 0.2])  # physical
    voxel = np.array([0.1, 0.05])
    kernel = gaussian((61, 61), (30, 30), sigma / voxel)
    out, report = prepare_kernel(kernel, voxel_size=voxel, target_voxel_size=target, energy=1)
    expected = gaussian(out.shape, np.array(out.shape) // 2, sigma / target)
    # A cubic spline through a Gaussian of three samples' sigma errs by about 1e-4 of its peak.
    np.testing.assert_allclose(out, expected / expected.sum(), atol=3e-4 * out.max())
    assert report.voxel_size == target
    assert report.resampled == (target != tuple(voxel))
    assert ("resampled from voxels of 0.1, 0.05" in str(report)) == report.resampled


def test_resampling_and_centring_in_one_step():
    kernel = gaussian((40, 41), (18.3, 22.6), 3.0)
    out, _ = prepare_kernel(
        kernel, center="centroid", voxel_size=1, target_voxel_size=1.5, energy=1
    )
    expected = gaussian(out.shape, np.array(out.shape) // 2, 2.0)
    np.testing.assert_allclose(out, expected / expected.sum(), atol=1e-3 * out.max())


def test_voxels_too_coarse_for_the_kernel_are_named():
    kernel = gaussian((9, 9), (4, 4), 1.0)
    out, report = prepare_kernel(kernel, voxel_size=1, target_voxel_size=8)
    assert out.max() > 0.9
    assert "does not blur" in str(report)
    assert "does not blur" not in str(prepare_kernel(kernel)[1])


def test_resampling_leaves_an_axis_of_one_voxel():
    out, _ = prepare_kernel(
        gaussian((1, 21), (0, 10), 2.0), voxel_size=(0.5, 0.1), target_voxel_size=(0.1, 0.2)
    )
    assert out.shape[0] == 1
    assert out.sum() == pytest.approx(1)


@pytest.mark.parametrize("level", [0.05, 3.0])
def test_a_flat_background_is_removed(level):
    clean = 10 * gaussian((25, 25), (12, 12), 2)
    kernel, report = prepare_kernel(clean + level)
    assert report.background == pytest.approx(level, abs=1e-3)
    reference, _ = prepare_kernel(clean, energy=1)
    half = kernel.shape[0] // 2
    same = reference[12 - half : 13 + half, 12 - half : 13 + half]
    np.testing.assert_allclose(kernel, same, atol=2e-4)
    assert "background" in str(report)


def test_a_noisy_background_is_removed():
    counts = np.random.default_rng(1).poisson(200 * gaussian((21, 31, 31), (10, 15, 15), 2) + 4)
    _, report = prepare_kernel(counts)
    # The darkest of 26 blocks of 700 voxels: 0.08 of standard error, two of them below.
    assert report.background == pytest.approx(4, abs=0.25)


def test_a_tail_is_not_taken_for_background():
    for sigma in (2, 5, 8):
        _, report = prepare_kernel(gaussian((31, 31), (15, 15), sigma))
        assert report.background == 0
    # A widefield PSF: the light of each plane is spread over an ever wider disk.
    z, y, x = np.mgrid[-20:21, -20:21, -20:21]
    radius = 1.5 + 0.8 * np.abs(z)
    cone = np.exp(-(y**2 + x**2) / (2 * radius**2)) / radius**2
    _, report = prepare_kernel(cone)
    assert report.background < 1e-6 * cone.max()


def test_a_high_level_at_the_edges_is_left_alone_and_named():
    kernel = 10 * gaussian((31, 31), (15, 15), 2) + 30
    _, report = prepare_kernel(kernel)
    assert report.background == 0
    assert "75 % of its peak" in str(report)


def test_background_as_a_number_and_none():
    kernel = gaussian((15,), (7,), 1.5) + 0.5
    assert prepare_kernel(kernel, background=0.5)[1].background == 0.5
    out, report = prepare_kernel(kernel, background=None, energy=1)
    np.testing.assert_allclose(out, kernel / kernel.sum(), rtol=1e-6)
    assert report.background == 0


def test_a_filter_kernel_keeps_values_and_sign():
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0.0]])
    out, report = prepare_kernel(kernel, normalize=False)
    np.testing.assert_array_equal(out, kernel)
    assert report.background == 0
    curvature = laplacian_of_gaussian(2.0)
    np.testing.assert_array_equal(prepare_kernel(curvature, normalize=False)[0], curvature)
    edge = np.array([[0.0, 1, -3]])
    out, report = prepare_kernel(edge, normalize=False)  # the peak of the magnitudes
    np.testing.assert_array_equal(out, [[1, -3, 0]])


def test_a_filter_kernel_keeps_its_sum_when_resampled():
    x = np.arange(-20, 21) / 4
    derivative = -x * np.exp(-(x**2) / 2)
    out, _ = prepare_kernel(
        derivative, normalize=False, center="keep", voxel_size=1, target_voxel_size=2, energy=1
    )
    fine = np.arange(len(out)) - len(out) // 2
    expected = -fine / 2 * np.exp(-((fine / 2) ** 2) / 2) * 2
    np.testing.assert_allclose(out, expected, atol=1e-3)


def test_an_experimental_psf_of_even_size_with_background():
    path = DATA / "rlf_clem" / "rlf_psf.tif"
    if not path.exists():
        pytest.skip("needs the shared data")
    psf = tifffile.imread(path)
    out, report = prepare_kernel(psf)
    assert out.sum() == pytest.approx(1, abs=1e-5)
    assert all(n % 2 for n in out.shape)
    assert out[tuple(n // 2 for n in out.shape)] == out.max()
    # The corners of the focal plane, far from the light cone, hold 1.7 counts.
    assert 1 < report.background < 3
    peak = [n // 2 - s for n, s in zip(psf.shape, report.shift, strict=True)]
    assert psf[tuple(peak)] == psf.max()
    middle = tuple(n // 2 for n in out.shape)
    ratio = out[middle[0] + 5, middle[1], middle[2] + 3] / out[middle]
    raw = psf[peak[0] + 5, peak[1], peak[2] + 3] - report.background
    assert ratio == pytest.approx(raw / (psf.max() - report.background), rel=1e-4)


def test_the_report_is_json_ready_and_the_input_untouched():
    kernel = gaussian((16, 16), (7, 8), 2) + 0.1
    before = kernel.copy()
    _, report = prepare_kernel(kernel, voxel_size=0.1, target_voxel_size=0.2)
    assert json.loads(json.dumps(asdict(report)))["shape_before"] == [16, 16]
    np.testing.assert_array_equal(kernel, before)
    negative, report = prepare_kernel([1.0, 5, -0.5])
    assert "negative" in str(report)
    assert negative.min() == 0


@pytest.mark.parametrize("spacing", [0.5, 0.7, 1.6])
def test_a_resampled_laplacian_answers_nothing_to_a_constant_image(spacing):
    laplacian = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    out, _ = prepare_kernel(laplacian, normalize=False, voxel_size=1, target_voxel_size=spacing)
    assert abs(out.astype(float).sum()) <= 1e-6
    np.testing.assert_allclose(out, out[::-1, ::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "options", "words"),
    [
        (np.zeros((3, 3)), {}, "zero everywhere"),
        (np.zeros((3, 3)), {"normalize": False}, "zero everywhere"),
        ([-1.0, 2, -1], {}, "filter kernel"),
        ([1.0, np.nan], {}, "NaN"),
        ([1j, 1], {}, "complex"),
        (np.ones((3, 0)), {}, "empty"),
        ([1.0, 2, 1], {"energy": 0}, "energy"),
        ([1.0, 2, 1], {"energy": 1.5}, "energy"),
        ([1.0, 2, 1], {"center": "middle"}, "center"),
        ([1.0, 2, 1], {"background": 5}, "leaves nothing"),
        ([1e39, -1e39], {"normalize": False}, "beyond what float32 holds"),
        ([1e-300, -1e-300], {"normalize": False}, "beyond what float32 holds"),
        ([1.0, 2, 1], {"voxel_size": (1, 1), "target_voxel_size": 1}, "2 entries for 1 axes"),
        ([1.0, 2, 1], {"voxel_size": 1, "target_voxel_size": -1}, "positive"),
        (np.ones((3, 3)), {"voxel_size": 1, "target_voxel_size": 1e-9}, "3e\\+09 voxels.* units"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(kernel, options, words):
    with pytest.raises(ValueError, match=words) as raised:
        prepare_kernel(kernel, **options)
    assert "\n" not in str(raised.value)
