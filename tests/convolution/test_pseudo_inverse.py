"""`Convolution.pinv` and `solve` against dense linear algebra and known answers."""

import numpy as np
import pytest
import torch

from napari_convfact.convolution.operator import Convolution
from napari_convfact.convolution.prior import apply_prior_normal


def operator(kernel, shape, **options):
    return Convolution(kernel, shape, **{"dtype": "float64", **options})


def pinv_matrix(op, **options):
    """Return the matrix of `pinv`: one unit vector per frame."""
    outputs, inputs = int(np.prod(op.output_shape)), int(np.prod(op.input_shape))
    units = np.eye(outputs).reshape(outputs, *op.output_shape)
    return op.pinv(units, **options).reshape(outputs, inputs).T


def gaussian(sigma):
    offsets = np.arange(-np.ceil(4 * sigma), np.ceil(4 * sigma) + 1)
    profile = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = np.outer(profile, profile)
    return kernel / kernel.sum()


def moore_penrose_defect(a, p):
    scale = np.linalg.norm(a, 2) * np.linalg.norm(p, 2) or 1.0
    return max(
        np.abs(a @ p @ a - a).max() / (np.abs(a).max() or 1.0),
        np.abs(p @ a @ p - p).max() / (np.abs(p).max() or 1.0),
        np.abs((a @ p).T - a @ p).max() / scale,
        np.abs((p @ a).T - p @ a).max() / scale,
    )


BOX = np.full(5, 0.2)
RNG = np.random.default_rng(0)
PERIODIC = {
    "box of 5 on 20: exact zeros that rounding hides": (BOX, (20,)),
    "box of 7 on 21": (np.full(7, 1 / 7), (21,)),
    "difference": ([1.0, -1.0], (16,)),
    "zero": (np.zeros((3, 3)), (6, 7)),
    "asymmetric": (RNG.standard_normal((3, 4)), (6, 7)),
    "3-D": (RNG.standard_normal((2, 3, 2)), (3, 4, 5)),
    "box in two dimensions": (np.ones((5, 3)) / 15, (10, 9)),
    "more channels out": (RNG.standard_normal((3, 2, 3, 3)), (5, 6)),
    "more channels in": (RNG.standard_normal((2, 3, 3, 3)), (5, 6)),
    "square mixing": (RNG.standard_normal((3, 3, 3, 3)), (5, 6)),
    "square mixing of rank 1": (
        np.einsum("o,i,k->oik", [1.0, 2.0], [3.0, -1.0], [0.5, 1.0, 0.2]),
        (7,),
    ),
    "larger than the image": (RNG.standard_normal(9), (5,)),
}


@pytest.mark.parametrize("name", PERIODIC)
def test_periodic_pinv_meets_the_moore_penrose_conditions(name):
    kernel, shape = PERIODIC[name]
    op = operator(kernel, shape, boundary="periodic")
    a, p = op.dense(), pinv_matrix(op)
    assert moore_penrose_defect(a, p) <= 1e-12
    np.testing.assert_allclose(p, np.linalg.pinv(a, rcond=1e-12), atol=1e-10 * np.abs(p).max())
    assert op.solve(np.zeros(op.output_shape)).method == "fourier"


def test_rcond_cuts_what_lies_below_it():
    op = operator(gaussian(1)[4], (32,), boundary="periodic")
    gains = np.linalg.svd(pinv_matrix(op, rcond=0.1), compute_uv=False)
    values = np.linalg.svd(op.dense(), compute_uv=False)
    kept = np.sort(1 / values[values > 0.1 * values.max()])[::-1]
    np.testing.assert_allclose(gains[: len(kept)], kept, rtol=1e-12)
    np.testing.assert_allclose(gains[len(kept) :], 0, atol=1e-14)


