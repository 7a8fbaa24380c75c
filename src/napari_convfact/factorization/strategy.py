"""What to try for a kernel, in which order: closed form, axis by axis, everything at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_convfact.factorization.certificates import (
    FLOAT32_LIMIT,
    SAME,
    float32_error,
    separate,
)
from napari_convfact.factorization.chain import add_chains, balance, multiply
from napari_convfact.factorization.problem import Problem
from napari_convfact.factorization.result import Factors
from napari_convfact.factorization.roots import factor_separable, outer_products
from napari_convfact.factorization.search import Effort, Found, search_job
from napari_convfact.factorization.solver import ChainModel
from napari_convfact.foundation.job import Job

ROUNDING = SAME**2  # squared relative error that counts as rounding
ZERO_SUM = 1e-12  # |sum| of a kernel of unit norm that counts as zero
SUM_WEIGHT = 1e3  # of the sum in a search whose gains are then fitted under the constraint


@dataclass(frozen=True)
class Candidate:
    """A sum of chains for the window of unit norm.

    Attributes
    ----------
    terms : tuple of tuple of numpy.ndarray
        The factors.
    kernel : numpy.ndarray
        What they amount to.
    cost : float
        Squared error inside the support.
    float32 : float
        Relative error of applying it in float32.
    method : str
        Where it comes from.
    starts, hit_fraction
        Of the search.
    """

    terms: tuple[Factors, ...]
    kernel: np.ndarray
    cost: float
    float32: float
    method: str
    starts: int = 0
    hit_fraction: float = 1.0


def solve_job(problem: Problem, effort: Effort, closed_form: bool) -> Job[Candidate]:
    """Try what is exact first and search only where it does not attain the floor.

    Parameters
    ----------
    problem : Problem
        What to solve.
    effort : Effort
        How hard to search.
    closed_form : bool
        Whether to look at separability at all.

    Returns
    -------
    Candidate
        The closest that is usable in float32; the closest of all where none is.
    """
    best = None
    if closed_form:
        vectors, error = separate(problem.window)
        if error <= SAME:
            best = _closed_form(problem, vectors)
            if best is None or not _attained(best, problem):
                fitted = yield from _separable_search(problem, vectors, effort)
                best = _preferred(best, fitted, problem)
            if best is not None and _attained(best, problem):
                return best
    found = yield from _search(problem, effort)
    # Gains of thousands that cancel leave a sum at their rounding: there is none better.
    return _preferred(best, found, problem) or found


def _attained(candidate: Candidate, problem: Problem) -> bool:
    return candidate.cost <= problem.inner_floor * (1 + 1e-9) + ROUNDING


def _preferred(a: Candidate | None, b: Candidate | None, problem: Problem) -> Candidate | None:
    """Return the candidate that is usable and closer; one that breaks the rules is refused."""
    fit = [c for c in (a, b) if c is not None and _admissible(c, problem)]
    usable = [c for c in fit if c.float32 <= FLOAT32_LIMIT]
    return min(usable or fit, key=lambda c: c.cost, default=None)


def _admissible(candidate: Candidate, problem: Problem) -> bool:
    return (
        not problem.zero_sum
        or abs(add_chains(candidate.terms, problem.layout.dilations).sum()) <= ZERO_SUM
    )


def _candidate(
    problem: Problem, terms: Sequence[Factors], method: str, starts: int = 0, hits: float = 1.0
) -> Candidate:
    balanced = tuple(balance(factors) for factors in terms)
    dilations = problem.layout.dilations
    kernel = add_chains(balanced, dilations)
    residual = problem.window - kernel
    cost = float(np.vdot(residual, residual))
    rounding = float32_error(balanced, dilations, kernel)
    return Candidate(balanced, kernel, cost, rounding, method, starts, hits)


def _closed_form(problem: Problem, vectors: Sequence[np.ndarray]) -> Candidate | None:
    """Pair roots. Refused where it is not usable in float32 or breaks the zero sum."""
    if max(problem.layout.dilations) > 1:
        return None
    factors = factor_separable(vectors, problem.layout)
    if factors is None:
        return None
    candidate = _candidate(problem, [factors], "roots")
    if candidate.float32 > FLOAT32_LIMIT or not _admissible(candidate, problem):
        return None
    return candidate


def _separable_search(
    problem: Problem, vectors: Sequence[np.ndarray], effort: Effort
) -> Job[Candidate | None]:
    """Fit each axis by a chain of its own: far smaller problems than the whole."""
    columns, starts, hits = [], 0, 1.0
    for axis, vector in enumerate(vectors):
        layout = problem.layout.along(axis)
        norm = float(np.linalg.norm(vector))
        model = ChainModel(layout, vector / norm)
        found = yield from search_job(model, replace(effort, floor=0.0), f"Axis {axis}")
        chosen = _first_usable(model, found)
        first, *others = model.unpack(chosen)[0]
        columns.append([first * norm, *others])
        starts, hits = max(starts, found.starts), min(hits, found.hit_fraction)
    candidate = _candidate(problem, [outer_products(columns)], "separable search", starts, hits)
    return candidate if _admissible(candidate, problem) else None


def _search(problem: Problem, effort: Effort) -> Job[Candidate]:
    """Search the whole chain, with the zero sum in each factor that can carry it."""
    best: Candidate | None = None
    for model in _models(problem):
        found = yield from search_job(model, effort)
        chosen = _first_usable(model, found)
        terms = _fit_gains(problem, model.unpack(chosen))
        candidate = _candidate(problem, terms, "search", found.starts, found.hit_fraction)
        if best is None or candidate.cost < best.cost:
            best = candidate
    assert best is not None
    return best


def _models(problem: Problem) -> list[ChainModel]:
    layout, window = problem.layout, problem.window
    if not problem.zero_sum:
        return [ChainModel(layout, window, problem.n_terms)]
    if problem.n_terms > 1:
        return [ChainModel(layout, window, problem.n_terms, sum_weight=SUM_WEIGHT)]
    # The sum of a product is the product of the sums, so one factor must have zero sum.
    # Factors that are alike can be exchanged: one of each kind is tried.
    kinds = {
        kind: i
        for i, kind in enumerate(zip(layout.shapes, layout.dilations, strict=True))
        if math.prod(kind[0]) > 1
    }
    return [ChainModel(layout, window, 1, zero_sum_factor=i) for i in kinds.values()]


def _fit_gains(problem: Problem, terms: Sequence[Factors]) -> Sequence[Factors]:
    """Weight the chains of a sum so that it sums to zero exactly, by constrained least squares."""
    if not problem.zero_sum or len(terms) == 1:
        return terms
    kernels = np.array([multiply(factors, problem.layout.dilations).ravel() for factors in terms])
    sums = kernels.sum(axis=1)
    # Least squares over the gains that are orthogonal to the sums.
    free = np.linalg.svd(sums[None])[2][1:].T
    gains = free @ np.linalg.lstsq(kernels.T @ free, problem.window.ravel())[0]
    return [(gain * f[0], *f[1:]) for gain, f in zip(gains, terms, strict=True)]


def _first_usable(model: ChainModel, found: Found) -> np.ndarray:
    """Return the best point that survives float32, or the best of all."""
    for x in found.points:
        terms, dilations = model.unpack(x), model.layout.dilations
        if float32_error(terms, dilations, add_chains(terms, dilations)) <= FLOAT32_LIMIT:
            return x
    return found.points[0]
