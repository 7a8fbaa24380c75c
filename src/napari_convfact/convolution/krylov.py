"""Conjugate gradients as generators, for symmetric systems and for least squares.

Leading axes of the right-hand side are independent problems that are solved side by side,
each with its own step lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation.job import Job, Step

Map = Callable[[Tensor], Tensor]
Preview = Callable[[Tensor], np.ndarray]


@dataclass(frozen=True)
class KrylovResult:
    """What an iterative solver found.

    Attributes
    ----------
    solution : torch.Tensor
        Shape of the unknown.
    iterations : int
        Steps taken.
    converged : bool
        Whether every problem reached the tolerance.
    history : tuple of float
        The relative residual after each iteration, the largest of the batch.
    steps : tuple of tuple of float
        How far each step of `conjugate_gradients` went along its direction, and how much of
        that direction went into the next one. Empty where several problems were solved.
    """

    solution: Tensor
    iterations: int
    converged: bool
    history: tuple[float, ...]
    steps: tuple[tuple[float, float], ...] = ()


def conjugate_gradients(
    apply_normal: Map,
    rhs: Tensor,
    precondition: Map | None = None,
    start: tuple[Tensor, Tensor] | None = None,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    measure_error: bool = False,
    ndim: int | None = None,
    preview: Preview | None = None,
    message: str = "Conjugate gradients",
) -> Job[KrylovResult]:
    """Solve ``N x = rhs`` for a symmetric positive semidefinite N.

    Parameters
    ----------
    apply_normal : callable
        ``x -> N x``.
    rhs : torch.Tensor
        ``(..., *n)``.
    precondition : callable, optional
        ``r -> M r``, symmetric positive definite and near the inverse of N.
    start : tuple of torch.Tensor, optional
        First guess x and its residual ``rhs - N x``, whose round-off stays in the solution.
        Their memory is taken over. Zero by default.
    tolerance : float
        Stop when ``|r| <= tolerance * |rhs|`` for the residual ``r = rhs - N x``.
    max_iterations : int
        Stop after so many steps.
    measure_error : bool
        Measure ``|M r|``, relative to ``|M rhs|``, in place of ``|r|``. It estimates the
        error of x, of which a small residual says little if N is ill-conditioned.
    ndim : int, optional
        How many of the last axes make up one problem; all by default.
    preview : callable, optional
        Makes `Step.preview` of the current x.
    message : str
        For `Step.message`.

    Yields
    ------
    Step
        After each iteration.

    Returns
    -------
    KrylovResult

    References
    ----------
    M. R. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear
    systems", J. Res. Natl. Bur. Stand. 49 (1952).
    """
    dot = _InnerProduct(rhs, ndim)
    precondition = precondition or _identity
    scale = dot.norm(precondition(rhs) if measure_error else rhs)
    if start is None:
        start = torch.zeros_like(rhs, memory_format=torch.contiguous_format), rhs.clone()
    x, r = start
    del rhs, start
    z = precondition(r)
    p, rho = z.clone(), dot(r, z)
    active = dot.norm(z if measure_error else r) > tolerance * scale
    del z
    history: list[float] = []
    steps: list[tuple[float, float]] = []
    while bool(active.any()) and len(history) < max_iterations:
        q = apply_normal(p)
        alpha = torch.where(active, _ratio(rho, dot(p, q)), 0.0)
        x.addcmul_(p, alpha)
        r.addcmul_(q, alpha, value=-1)
        del q
        z = precondition(r)
        residual = dot.norm(z if measure_error else r)
        active = active & (residual > tolerance * scale)
        history.append(_largest_ratio(residual, scale))
        yield _step(history, max_iterations, message, preview, x)
        rho, before = dot(r, z), rho
        turn = _ratio(rho, before)
        p.mul_(turn).add_(z)
        del z
        if alpha.numel() == 1:
            steps.append((float(alpha), float(turn)))
    return KrylovResult(x, len(history), not bool(active.any()), tuple(history), tuple(steps))


def repeat_steps(
    apply_normal: Map,
    precondition: Map | None,
    start: tuple[Tensor, Tensor],
    steps: Sequence[tuple[float, float]],
    message: str = "Conjugate gradients",
) -> Job[Tensor]:
    """Take the steps that `conjugate_gradients` took on a similar problem.

    Conjugate gradients look at the whole right-hand side to decide each step. Steps that are
    given are linear and as local as the two maps: parts of a problem that are solved apart
    agree where they meet, however early the iteration stopped.

    Parameters
    ----------
    apply_normal, precondition, start, message
        As for `conjugate_gradients`.
    steps : sequence of tuple of float
        `KrylovResult.steps` of the similar problem.

    Yields
    ------
    Step
        After each iteration.

    Returns
    -------
    torch.Tensor
        The last x.
    """
    precondition = precondition or _identity
    x, r = start
    del start
    p = precondition(r).clone()
    for done, (length, turn) in enumerate(steps, start=1):
        x.add_(p, alpha=length)
        if done < len(steps):
            r.sub_(apply_normal(p), alpha=length)
            p.mul_(turn).add_(precondition(r))
        yield Step(done, len(steps), f"{message}: iteration {done} of {len(steps)}")
    return x


def conjugate_gradients_least_squares(
    apply: Map,
    apply_adjoint: Map,
    rhs: Tensor,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    ndim: int | None = None,
    preview: Preview | None = None,
    message: str = "Least squares",
) -> Job[KrylovResult]:
    """Find the x of least norm among those that minimize ``|A x - rhs|`` (CGLS from zero).

    There is no preconditioner on purpose: it would change which minimizer is found.

    Parameters
    ----------
    apply, apply_adjoint : callable
        ``x -> A x`` and ``y -> A* y``.
    rhs : torch.Tensor
        ``(..., *m)``.
    tolerance : float
        Stop when ``|r| <= tolerance * |rhs|`` or ``|A* r| <= tolerance * |A| * |r|``, with
        ``|A|`` estimated on the way.
    max_iterations : int
        Stop after so many steps.
    ndim : int, optional
        How many of the last axes of `rhs` make up one problem; all by default.
    preview : callable, optional
        Makes `Step.preview` of the current x.
    message : str
        For `Step.message`.

    Yields
    ------
    Step
        After each iteration.

    Returns
    -------
    KrylovResult
        `history` is ``|A* r|`` relative to its first value.

    References
    ----------
    C. C. Paige and M. A. Saunders, "LSQR: an algorithm for sparse linear equations and
    sparse least squares", ACM Trans. Math. Softw. 8 (1982), for CGLS and the stopping rules.
    """
    r = rhs.clone()
    data = _InnerProduct(rhs, ndim)
    limit = tolerance * data.norm(rhs)
    batch_ndim = rhs.ndim - data.ndim
    del rhs
    s = apply_adjoint(r)
    scene = _InnerProduct(s, s.ndim - batch_ndim)
    x, p = torch.zeros_like(s, memory_format=torch.contiguous_format), s.clone()
    gamma = scene(s, s)
    del s
    first, operator_norm = gamma.sqrt(), torch.zeros_like(gamma)
    active = gamma > 0
    history: list[float] = []
    while bool(active.any()) and len(history) < max_iterations:
        q = apply(p)
        curvature = data(q, q)
        operator_norm = torch.maximum(operator_norm, _ratio(curvature, scene(p, p)).sqrt())
        alpha = torch.where(active, _ratio(gamma, curvature), 0.0)
        x.addcmul_(p, alpha)
        r.addcmul_(q, alpha, value=-1)
        del q
        s = apply_adjoint(r)
        gamma, before = scene(s, s), gamma
        residual, slope = data.norm(r), gamma.sqrt()
        active = active & (residual > limit) & (slope > tolerance * operator_norm * residual)
        history.append(_largest_ratio(slope, first))
        yield _step(history, max_iterations, message, preview, x)
        p.mul_(_ratio(gamma, before)).add_(s)
        del s
    return KrylovResult(x, len(history), not bool(active.any()), tuple(history))


def _identity(x: Tensor) -> Tensor:
    return x


class _InnerProduct:
    """Inner product over the last `ndim` axes, kept as axes of length one."""

    def __init__(self, like: Tensor, ndim: int | None) -> None:
        self.ndim = like.ndim if ndim is None else ndim
        self._axes = tuple(range(-self.ndim, 0))

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(self._axes, keepdim=True)

    def norm(self, a: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(a, dim=self._axes, keepdim=True)
        return norm


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b, and 0 where b is not positive (the search has nowhere to go)."""
    return torch.where(b > 0, a / b, 0.0)


def _largest_ratio(a: Tensor, b: Tensor) -> float:
    return float(_ratio(a, b).max())


def _step(
    history: list[float], total: int, message: str, preview: Preview | None, x: Tensor
) -> Step:
    done = len(history)
    return Step(
        done,
        total,
        f"{message}: iteration {done}, residual {history[-1]:.1e}",
        None if preview is None else preview(x),
    )