@pytest.mark.parametrize("rcond", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("channels", [(2, 2), (3, 3), (2, 3)])
def test_rcond_cuts_singular_values_of_well_conditioned_channels(channels, rcond):
    """Square, well conditioned matrices are inverted by elimination, which cuts nothing."""
    kernel = np.random.default_rng(3).standard_normal((*channels, 3))
    op = operator(kernel, (8,), boundary="periodic")
    expected = np.linalg.pinv(op.dense(), rcond=rcond)
    np.testing.assert_allclose(pinv_matrix(op, rcond=rcond), expected, atol=1e-10)


def test_rcond_cuts_singular_values_of_small_images_with_any_boundary():
    op = operator(gaussian(1), (10, 11), boundary="zero")
    y = np.random.default_rng(10).standard_normal((3, 10, 11))
    solution = op.solve(y, rcond=0.05)
    assert solution.method == "dense"
    expected = y.reshape(3, -1) @ np.linalg.pinv(op.dense(), rcond=0.05).T
    np.testing.assert_allclose(solution.estimate.reshape(3, -1), expected, atol=1e-12)
    with pytest.raises(ValueError, match="use strength instead"):
        operator(gaussian(1), (64, 64)).pinv(np.ones((64, 64)), rcond=0.05)


MIX34 = RNG.standard_normal((3, 4, 3, 2))
NEAR_IDENTITY = np.zeros((2, 2, 3, 3))
NEAR_IDENTITY[[0, 1], [0, 1], 1, 1] = 1
NEAR_IDENTITY += 0.1 * RNG.standard_normal(NEAR_IDENTITY.shape)
SHARPEN = np.array([[0.0, -0.2, 0.05], [-0.1, 1.5, -0.2], [0.0, -0.15, 0.0]])
KERNELS = {
    "valid": (RNG.standard_normal((3, 2)), (7, 8), {"boundary": "valid"}),
    "full": (RNG.standard_normal((3, 2)), (7, 8), {"boundary": "full"}),
    "extended": (RNG.standard_normal((2, 3)), (6, 5), {"boundary": "extended"}),
    "zero": (SHARPEN, (8, 9), {"boundary": "zero"}),
    "reflect": (SHARPEN, (8, 9), {"boundary": "reflect"}),
    "3-D full": (RNG.standard_normal((2, 3, 2)), (3, 4, 5), {"boundary": "full"}),
    "wide mixing": (MIX34, (5, 6), {"boundary": "zero"}),
    "tall mixing": (MIX34.swapaxes(0, 1), (5, 6), {"boundary": "full"}),
    "square mixing": (NEAR_IDENTITY, (6, 7), {"boundary": "zero"}),
    "stride": (RNG.standard_normal((3, 3)), (8, 9), {"boundary": "zero", "stride": 2}),
    "periodic with a stride": (SHARPEN, (8, 9), {"boundary": "periodic", "stride": (1, 2)}),
    "dilation": (SHARPEN, (8, 9), {"boundary": "zero", "dilation": 2}),
    "rank deficient box": (BOX[:4], (17,), {"boundary": "valid"}),
    "difference, valid": ([1.0, -1.0], (20,), {"boundary": "valid"}),
    "mask": (SHARPEN, (8, 9), {"mask": RNG.random((8, 9)) > 0.2}),
    "zero kernel": (np.zeros((3, 3)), (4, 5), {"boundary": "zero"}),
    "larger than the image": (RNG.standard_normal(9), (5,), {"boundary": "full"}),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("method", ["auto", "iterative"])
def test_pinv_equals_the_dense_pseudo_inverse(name, method):
    kernel, shape, options = KERNELS[name]
    op = operator(kernel, shape, **options)
    expected = np.linalg.pinv(op.dense(), rcond=1e-12)
    values = np.linalg.svd(op.dense(), compute_uv=False)
    assert not values.any() or values[0] <= 1e3 * values[values > 1e-12 * values[0]].min()
    found = pinv_matrix(op, method=method)
    np.testing.assert_allclose(found, expected, atol=1e-10 * (np.abs(expected).max() or 1))


def test_small_kernels_with_a_zero_boundary_are_solved_by_the_border_system():
    x = RNG.standard_normal((2, 40, 50))
    op = operator(SHARPEN, (40, 50))
    solution = op.solve(op.forward(x))
    assert solution.method == "border"
    np.testing.assert_allclose(solution.estimate, x, atol=1e-12)
    even = operator([[0.1, 0.2], [1.0, -0.3], [0.2, 0.1]], (12, 11), origin=(1, 0))
    x = RNG.standard_normal((12, 11))
    solution = even.solve(even.forward(x))
    assert solution.method == "border"
    np.testing.assert_allclose(solution.estimate, x, atol=1e-12)


def test_symmetric_kernels_with_a_reflecting_boundary_are_solved_by_cosines():
    rng = np.random.default_rng(1)
    for kernel, shape in (
        (gaussian(0.6), (12, 13)),
        ([0.2, 1, 0.2], (9,)),
        (np.array([0.3, 0.1, 1, 0.1, 0.3]), (2,)),
    ):
        op = operator(kernel, shape, boundary="reflect")
        x = rng.standard_normal(shape)
        solution = op.solve(op.forward(x))
        assert solution.method == "cosine"
        np.testing.assert_allclose(solution.estimate, x, atol=1e-10)
        for prior in ("identity", "gradient"):
            direct = op.pinv(x, strength=0.02, prior=prior)
            normal = op.dense().T @ op.dense() + 0.02 * prior_matrix(prior, op)
            expected = np.linalg.solve(normal, op.adjoint(x).ravel())
            np.testing.assert_allclose(direct.ravel(), expected, atol=1e-10)


def test_asymmetric_kernels_are_not_mistaken_for_symmetric_ones():
    op = operator([0.1, 1.0, 0.2], (9,), boundary="reflect")
    assert op.solve(np.ones(9)).method == "iterative"
    diagonal = operator(np.eye(3) + np.eye(3)[1:2].T @ np.eye(3)[1:2], (8, 8), boundary="reflect")
    assert diagonal.solve(np.ones((8, 8))).method == "iterative"
    shifted = operator([0.2, 1.0, 0.2], (9,), boundary="reflect", origin=(0,))
    assert shifted.solve(np.ones(9)).method == "iterative"


def prior_matrix(prior, op):
    size = int(np.prod(op.input_shape))
    units = torch.eye(size, dtype=torch.float64).reshape(size, *op.input_shape)
    periodic = op.boundary == "periodic"
    return apply_prior_normal(prior, units, op.ndim, periodic=periodic).reshape(size, size).numpy()


@pytest.mark.parametrize("prior", ["identity", "gradient"])
@pytest.mark.parametrize("boundary", ["periodic", "zero", "valid", "full", "reflect", "extended"])
@pytest.mark.parametrize("preconditioner", ["none", "embedding", "strang", "chan"])
def test_regularized_solution_minimizes_its_objective(boundary, prior, preconditioner):
    rng = np.random.default_rng(2)
    kernels = [rng.standard_normal((3, 2)), rng.standard_normal((3, 2, 3, 2))]
    for kernel in kernels:
        op = operator(kernel, (6, 7), boundary=boundary)
        y = rng.standard_normal((2, *op.output_shape))
        found = op.pinv(
            y, strength=0.1, prior=prior, preconditioner=preconditioner, tolerance=1e-12
        )
        a = op.dense()
        normal = a.T @ a + 0.1 * prior_matrix(prior, op)
        expected = np.linalg.solve(normal, (y.reshape(2, -1) @ a).T).T
        np.testing.assert_allclose(found.reshape(2, -1), expected, atol=1e-9)


def test_cosine_preconditioner_keeps_the_minimizer_and_saves_iterations():
    rng = np.random.default_rng(2)
    kernel = np.triu(gaussian(1))  # asymmetric, so that cosines only nearly diagonalize it
    op = operator(kernel / kernel.sum(), (40, 41), boundary="reflect")
    y = op.forward(rng.random((40, 41)))
    found = {
        kind: op.solve(y, strength=1e-3, preconditioner=kind, tolerance=1e-10)
        for kind in ("auto", "cosine", "embedding", "none")
    }
    for solution in found.values():
        # The condition of the normal equations is about 1 / strength.
        np.testing.assert_allclose(solution.estimate, found["none"].estimate, atol=1e-6)
    assert found["auto"].iterations == found["cosine"].iterations
    assert found["cosine"].iterations < found["embedding"].iterations < found["none"].iterations


def test_missing_samples_may_be_nan():
    rng = np.random.default_rng(9)
    mask = rng.random((8, 9)) > 0.2
    op = operator(SHARPEN, (8, 9), mask=mask)
    y = op.forward(rng.standard_normal((8, 9)))
    with_holes = np.where(mask, y, np.nan)
    np.testing.assert_array_equal(op.pinv(with_holes), op.pinv(y))
    np.testing.assert_array_equal(op.adjoint(with_holes), op.adjoint(y))


def test_priors_are_the_sums_of_squared_differences():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 6))
    bounded = sum((np.diff(x, axis=axis) ** 2).sum() for axis in (0, 1))
    around = sum(((np.roll(x, -1, axis) - x) ** 2).sum() for axis in (0, 1))
    for periodic, energy in ((False, bounded), (True, around)):
        normal = apply_prior_normal("gradient", torch.as_tensor(x), 2, periodic=periodic).numpy()
        assert np.vdot(x, normal) == pytest.approx(energy, rel=1e-13)


