"""Factorize a kernel: closed form where it is separable, search where it is not."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_convfact.factorization import modulation
from napari_convfact.factorization.automatic import OUT_OF_TIME, cheapest_job, read_auto
from napari_convfact.factorization.certificates import FLOAT32_LIMIT
from napari_convfact.factorization.chain import Layout, add_chains, balance, embed
from napari_convfact.factorization.problem import (
    Problem,
    check_layout,
    check_options,
    check_target,
    pose,
)
from napari_convfact.factorization.result import Factorization, Status
from napari_convfact.factorization.search import Effort
from napari_convfact.factorization.strategy import ROUNDING, Candidate, solve_job
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.foundation.scale import times_power_of_two, to_unit_scale

AUTO_STARTS = 24  # for each of the chains that shapes="auto" tries
Shapes = str | Sequence[int | Sequence[int]]


def factorize(
    kernel: Any,
    shapes: Shapes = ((3, 3), (3, 3)),
    *,
    dilations: int | Sequence[int] | None = None,
    n_terms: int = 1,
    zero_sum: bool = False,
    starts: int = 96,
    seed: int = 0,
    time_limit: float | None = None,
    closed_form: bool = True,
) -> Factorization:
    """Write a kernel as successive convolutions of small ones.

    Parameters
    ----------
    kernel : array_like
        One to three axes (more work too), origin at ``n // 2``. Complex if it is a real
        kernel times a plane wave, as a Gabor filter is.
    shapes : sequence or str
        Taps of each factor: ``((3, 3), (3, 3))``, mixed ``((1, 5), (5, 1), (3, 3))``, ints
        for equal axes ``(3, 3)``, or text ``"3x3, 3x3"``. ``"auto for 1 %"`` tries chains,
        a-trous chains, one filter per axis, and sums of them, from the cheapest on until one
        has a relative error of at most 1 %; ``"auto"`` is the same. The chain spans
        ``1 + sum d (s - 1)`` samples along an axis and its origin, the middle (``n // 2``),
        lies on the kernel's.
    dilations : int or sequence of int, optional
        Spacing of the taps of each factor: ``(1, 2, 4)`` for an a-trous chain.
    n_terms : int
        Chains that are added.
    zero_sum : bool
        Hold the sum of the result at zero, exactly (an admissible wavelet).
    starts : int
        Starts of the search, if one is needed. A chain of four factors and more gets more
        by itself where few of them reached the best.
    seed : int
        Of the random starts.
    time_limit : float, optional
        Seconds after which the best so far is returned.
    closed_form : bool
        Use the closed form for separable kernels. Off, everything is searched.

    Returns
    -------
    Factorization

    Raises
    ------
    ValueError
        If the kernel, the shapes or an option make no sense.

    Notes
    -----
    A separable kernel is split exactly by pairing the roots of each axis. What is cut off
    outside the chain's support is then the whole error, and no chain of that support can do
    better: the result is certified. Other kernels are fitted by batched Levenberg-Marquardt
    in float64 from starts in strata.

    References
    ----------
    E. Kaltofen, J. P. May, Z. Yang, L. Zhi, Approximate factorization of multivariate
    polynomials using singular value decomposition, J. Symbolic Computation 43 (2008).

    Examples
    --------
    >>> import numpy as np
    >>> binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    >>> chain = factorize(binomial, ((3, 3), (3, 3)))
    >>> chain.status, chain.macs, chain.macs_direct
    ('exact', 18, 25)
    """
    return run(
        factorize_job(
            kernel,
            shapes,
            dilations=dilations,
            n_terms=n_terms,
            zero_sum=zero_sum,
            starts=starts,
            seed=seed,
            time_limit=time_limit,
            closed_form=closed_form,
        )
    )


def factorize_job(
    kernel: Any,
    shapes: Shapes = ((3, 3), (3, 3)),
    *,
    dilations: int | Sequence[int] | None = None,
    n_terms: int = 1,
    zero_sum: bool = False,
    starts: int = 96,
    seed: int = 0,
    time_limit: float | None = None,
    closed_form: bool = True,
) -> Job[Factorization]:
    """`factorize` as a generator of steps; closing it cancels."""
    begun = time.monotonic()
    check_options(n_terms, starts, time_limit, seed)
    deadline = math.inf if time_limit is None else begun + time_limit
    # Squares of numbers like 1e-200 are zero and of 1e200 infinite: all work is near 1.
    target, exponent = to_unit_scale(check_target(kernel))
    wave: modulation.Wave | None = None
    envelope = target
    if np.iscomplexobj(target):
        if zero_sum:
            raise ValueError("zero_sum is for real kernels: factorize the real part instead.")
        envelope, wave = modulation.demodulate(target)
    relative_error = read_auto(shapes) if isinstance(shapes, str) else None
    if relative_error is None:
        layout = check_layout(shapes, dilations, target.ndim)
        problem = pose(envelope, layout, n_terms, zero_sum)
        effort = Effort(starts, seed, problem.inner_floor, deadline)
        result = yield from _solve(problem, effort, closed_form)
    else:
        if dilations is not None or n_terms != 1:
            raise ValueError("shapes='auto' chooses dilations and n_terms itself: leave them out.")

        def solve(layout: Layout, n_terms: int) -> Job[Factorization]:
            problem = pose(envelope, layout, n_terms, zero_sum)
            brief = Effort(min(starts, AUTO_STARTS), seed, problem.inner_floor, deadline, 0)
            return _solve(problem, brief, closed_form)

        result = yield from cheapest_job(envelope, relative_error, solve, deadline)
    result = replace(result, seconds=time.monotonic() - begun)
    result = result if wave is None else _modulated(result, target, wave)
    return _scaled(result, exponent)


def _scaled(result: Factorization, exponent: int) -> Factorization:
    """Multiply a factorization by a power of two, spread evenly over the factors."""
    whole, rest = divmod(exponent, len(result.factors))
    share = 2.0 ** (rest / len(result.factors))
    terms = tuple(
        tuple(times_power_of_two(share * factor, whole) for factor in factors)
        for factors in result.terms
    )
    return replace(
        result,
        kernel=times_power_of_two(result.kernel, exponent),
        terms=terms,
        reconstruction=times_power_of_two(result.reconstruction, exponent),
        residual=times_power_of_two(result.residual, exponent),
    )


def _solve(problem: Problem, effort: Effort, closed_form: bool) -> Job[Factorization]:
    sizes = ", ".join("x".join(map(str, shape)) for shape in problem.layout.shapes)
    yield Step(0, 1, f"{sizes}: is the kernel separable?")
    candidate = yield from solve_job(problem, effort, closed_form)
    notes = []
    if time.monotonic() > effort.deadline:
        notes.append(OUT_OF_TIME)
    if len(candidate.terms) < problem.n_terms:
        notes.append("The kernel is separable: one chain is as good as a sum.")
    if candidate.float32 > FLOAT32_LIMIT:
        notes.append(
            f"Its rounding error in float32 is {candidate.float32:.1g}: apply it as one kernel."
        )
    return _report(problem, candidate, tuple(notes))


def _report(problem: Problem, candidate: Candidate, notes: tuple[str, ...]) -> Factorization:
    terms = tuple(balance((factors[0] * problem.norm, *factors[1:])) for factors in candidate.terms)
    layout = problem.layout
    kernel = embed(problem.kernel, problem.frame)
    reconstruction = embed(candidate.kernel * problem.norm, problem.frame)
    nmse = problem.tail + (1 - problem.tail) * candidate.cost
    return Factorization(
        kernel=kernel,
        terms=terms,
        dilations=layout.dilations,
        reconstruction=reconstruction,
        residual=kernel - reconstruction,
        nmse=nmse,
        floor=problem.floor,
        tail_nmse=problem.tail,
        status=_status(nmse, problem.floor),
        method=candidate.method,
        starts=candidate.starts,
        hit_fraction=candidate.hit_fraction,
        float32_error=candidate.float32,
        macs=len(terms) * layout.taps,
        seconds=0.0,
        notes=notes,
    )


def _status(nmse: float, floor: float) -> Status:
    if nmse <= ROUNDING:
        return "exact"
    return "certified" if nmse <= floor * (1 + 1e-9) + ROUNDING else "best found"


def _modulated(result: Factorization, target: np.ndarray, wave: modulation.Wave) -> Factorization:
    """Put the wave back onto the factors of the envelope."""
    support = result.support
    terms = tuple(
        modulation.modulate(factors, result.dilations, support, wave) for factors in result.terms
    )
    frame = result.reconstruction.shape
    reconstruction = embed(add_chains(terms, result.dilations), frame)
    framed = embed(target, frame)
    return replace(
        result,
        kernel=framed,
        terms=terms,
        reconstruction=reconstruction,
        residual=framed - reconstruction,
    )
