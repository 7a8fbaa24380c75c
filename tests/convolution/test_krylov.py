"""Conjugate gradients against dense linear algebra."""

import numpy as np
import pytest
import torch

from napari_convfact.convolution.krylov import (
    conjugate_gradients,
    conjugate_gradients_least_squares,
    repeat_steps,
)
from napari_convfact.foundation.job import run


def spd(n, seed=0):
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((n, n)))
    return torch.as_tensor(basis * np.geomspace(1, 100, n) @ basis.T)


def test_solves_a_batch_of_symmetric_systems():
    matrix = spd(20)
    rhs = torch.as_tensor(np.random.default_rng(1).standard_normal((3, 20)))
    rhs[1] = 0
    result = run(
        conjugate_gradients(lambda x: x @ matrix, rhs, tolerance=1e-12, max_iterations=60, ndim=1)
    )
    expected = np.linalg.solve(matrix.numpy(), rhs.numpy().T).T
    assert result.converged
    # Condition 100 turns a residual of 1e-12 into an error of at most 1e-10.
    np.testing.assert_allclose(result.solution.numpy(), expected, atol=1e-10)
    assert len(result.history) == result.iterations
    residual = torch.linalg.vector_norm(rhs - result.solution @ matrix, dim=-1)
    relative = (residual[[0, 2]] / torch.linalg.vector_norm(rhs[[0, 2]], dim=-1)).max()
    assert result.history[-1] <= 1e-12
    assert relative <= 2e-12


def test_the_exact_inverse_as_preconditioner_takes_one_step():
    matrix = spd(20)
    inverse = torch.linalg.inv(matrix)
    rhs = torch.as_tensor(np.random.default_rng(2).standard_normal(20))
    result = run(
        conjugate_gradients(lambda x: matrix @ x, rhs, lambda r: inverse @ r, tolerance=1e-10)
    )
    assert result.iterations == 1


def test_a_good_first_guess_needs_no_step():
    matrix = spd(20)
    rhs = torch.as_tensor(np.random.default_rng(3).standard_normal(20))
    guess = torch.linalg.solve(matrix, rhs)
    start = guess.clone(), rhs - matrix @ guess
    result = run(conjugate_gradients(lambda x: matrix @ x, rhs, start=start, tolerance=1e-8))
    assert result.iterations == 0
    np.testing.assert_array_equal(result.solution.numpy(), guess.numpy())


def test_repeated_steps_solve_the_parts_of_a_problem_as_the_whole():
    parts = [spd(12, seed) for seed in range(2)]
    scales = [1 / part.diagonal() for part in parts]
    rhs, guess = torch.as_tensor(np.random.default_rng(5).standard_normal((2, 24)))
    whole, scale = torch.block_diag(*parts), torch.cat(scales)
    residual = rhs - whole @ guess
    result = run(
        conjugate_gradients(
            lambda x: whole @ x,
            rhs,
            lambda r: scale * r,
            (guess.clone(), residual.clone()),
            tolerance=1e-30,
            max_iterations=7,
        )
    )
    assert len(result.steps) == 7
    apart = [
        run(
            repeat_steps(
                lambda x, a=a: a @ x,
                lambda r, m=m: m * r,
                (guess[span], residual[span]),
                result.steps,
            )
        )
        for a, m, span in zip(parts, scales, (slice(12), slice(12, 24)), strict=True)
    ]
    np.testing.assert_allclose(torch.cat(apart).numpy(), result.solution.numpy(), rtol=1e-9)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(12, 20, 12), (20, 12, 12), (15, 15, 6)])
def test_least_squares_finds_the_minimum_norm_solution(rows, columns, rank):
    rng = np.random.default_rng(4)
    matrix = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))
    a = torch.as_tensor(matrix)
    rhs = rng.standard_normal((2, rows))
    result = run(
        conjugate_gradients_least_squares(
            lambda x: x @ a.T,
            lambda y: y @ a,
            torch.as_tensor(rhs),
            tolerance=1e-14,
            max_iterations=200,
            ndim=1,
        )
    )
    expected = rhs @ np.linalg.pinv(matrix).T
    np.testing.assert_allclose(result.solution.numpy(), expected, atol=1e-10 * abs(expected).max())


def test_zero_operator_gives_zero():
    rhs = torch.ones(5, dtype=torch.float64)
    result = run(conjugate_gradients_least_squares(torch.zeros_like, torch.zeros_like, rhs))
    assert result.converged
    assert not result.solution.any()


def test_steps_carry_progress_and_preview():
    matrix = spd(20)
    rhs = torch.as_tensor(np.random.default_rng(5).standard_normal(20))
    steps = []
    run(
        conjugate_gradients(
            lambda x: matrix @ x, rhs, max_iterations=4, tolerance=0, preview=lambda x: x.numpy()
        ),
        steps.append,
    )
    assert [(step.done, step.total) for step in steps] == [(i, 4) for i in range(1, 5)]
    assert all(step.preview.shape == (20,) for step in steps)
    # The residual is reported even when the tolerance is zero.
    residuals = [float(step.message.split()[-1]) for step in steps]
    assert min(residuals) > 0


def test_the_error_can_be_what_stops_it():
    """With the inverse itself as preconditioner, the measure is the exact relative error."""
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    matrix = torch.as_tensor(basis @ np.diag(np.logspace(0, -6, 30)) @ basis.T)
    inverse = torch.linalg.inv(matrix)
    rhs, guess = torch.as_tensor(rng.standard_normal((2, 30)))
    expected = inverse @ rhs
    job = conjugate_gradients(
        lambda x: matrix @ x,
        rhs,
        lambda r: inverse @ r,
        (guess, rhs - matrix @ guess),
        tolerance=1e-6,
        measure_error=True,
    )
    result = run(job)
    error = torch.linalg.vector_norm(result.solution - expected) / torch.linalg.vector_norm(
        expected
    )
    assert result.converged
    assert float(error) == pytest.approx(result.history[-1], abs=1e-7)
