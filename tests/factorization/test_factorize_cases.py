"""Sixteen kernels on which factorizations go wrong, each with its trap."""

import numpy as np
import pytest
from factorization_targets import BINOMIAL, LAPLACIAN, SOBEL, disk, nmse, normal_kernels, product

from napari_convfact.factorization.certificates import FLOAT32_LIMIT
from napari_convfact.factorization.chain import Layout, apply_valid
from napari_convfact.factorization.factorize import factorize
from napari_convfact.factorization.roots import group, split
from napari_convfact.factorization.solver import ChainModel, minimize
from napari_convfact.factorization.starts import Symmetry, detect_symmetry, symmetric_factors

TWO = ((3, 3),) * 2
THREE = ((3, 3),) * 3


def reproduced(kernel, shapes, **options):
    found = factorize(kernel, shapes, **options)
    assert found.status == "exact"
    assert nmse(kernel, found.reconstruction) <= 1e-20
    assert found.float32_error <= FLOAT32_LIMIT
    return found


def draw(*shapes, seed=11):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def test_t1_random_product_has_local_minima():
    for seed in range(5):
        reproduced(product(draw((3, 3), (3, 3), seed=seed)), TWO)


@pytest.mark.parametrize("power", [2, 3])
def test_t2_repeated_factor_has_a_singular_jacobian(power):
    (factor,) = draw((3, 3))
    found = reproduced(product([factor] * power), ((3, 3),) * power)
    # The naive solution of Ruppert's equations vanishes for a power; the bound must not lie.
    assert found.ruppert_nmse <= 1e-20


def test_t3_binomial_has_a_fourfold_root():
    # The roots come out with errors of 1e-4, their product must not.
    assert reproduced(product([BINOMIAL, BINOMIAL]), TWO).method == "roots"


def test_t4_laplacian_needs_symmetric_starts():
    kernel = product([LAPLACIAN, BINOMIAL])
    for seed in range(5):
        found = reproduced(kernel, TWO, seed=seed, zero_sum=True)
        assert abs(found.sum) <= 1e-12


def test_t5_mixed_shapes():
    shapes = ((1, 5), (5, 1), (3, 3))
    found = reproduced(product(draw(*shapes)), shapes)
    assert tuple(factor.shape for factor in found.factors) == shapes
    assert (found.macs, found.macs_direct) == (19, 49)


def test_t6_starlet_is_dilated_and_large():
    spline = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    kernel = product([spline] * 3, (1, 2, 4))
    assert kernel.shape == (29, 29)
    found = reproduced(kernel, ((5, 5),) * 3, dilations=(1, 2, 4))
    assert found.method == "separable search"


def test_t7_random_dilated_product():
    kernel = product(draw((3, 3), (3, 3), (3, 3)), (1, 2, 4))
    assert kernel.shape == (15, 15)
    reproduced(kernel, THREE, dilations=(1, 2, 4))


def test_t8_laplacian_in_three_dimensions():
    laplacian = sum(
        np.moveaxis(np.pad(np.array([[[1.0, -2, 1]]]), ((1, 1), (1, 1), (0, 0))), 2, axis)
        for axis in range(3)
    )
    binomial = np.einsum("i,j,k", *[np.array([1.0, 2, 1]) / 4] * 3)
    reproduced(product([laplacian, binomial]), ((3, 3, 3),) * 2)


def test_t9_mixed_shapes_in_three_dimensions():
    shapes = ((3, 3, 3), (1, 3, 3), (3, 1, 1))
    reproduced(product(draw(*shapes)), shapes)


def test_t10_even_sizes_keep_the_origin():
    found = reproduced(np.ones((16, 16)), ((2, 2),) * 4, dilations=(1, 2, 4, 8))
    image = np.zeros((40, 40), np.float32)
    image[20, 20] = 1
    filtered = found.apply(image)
    rows, columns = np.nonzero(filtered > 0.5)
    # The origin of 16 samples is at index 8.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 27, 12, 27)


def test_t10_two_even_factors_do_not_shift():
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    found = reproduced(binomial, ((2, 2),) * 2)
    image = np.zeros((9, 9), np.float32)
    image[4, 4] = 1
    np.testing.assert_allclose(found.apply(image)[3:6, 3:6], binomial, atol=1e-7)


@pytest.mark.parametrize("corner", [(0, 0), (1, 1), (2, 0), (2, 2)])
def test_t11_zero_borders_are_shifts(corner):
    kernel = np.zeros((5, 5))
    window = tuple(slice(c, c + 3) for c in corner)
    kernel[window] = draw((3, 3))[0]
    reproduced(kernel, TWO)
    kernel[window] = BINOMIAL  # separable: np.roots drops zeros at the ends
    assert reproduced(kernel, TWO).method == "roots"


def test_t12_several_zero_sum_factors():
    kernel = product([SOBEL, SOBEL.T, BINOMIAL])
    assert reproduced(kernel, THREE).method == "roots"
    reproduced(kernel, THREE, closed_form=False)


def test_t13_five_factors_need_more_starts():
    kernel = product(draw(*[(3, 3)] * 5))
    for seed in range(3):
        reproduced(kernel, ((3, 3),) * 5, seed=seed)


def gaussian(sigma, radius):
    x = np.arange(-radius, radius + 1)
    g = np.exp(-(x**2) / (2 * sigma**2))
    return np.outer(g, g) / g.sum() ** 2


def single_precision_error(factors, kernel):
    image = np.random.default_rng(0).random((56, 56))
    single = apply_valid(
        image.astype(np.float32), [f.astype(np.float32) for f in factors], [1] * len(factors)
    )
    truth = apply_valid(image, [kernel], [1])
    return np.linalg.norm(single - truth) / np.linalg.norm(truth)


def test_t14_long_gaussian_is_usable_in_float32():
    kernel = gaussian(6, 18)
    found = reproduced(kernel, ((3, 3),) * 18)
    assert single_precision_error(found.factors, kernel) <= FLOAT32_LIMIT
    # The same roots in the order of their angles cancel each other catastrophically.
    column = kernel.sum(axis=1)
    unordered = group(split(column), [3] * 18)
    gain = column.sum() / np.prod([f.sum() for f in unordered])
    unordered[0] = unordered[0] * gain
    squares = [np.outer(f, f) for f in unordered]
    assert single_precision_error(squares, kernel) > 1


def test_t15_certificate_of_a_random_kernel():
    five, _ = normal_kernels()
    found = factorize(five, TWO)
    assert 1e-4 < found.ruppert_nmse <= found.nmse <= 4.36017e-2
    exact = factorize(product(draw((3, 3), (3, 3))), TWO)
    assert exact.ruppert_nmse <= 1e-20
    assert exact.nmse <= 1e-20


def test_t16_disk_is_symmetric_but_its_best_factors_are_not():
    kernel = disk(3, 7)
    layout = Layout(THREE, (1, 1, 1))
    model = ChainModel(layout, kernel / np.linalg.norm(kernel))
    rng = np.random.default_rng(0)
    symmetry = detect_symmetry(kernel)
    assert symmetry == Symmetry(((0, 1), (1, 1)), ((0, 1),))
    starts = [
        np.concatenate([f.ravel() for f in symmetric_factors(layout, symmetry, rng)])
        for _ in range(24)
    ]
    search = minimize(model, model.fit_gains(np.array(starts)), 150)
    try:
        while True:
            least = next(search)
    except StopIteration:
        pass
    assert least == pytest.approx(3.7998e-3, rel=1e-3)  # where symmetric starts stop
    assert factorize(kernel, THREE).nmse <= 2.96628e-3