def test_a_hopeless_inverse_is_said_to_be_so():
    winding = operator([0.2, 0, 1], (64,))
    with pytest.warns(UserWarning, match="hopeless.*grows exponentially.*strength > 0"):
        winding.pinv(np.ones(64), max_iterations=20)
    blur = Convolution(gaussian(2), (64, 64), boundary="extended")
    message = blur.solve(np.ones((64, 64)), max_iterations=5).message
    assert "hopeless" in message
    assert "strength > 0" in message


@pytest.mark.parametrize(
    ("kernel", "boundary"),
    [
        ([0.2, 0, 1], "valid"),
        ([0.2, 0, 1], "full"),
        ([0.2, 0, 1], "periodic"),
        ([0.2, 1, 0.2], "zero"),
        ([1, -1], "valid"),  # a zero of the spectrum is no band of zeros
        (np.full(4, 0.25), "full"),
        (np.full((5, 5), 0.04), "extended"),
    ],
)
def test_other_inverses_are_not_called_hopeless(kernel, boundary):
    op = operator(kernel, (40,) * np.ndim(kernel), boundary=boundary)
    assert "hopeless" not in op.solve(np.ones(op.output_shape), max_iterations=500).message


def test_an_iteration_that_does_not_settle_says_so():
    op = operator(gaussian(1), (32, 32), boundary="valid")
    solution = op.solve(np.random.default_rng(4).standard_normal(op.output_shape), max_iterations=9)
    assert not solution.converged
    assert solution.iterations == len(solution.history) == 9
    assert "stopped after 9 steps" in solution.message


