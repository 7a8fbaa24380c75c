"""The parts that a factorization is made of, each against something independent."""

import numpy as np
import pytest
from factorization_targets import LOW, product
from scipy.signal import convolve

from napari_convfact.factorization.certificates import float32_error, ruppert_nmse, separate
from napari_convfact.factorization.chain import Layout, add_chains, apply_valid, embed, multiply
from napari_convfact.factorization.modulation import demodulate, modulate
from napari_convfact.factorization.problem import pose
from napari_convfact.factorization.roots import factor_sequence, group, split
from napari_convfact.factorization.solver import Batch, ChainModel
from napari_convfact.factorization.starts import detect_symmetry, symmetric_factors


@pytest.fixture
def rng():
    return np.random.default_rng(3)


LAYOUTS = [
    Layout(((3, 3), (3, 3)), (1, 1)),
    Layout(((3, 2), (1, 4), (3, 3)), (1, 2, 3)),
    Layout(((2, 3, 2), (3, 1, 2)), (2, 1)),
    Layout(((3,), (2,), (4,), (3,)), (1, 1, 2, 1)),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_product_of_a_chain_is_its_convolution(layout, rng):
    factors = [rng.standard_normal(shape) for shape in layout.shapes]
    kernel = multiply(factors, layout.dilations)
    assert kernel.shape == layout.support
    np.testing.assert_allclose(kernel, product(factors, layout.dilations), atol=1e-12)
    image = rng.standard_normal([n + 4 for n in layout.support])
    expected = convolve(image, kernel, mode="valid", method="direct")
    np.testing.assert_allclose(apply_valid(image, factors, layout.dilations), expected, atol=1e-10)


@pytest.mark.parametrize("zero_sum_factor", [None, 0])
@pytest.mark.parametrize("sum_weight", [0.0, 3.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_derivative_is_that_of_finite_differences(layout, sum_weight, zero_sum_factor, rng):
    target = rng.standard_normal(layout.support)
    model = ChainModel(layout, target, 2, zero_sum_factor, sum_weight)
    x = rng.standard_normal((1, model.taps))

    def residual(point):
        return model.residuals(model.kernels(point, model.products(point)))[0]

    jacobian = model.jacobian(model.products(x))[0]
    step = 1e-6
    for tap in range(model.taps):
        moved = [x.copy(), x.copy()]
        moved[0][0, tap] -= step
        moved[1][0, tap] += step
        slope = (residual(moved[0]) - residual(moved[1])) / (2 * step)
        np.testing.assert_allclose(jacobian[tap], slope, atol=1e-6 * np.abs(jacobian).max())
    kernels = [add_chains([factors], layout.dilations) for factors in model.unpack(x[0])]
    np.testing.assert_allclose(residual(x)[: target.size], (target - sum(kernels)).ravel())


def test_iterations_never_get_worse_and_keep_the_constraint(rng):
    layout = LAYOUTS[0]
    model = ChainModel(layout, rng.standard_normal((5, 5)) / 5, 1, zero_sum_factor=1)
    batch = Batch(model, model.fit_gains(rng.standard_normal((6, model.taps))))
    costs = [batch.cost.copy()]
    for _ in range(15):
        batch.iterate()
        costs.append(batch.cost.copy())
    assert (np.diff(costs, axis=0) <= 0).all()
    assert (costs[-1] < 0.9 * costs[0]).all()
    for x in batch.x:
        ((first, second),) = model.unpack(x)
        assert abs(second.sum()) < 1e-12
        assert np.linalg.norm(first) == pytest.approx(np.linalg.norm(second))


@pytest.mark.parametrize(
    "sequence",
    [
        LOW,
        [1, 4, 6, 4, 1],
        [0, 0, 1, -2, 0],
        [3.0, 0, 0, 0, 2.0],
        [1e-8, 1, 1e8],
        [0, 0, 5, 0, 0],
    ],
)
def test_pieces_multiply_to_the_filter(sequence):
    sequence = np.array(sequence, float)
    pieces = split(sequence)
    assert len(pieces.linear) + 2 * len(pieces.quadratic) == len(sequence) - 1
    factors = factor_sequence(sequence, [3] * (len(sequence) // 2))
    assert factors is not None
    np.testing.assert_allclose(
        product([f[None] for f in factors])[0], sequence, atol=1e-13 * np.abs(sequence).max()
    )


def test_conjugate_roots_do_not_fit_into_two_taps():
    assert group(split(np.array([1.0, 1, 1])), [2, 2]) is None
    assert factor_sequence(np.array([1.0, 1, 1]), [2, 2]) is None


def test_separable_part_is_the_best(rng):
    u, v, w = (rng.standard_normal(n) for n in (3, 4, 5))
    vectors, error = separate(np.einsum("i,j,k", u, v, w))
    assert error < 1e-15
    np.testing.assert_allclose(np.einsum("i,j,k", *vectors), np.einsum("i,j,k", u, v, w))
    matrix = rng.standard_normal((4, 6))
    s = np.linalg.svd(matrix, compute_uv=False)
    assert separate(matrix)[1] == pytest.approx(np.linalg.norm(s[1:]) / np.linalg.norm(s))


def test_ruppert_bound_never_exceeds_the_distance_to_a_product(rng):
    for _ in range(20):
        chain = product([rng.standard_normal((3, 2)), rng.standard_normal((2, 4))])
        assert ruppert_nmse(chain) < 1e-25
        noise = 10 ** rng.uniform(-4, 0) * rng.standard_normal(chain.shape)
        kernel = chain + noise
        assert 0 < ruppert_nmse(kernel) <= np.sum(noise**2) / np.sum(kernel**2)
        # The matrix is not symmetric in the axes, but a bound either way.
        assert ruppert_nmse(kernel.T) <= np.sum(noise**2) / np.sum(kernel**2)


def test_ruppert_bound_knows_irreducible_polynomials():
    # x^2 + y^2 + 1 and x y + 1 do not factor over the complex numbers; x^2 + y^2 does.
    circle = np.array([[1.0, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert ruppert_nmse(circle) > 1e-3
    assert ruppert_nmse(np.eye(2)) > 1e-3
    circle[0, 0] = 0
    assert ruppert_nmse(circle) < 1e-25


def test_float32_error_sees_cancellation():
    factors = [np.array([1.0, -1.0]), np.array([1.0, 1.0])]
    kernel = multiply(factors, [1, 1])
    assert float32_error([factors], [1, 1], kernel) < 1e-6
    # The same kernel through a shift by a million and back.
    lifted = [[factors[0], 1e6 * factors[1]], [factors[0], (1 - 1e6) * factors[1]]]
    np.testing.assert_allclose(add_chains(lifted, [1, 1]), kernel, atol=1e-9)
    assert float32_error(lifted, [1, 1], kernel) > 1e-3


def test_tail_is_what_lies_outside_the_support(rng):
    kernel = rng.standard_normal((6, 9))
    problem = pose(kernel, Layout(((3, 3), (2, 3)), (1, 1)), 1, zero_sum=False)
    assert problem.layout.support == (4, 5)
    # Origins at 6 // 2 and 4 // 2 along the first axis: rows 1 to 4 are inside.
    inside = kernel[1:5, 2:7]
    np.testing.assert_allclose(problem.window * problem.norm, inside)
    assert problem.tail == pytest.approx(1 - np.sum(inside**2) / np.sum(kernel**2))


@pytest.mark.parametrize(("n", "m"), [(3, 7), (4, 7), (3, 6), (4, 6), (1, 4)])
def test_embedding_keeps_the_origin(n, m):
    kernel = np.zeros((n,))
    kernel[n // 2] = 1
    assert np.flatnonzero(embed(kernel, (m,))) == [m // 2]


def test_modulated_factors_multiply_to_the_modulated_kernel(rng):
    layout = Layout(((3, 3), (2, 3), (3, 2)), (1, 2, 1))
    envelope = multiply([rng.standard_normal(s) for s in layout.shapes], layout.dilations)
    rows, columns = (np.arange(n) - n // 2 for n in envelope.shape)
    phase = 0.7 * rows[:, None] - 2.1 * columns + 0.4
    found, wave = demodulate(envelope * np.exp(1j * phase))
    np.testing.assert_allclose(np.abs(found), np.abs(envelope), atol=1e-12)
    factors = [rng.standard_normal(s) for s in layout.shapes]
    waved = modulate(factors, layout.dilations, layout.support, wave)
    kernel = product(factors, layout.dilations) * wave.sample(
        layout.support, [n // 2 for n in layout.support], phase=wave.phase
    )
    np.testing.assert_allclose(product(waved, layout.dilations), kernel, atol=1e-12)


def test_symmetric_starts_have_the_symmetries_of_the_kernel(rng):
    sobel = np.outer([1.0, 2, 1], [1, 0, -1])
    kernel = product([sobel, np.outer([1, 2, 1], [1, 2, 1])])
    symmetry = detect_symmetry(kernel)
    assert symmetry.flips == ((0, 1), (1, -1))
    start = product(symmetric_factors(Layout(((3, 3), (3, 3)), (1, 1)), symmetry, rng))
    assert detect_symmetry(start).flips == symmetry.flips
