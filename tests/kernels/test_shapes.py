import numpy as np
import pytest

from napari_convfact.kernels import shapes
from napari_convfact.kernels.crop import kernel_from_rectangle
from napari_convfact.kernels.wavelets import near_sym_a


def moments(kernel):
    """Sum, centre relative to n // 2, and variance along each axis."""
    kernel = kernel.astype(float)
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in kernel.shape], indexing="ij")
    mean = [(g * kernel).sum() for g in grids]
    variance = [(g**2 * kernel).sum() for g in grids]
    return kernel.sum(), np.array(mean), np.array(variance)


@pytest.mark.parametrize(
    ("kernel", "variance"),
    [
        (shapes.gaussian(1.7), (1.7**2,) * 2),
        (shapes.gaussian((1.2, 2.0, 3.1)), (1.2**2, 2.0**2, 3.1**2)),
        # A uniform disk has r^2 / 4, a ball r^2 / 5, and collecting it in voxels adds the
        # variance 1/12 of a voxel (Sheppard's correction).
        (shapes.disk(5.3), (5.3**2 / 4 + 1 / 12,) * 2),
        (shapes.disk(4.6, ndim=3), (4.6**2 / 5 + 1 / 12,) * 3),
        (shapes.disk((5.0, 9.0)), (25 / 4 + 1 / 12, 81 / 4 + 1 / 12)),
        (shapes.box((3, 7)), (8 / 12, 48 / 12)),
        (shapes.delta(5, ndim=3), (0, 0, 0)),
    ],
)
def test_sum_centre_and_variance(kernel, variance):
    total, mean, measured = moments(kernel)
    assert kernel.dtype == np.float32
    assert all(n % 2 == 1 for n in kernel.shape)
    assert total == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    np.testing.assert_allclose(measured, variance, rtol=5e-3, atol=1e-6)


def test_the_edge_of_a_disk_is_the_part_of_the_pixel_inside():
    kernel = shapes.disk(2.0) * np.pi * 4  # 1 inside
    # Sixteen samples per pixel and axis count the area to 0.5 %.
    assert kernel[2, 2] == pytest.approx(1, abs=5e-3)
    # The area of the circle of radius 2 in the pixel from 1.5 to 2.5, -0.5 to 0.5.
    y = np.linspace(-0.5, 0.5, 10001)
    area = np.trapezoid(np.sqrt(4 - y**2) - 1.5, y)
    assert kernel[2, 4] == pytest.approx(area, abs=5e-3)


@pytest.mark.parametrize("radii", [(0.01, 0.01), (0.001, 0.03, 0.4)])
def test_a_disk_inside_a_voxel_is_that_voxel(radii):
    np.testing.assert_array_equal(shapes.disk(radii), np.ones((1,) * len(radii)))


@pytest.mark.parametrize("length", [1.0, 4.0, 9.0, 12.5])
@pytest.mark.parametrize("angle", [0.0, np.pi / 2, 0.4, -0.7])
def test_motion_has_its_length_and_direction(length, angle):
    kernel = shapes.motion(length, angle)
    total, mean, _ = moments(kernel)
    assert total == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    rows, columns = (np.arange(n) - n // 2 for n in kernel.shape)
    if length >= 9:
        covariance = (kernel * np.outer(rows, columns)).sum()
        # Uniform over length - 1 between the first and the last pixel's centre.
        expected = (length - 1) ** 2 / 12 * np.sin(angle) * np.cos(angle)
        assert covariance == pytest.approx(expected, rel=0.05, abs=0.02)
    if angle == 0.0:
        assert kernel.shape[0] == 1


def test_motion_along_rows_of_whole_length_is_flat_inside():
    np.testing.assert_allclose(shapes.motion(5)[0, 1:4], 0.25, atol=0.01)


@pytest.mark.parametrize("sigma", [1.5, (2.0, 3.0), (1.5, 2.0, 2.5)])
def test_laplacian_of_gaussian_measures_curvature(sigma):
    kernel = shapes.laplacian_of_gaussian(sigma).astype(float)
    assert kernel.sum() == pytest.approx(0, abs=1e-6)
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in kernel.shape], indexing="ij")
    # The Laplacian of x^2 is 2 along every axis, and of a plane it is 0.
    for grid in grids:
        assert (kernel * grid**2).sum() == pytest.approx(2, rel=2e-3)
        assert (kernel * grid).sum() == pytest.approx(0, abs=1e-5)
    assert kernel[tuple(n // 2 for n in kernel.shape)] == kernel.min() < 0


def test_wavelets_are_biorthogonal_filters():
    assert near_sym_a("ll").sum() == pytest.approx(1, abs=1e-6)
    for band in ("lh", "hl", "hh"):
        assert near_sym_a(band).sum() == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(near_sym_a("lh"), near_sym_a("hl").T)
    # "lh" is low-pass along x: a constant row passes, a constant column does not.
    assert np.abs(near_sym_a("lh").sum(axis=0)).max() < 1e-6
    with pytest.raises(ValueError, match="band must be"):
        near_sym_a("xx")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shapes.gaussian(0), "sigma must be positive"),
        (lambda: shapes.gaussian(2, size=8), "odd"),
        (lambda: shapes.disk(-1), "radius must be positive"),
        (lambda: shapes.box(4), "odd"),
        (lambda: shapes.box((3, 5), ndim=2).shape and shapes.delta(0), "positive"),
        (lambda: shapes.motion(np.nan), "length must be positive"),
        (lambda: shapes.gaussian((1, 2), size=(3, 5, 7)), "3 entries for 2 axes"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_kernel_is_cut_from_a_rectangle():
    image = np.zeros((9, 40, 50))
    image[2:7, 18:23, 28:33] = shapes.gaussian(1.0, ndim=3, size=5)
    image[4, 5, 5] = 100  # outside the rectangle
    corners = [[4, 15.2, 25.4], [4, 15.2, 36.3], [4, 26.1, 36.3], [4, 26.1, 25.4]]
    kernel, report = kernel_from_rectangle(image, corners, energy=1)
    np.testing.assert_allclose(kernel, shapes.gaussian(1.0, ndim=3, size=5), atol=1e-6)
    assert report.shape_before == (9, 12, 12)
    with pytest.raises(ValueError, match="outside"):
        kernel_from_rectangle(image, np.add(corners, [0, 100, 0]))
    with pytest.raises(ValueError, match="3 columns"):
        kernel_from_rectangle(image, [[0, 1], [2, 3]])


def test_a_laplacian_of_one_sample_is_refused():
    with pytest.raises(ValueError, match="size of 3 or more"):
        shapes.laplacian_of_gaussian(1.0, size=1)