def test_seed_problem_of_32_channels():
    """conv2d(x, K, padding=1), 32 channels, 128 x 128: the question the project came from."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 128, 128, generator=generator)
    weights = torch.randn(32, 32, 3, 3, generator=generator)
    y = torch.nn.functional.conv2d(x[None], weights, padding=1)[0].numpy()
    kernel = weights.numpy()[..., ::-1, ::-1]

    def error(estimate):
        return float(((estimate - x.numpy()) ** 2).sum() / (x.numpy() ** 2).sum())

    fourier = Convolution(kernel, (128, 128), boundary="periodic")
    assert error(fourier.pinv(y)) > 1  # worse than returning zeros
    solution = Convolution(kernel, (128, 128)).solve(
        y, strength=0.01, tolerance=1e-9, max_iterations=60
    )
    assert solution.iterations <= 60
    assert error(solution.estimate) <= 0.03


def test_well_conditioned_32_channels_are_inverted():
    rng = np.random.default_rng(5)
    kernel = 0.3 * rng.standard_normal((32, 32, 3, 3)) / np.sqrt(32 * 9)
    kernel[range(32), range(32), 1, 1] += 1
    op = operator(kernel, (48, 48))
    x = rng.standard_normal(op.input_shape)
    solution = op.solve(op.forward(x), method="iterative")
    relative = np.sum((solution.estimate - x) ** 2) / np.sum(x**2)
    assert relative <= 1e-10


def test_embedding_preconditioner_needs_few_iterations_for_a_blur():
    op = operator(gaussian(2), (256, 256))
    rng = np.random.default_rng(6)
    scene = np.add.outer(np.sin(np.arange(256) / 9), np.cos(np.arange(256) / 23))
    y = op.forward(scene) + 0.01 * rng.standard_normal((256, 256))
    solution = op.solve(y, strength=1e-3, tolerance=1e-6)
    x = solution.estimate
    gradient = op.adjoint(op.forward(x)) + 1e-3 * x - op.adjoint(y)
    assert np.linalg.norm(gradient) <= 1.1e-6 * np.linalg.norm(op.adjoint(y))
    assert solution.iterations <= 30


def test_condition_is_exact_where_it_is_cheap():
    rng = np.random.default_rng(7)
    for op in (
        operator(rng.standard_normal((3, 4)), (7, 8), boundary="periodic"),
        operator(rng.standard_normal((2, 3, 3, 3)), (5, 6), boundary="periodic"),
        operator(gaussian(0.7), (8, 9), boundary="reflect"),
        operator(rng.standard_normal((3, 4)), (7, 8), boundary="full"),
        operator(rng.standard_normal((3, 4)), (7, 8), boundary="zero", stride=2),
    ):
        assert op.condition() == pytest.approx(np.linalg.cond(op.dense()), rel=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_condition_is_that_of_the_exact_matrix(dtype):
    """Round-off of float32 hid the exponential growth that the documentation shows."""
    for n in (16, 32):
        matrix = np.eye(n, k=1) * 0.2 + np.eye(n, k=-1)
        found = Convolution([0.2, 0, 1], (n,), dtype=dtype).condition()
        assert found == pytest.approx(np.linalg.cond(matrix), rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kernel", "boundary"),
    [([1, 1], "periodic"), ([1, -1], "reflect"), ([1, 1, 1], "zero"), (np.ones(4), "reflect")],
)
def test_the_condition_of_a_singular_matrix_is_infinite(kernel, boundary, dtype):
    """A constant, or a wave of the kernel's length, is mapped to exactly nothing."""
    assert Convolution(kernel, (32,), boundary=boundary, dtype=dtype).condition() == np.inf


