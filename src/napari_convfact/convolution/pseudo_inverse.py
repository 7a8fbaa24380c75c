"""Find x from ``y = A x``: the pseudo-inverse and regularized least squares.

Every way that applies directly is preferred to iterating: the Fourier transform for a periodic
boundary, the cosine transform for a symmetric kernel with a reflecting one, a system for the
border for a small, well conditioned kernel with a zero boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.capacitance import LARGEST_BORDER, border_size, factor_border
from napari_convfact.convolution.conditioning import (
    diagonalized_by_cosines,
    diagonalized_by_fourier,
    why_hopeless,
)
from napari_convfact.convolution.direct import by_cosines, by_dense_matrix, by_fourier
from napari_convfact.convolution.forward_model import ForwardModel
from napari_convfact.convolution.krylov import (
    KrylovResult,
    conjugate_gradients,
    conjugate_gradients_least_squares,
)
from napari_convfact.convolution.preconditioners import PRECONDITIONERS, make_preconditioner
from napari_convfact.convolution.prior import apply_prior_normal, check_prior
from napari_convfact.convolution.solution import Solution
from napari_convfact.foundation.job import Job, Step
from napari_convfact.foundation.scale import intensity_unit

METHODS = ("auto", "fourier", "cosine", "border", "iterative", "dense")

# Tolerances that leave the error of well conditioned problems at round-off.
_LEAST_SQUARES_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}
_REGULARIZED_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-6}
_LEAST_SQUARES_ITERATIONS = 2000
_HOPELESS_ITERATIONS = 200
_REGULARIZED_ITERATIONS = 500
_LARGEST_DENSE = 2**20
# Powers of two within which float32 holds the squares of A* A y, also near convergence.
_USUAL_DATA, _USUAL_KERNEL = 20, 14

Map = Callable[[Tensor], Tensor]


def solve(
    operator: ForwardModel,
    y: Any,
    *,
    rcond: float | None = None,
    strength: float = 0.0,
    prior: str = "identity",
    method: str = "auto",
    preconditioner: str = "auto",
    tolerance: float | None = None,
    max_iterations: int | None = None,
) -> Job[Solution]:
    """Return the job that solves ``y = A x``.

    Parameters
    ----------
    operator : ForwardModel
        The operator A.
    y : array_like
        ``(..., *output_shape)``; leading axes are independent.
    rcond, strength, prior, method, preconditioner, tolerance, max_iterations
        See `Convolution.pinv`.

    Yields
    ------
    Step
        After each iteration.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If an argument is not legal, before any work starts.
    """
    data = operator.data_to_tensor(y)
    _check(rcond, strength, prior, preconditioner)
    options = (rcond, strength, prior, preconditioner, tolerance, max_iterations)
    chosen = _choose_method(operator, method, rcond, strength)
    unit = intensity_unit(max(abs(float(end)) for end in torch.aminmax(data)), _USUAL_DATA)
    weight = intensity_unit(_largest_gain(operator), _USUAL_KERNEL)
    if unit == weight == 1:
        return _solve(operator, data, chosen, *options)
    return _solve_in_units(operator, data, chosen, unit, weight, *options)


def _largest_gain(operator: ForwardModel) -> float:
    """Return by how much an output can exceed the inputs."""
    sums = np.abs(operator.kernel).sum(axis=tuple(range(int(operator.mixes), operator.kernel.ndim)))
    return float(np.max(sums))


def _solve_in_units(
    operator: ForwardModel,
    data: Tensor,
    chosen: str,
    unit: float,
    weight: float,
    rcond: float | None,
    strength: float,
    *options: Any,
) -> Job[Solution]:
    """Solve with data and kernel near 1, as their squares may overflow or vanish."""
    if weight != 1:
        usual = operator
        operator = usual.remember(("variant", weight), lambda: usual.variant(factor=1 / weight))
    job = _solve(operator, data / unit, chosen, rcond, strength / weight / weight, *options)
    solution = yield from job
    scale = solution.estimate.dtype.type(unit / weight)
    return replace(solution, estimate=solution.estimate * scale, strength=strength)


def _solve(
    operator: ForwardModel,
    data: Tensor,
    chosen: str,
    rcond: float | None,
    strength: float,
    prior: str,
    preconditioner: str,
    tolerance: float | None,
    max_iterations: int | None,
) -> Job[Solution]:
    if chosen == "iterative":
        if strength > 0:
            kind = _choose_preconditioner(operator, preconditioner)
            return _regularized(operator, data, strength, prior, kind, tolerance, max_iterations)
        return _least_squares(operator, data, tolerance, max_iterations)
    if chosen == "border":
        return _by_border(operator, data, tolerance, max_iterations)
    if chosen == "dense":
        return by_dense_matrix(operator, data, rcond)
    diagonal = by_fourier if chosen == "fourier" else by_cosines
    return diagonal(operator, data, rcond, strength, prior)


def _check(rcond: float | None, strength: float, prior: str, preconditioner: str) -> None:
    check_prior(prior)
    if not (np.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be a number of at least 0, not {strength!r}.")
    if rcond is not None and not 0 <= rcond < 1:
        raise ValueError(f"rcond must be from 0 to less than 1, not {rcond!r}.")
    if preconditioner not in ("auto", *PRECONDITIONERS):
        known = ", ".join(("auto", *PRECONDITIONERS))
        raise ValueError(f"preconditioner must be one of {known}, not {preconditioner!r}.")


def _choose_method(
    operator: ForwardModel, method: str, rcond: float | None, strength: float
) -> str:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    applies: dict[str, Callable[[], bool]] = {
        "fourier": lambda: diagonalized_by_fourier(operator),
        "cosine": lambda: diagonalized_by_cosines(operator),
        "border": lambda: rcond is None and strength == 0 and _border_applies(operator),
        "iterative": lambda: rcond is None,
        "dense": lambda: strength == 0 and _is_small(operator),
    }
    if method != "auto":
        if not applies[method]():
            raise ValueError(f"method={method!r} does not apply here: use method='auto'.")
        return method
    for name, check in applies.items():
        if check():
            return name
    raise ValueError(
        "rcond needs the singular values, which are known for a periodic boundary, a symmetric "
        "kernel with boundary 'reflect', or a small image: use strength instead."
    )


def _is_small(operator: ForwardModel) -> bool:
    return prod(operator.input_shape) * prod(operator.output_shape) <= _LARGEST_DENSE


def _border_applies(operator: ForwardModel) -> bool:
    return (
        operator.boundary == "zero"
        and operator.has_unit_grid
        and operator.input_shape == operator.output_shape
        and border_size(operator) <= LARGEST_BORDER
        and why_hopeless(operator) is None
    )


def _choose_preconditioner(operator: ForwardModel, kind: str) -> str:
    if kind != "auto":
        return kind
    if operator.mixes:
        # Stopping early is part of the regularization here, and a preconditioner lets the
        # worst directions in first.
        return "none"
    return "cosine" if operator.boundary == "reflect" else "embedding"


def _by_border(
    operator: ForwardModel, data: Tensor, tolerance: float | None, max_iterations: int | None
) -> Job[Solution]:
    yield Step(0, 1, "Factoring the system of the border")
    inverse = operator.remember(("border",), lambda: factor_border(operator))
    if inverse is None:
        return (yield from _least_squares(operator, data, tolerance, max_iterations))
    x = inverse.apply(data)
    yield Step(1, 1, "Solved the system of the border")
    return Solution.direct(operator.to_numpy(x), "border")


def _least_squares(
    operator: ForwardModel, data: Tensor, tolerance: float | None, max_iterations: int | None
) -> Job[Solution]:
    hopeless = why_hopeless(operator)
    most = _HOPELESS_ITERATIONS if hopeless else _LEAST_SQUARES_ITERATIONS
    found = yield from conjugate_gradients_least_squares(
        operator.apply,
        operator.apply_adjoint,
        data,
        tolerance=_LEAST_SQUARES_TOLERANCE[operator.dtype] if tolerance is None else tolerance,
        max_iterations=max_iterations or most,
        ndim=len(operator.output_shape),
    )
    return _iterative_solution(found, 0.0, hopeless)


def _regularized(
    operator: ForwardModel,
    data: Tensor,
    strength: float,
    prior: str,
    preconditioner: str,
    tolerance: float | None,
    max_iterations: int | None,
) -> Job[Solution]:
    precondition = operator.remember(
        ("preconditioner", preconditioner, strength, prior),
        lambda: make_preconditioner(operator, strength, prior, preconditioner),
    )
    found = yield from conjugate_gradients(
        regularized_normal(operator, strength, prior),
        operator.apply_adjoint(data),
        precondition,
        tolerance=_REGULARIZED_TOLERANCE[operator.dtype] if tolerance is None else tolerance,
        max_iterations=max_iterations or _REGULARIZED_ITERATIONS,
        ndim=len(operator.input_shape),
    )
    return _iterative_solution(found, strength, None)


def regularized_normal(operator: ForwardModel, strength: float, prior: str) -> Map:
    """Return the map ``x -> (A* A + strength L* L) x``."""
    periodic = operator.boundary == "periodic"

    def apply_normal(x: Tensor) -> Tensor:
        result = operator.apply_adjoint(operator.apply(x))
        smoothness = (
            x
            if prior == "identity"
            else apply_prior_normal(prior, x, operator.ndim, periodic=periodic)
        )
        return result.add_(smoothness, alpha=strength)

    return apply_normal


def _iterative_solution(found: KrylovResult, strength: float, hopeless: str | None) -> Solution:
    message = hopeless or ""
    if not found.converged and not hopeless:
        message = (
            f"The iteration stopped after {found.iterations} steps before it settled, at a "
            f"relative residual of {found.history[-1]:.1e}: raise strength or max_iterations."
        )
    return Solution(
        ForwardModel.to_numpy(found.solution),
        "iterative",
        strength,
        found.iterations,
        found.converged,
        found.history,
        message,
    )