@pytest.mark.parametrize("boundary", ["periodic", "zero", "reflect", "full", "valid", "extended"])
@pytest.mark.parametrize("options", [{}, {"strength": 0.01}, {"method": "iterative"}])
def test_data_and_kernel_of_any_size(boundary, options):
    """Squares of them overflow float32, or vanish; the problem is homogeneous."""
    rng = np.random.default_rng(5)
    kernel = np.array([[0.1, 0.2, 0.1], [0.3, 1.5, 0.1]])
    op = Convolution(kernel, (40, 41), boundary=boundary)
    y = rng.standard_normal(op.output_shape)
    expected = op.pinv(y, **options)
    scale = np.abs(expected).max()
    for factor in (1e-38, 1e-25, 1e-12, 1e12, 1e19, 1e30):
        found = op.pinv(y * factor, **options).astype(float) / factor
        np.testing.assert_allclose(found, expected, atol=1e-3 * scale)
    for factor in (1e-25, 1e-12, 1e12, 1e25):
        scaled = Convolution(factor * kernel, (40, 41), boundary=boundary)
        changed = {**options}
        if "strength" in options:
            changed["strength"] *= factor**2
        found = scaled.pinv(y, **changed).astype(float) * factor
        np.testing.assert_allclose(found, expected, atol=1e-3 * scale)


def test_a_kernel_of_one_sample_has_no_border(capfd):
    op = operator([[2.0]], (5, 6))
    np.testing.assert_allclose(op.pinv(np.ones((5, 6)), method="border"), 0.5)
    assert not capfd.readouterr().err


def test_condition_is_estimated_for_large_images():
    full = operator([0.2, 0, 1], (5000,), boundary="full")
    assert full.condition() == pytest.approx(1.5, rel=1e-3)
    assert operator([0.2, 0, 1], (5000,)).condition() == np.inf
    # The bidiagonalization sees the extremes of a well conditioned operator.
    mild = operator([0.2, 1, 0.3], (5000,))
    assert mild.condition() == pytest.approx(
        np.linalg.cond(operator([0.2, 1, 0.3], (500,)).dense()), rel=0.02
    )


def test_factors_are_kept_and_frames_are_independent():
    rng = np.random.default_rng(8)
    op = operator(SHARPEN, (16, 17))
    frames = rng.standard_normal((2, 3, 16, 17))
    together = op.pinv(frames)
    np.testing.assert_allclose(together[1, 2], op.pinv(frames[1, 2]), atol=1e-13)
    calls = []
    assert op.remember(("test",), lambda: calls.append(1)) is None
    op.remember(("test",), lambda: calls.append(1))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1}, "strength must be"),
        ({"prior": "laplace"}, "prior must be"),
        ({"rcond": 2}, "rcond must be"),
        ({"rcond": 0.1, "strength": 0.1}, "use strength instead"),
        ({"method": "magic"}, "method must be one of"),
        ({"method": "cosine"}, "does not apply"),
        ({"preconditioner": "ilu"}, "preconditioner must be one of"),
        ({"preconditioner": "cosine", "strength": 1}, "needs boundary 'reflect'"),
    ],
)
def test_illegal_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        operator(SHARPEN, (8, 9)).pinv(np.ones((8, 9)), **options)
