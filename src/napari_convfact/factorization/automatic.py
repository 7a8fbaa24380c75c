"""Find the cheapest chain of small kernels within an error."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from napari_convfact.factorization.chain import Layout
from napari_convfact.factorization.problem import MOST_CELLS, pose
from napari_convfact.factorization.result import Factorization
from napari_convfact.foundation.job import Job

DEFAULT_ERROR = 0.01
OUT_OF_TIME = "The time limit ended the search: more time may find better."
# Dilations of chains of three taps an axis: slow growth for smooth kernels, fast for cheap ones.
GROWING = (
    (1, 2),
    (1, 1, 2),
    (1, 2, 4),
    (1, 1, 2, 3),
    (1, 2, 3, 5),
    (1, 2, 4, 8),
    (1, 1, 2, 3, 5),
    (1, 1, 2, 3, 3, 5),
)
TERMS = (1, 2, 4)

Trial = tuple[Layout, int]


def read_auto(text: str) -> float | None:
    """Return the relative error of ``"auto"`` or ``"auto for 2 %"``; None for other text.

    Raises
    ------
    ValueError
        If it begins with "auto" and goes on in another way.
    """
    if not text.strip().lower().startswith("auto"):
        return None
    match = re.fullmatch(r"\s*auto(?:\s+for\s+(\d*\.?\d+)\s*%)?\s*", text, re.IGNORECASE)
    if match is None or (match[1] is not None and not 0 < float(match[1]) < 100):
        raise ValueError(f"Shapes {text!r} are not understood: write 'auto' or 'auto for 1 %'.")
    return DEFAULT_ERROR if match[1] is None else float(match[1]) / 100


def cheapest_job(
    kernel: np.ndarray,
    relative_error: float,
    solve: Callable[[Layout, int], Job[Factorization]],
    deadline: float = math.inf,
) -> Job[Factorization]:
    """Try chains in order of their arithmetic until one is close enough.

    Parameters
    ----------
    kernel : numpy.ndarray
        The kernel.
    relative_error : float
        How close: root of the squared error over the kernel's energy.
    solve : callable
        ``solve(layout, n_terms)`` returns the job that fits one chain, or sum of chains.
    deadline : float
        ``time.monotonic`` value after which to try no further chain.

    Returns
    -------
    Factorization
        The cheapest that is within the error, or the closest of all with a note.
    """
    closest: Factorization | None = None
    for layout, n_terms in trials(kernel, relative_error):
        found = yield from solve(layout, n_terms)
        if found.relative_error <= relative_error:
            return found
        if closest is None or found.nmse < closest.nmse:
            closest = found
        if time.monotonic() > deadline:
            notes = dict.fromkeys((*closest.notes, OUT_OF_TIME))
            return replace(closest, notes=tuple(notes))
    box = centred_box(kernel)
    if closest is None:
        closest = yield from solve(Layout((box,), (1,)), 1)
    note = (
        f"No chain within {100 * relative_error:.3g} % was found that takes fewer "
        f"multiplications than the kernel itself ({math.prod(box)})."
    )
    return replace(closest, notes=(*closest.notes, note))


def trials(kernel: np.ndarray, relative_error: float) -> list[Trial]:
    """Return the chains that may be close enough, those with fewest multiplications first.

    Chains whose certified floor is above the error, or that take as many multiplications as
    the kernel itself, are left out.
    """
    box = centred_box(kernel)
    taps = tuple(min(3, n) for n in box)
    longest = (max(box) + 1) // 2
    schedules = [(1,) * m for m in range(1, longest + 1)]
    schedules += [steps for steps in GROWING if sum(steps) <= longest]
    layouts = [Layout((taps,) * len(steps), steps) for steps in schedules]
    found = [(layout, n) for layout in layouts for n in TERMS]
    found += [(_one_per_axis(box), n) for n in TERMS]
    possible = [
        (layout, n)
        for layout, n in found
        if n * layout.taps < math.prod(box) and _in_reach(kernel, layout, relative_error)
    ]
    return sorted(possible, key=lambda trial: trial[1] * trial[0].taps)


def centred_box(kernel: np.ndarray) -> tuple[int, ...]:
    """Return the smallest odd size about the origin that holds all taps."""
    taps = np.nonzero(kernel)
    return tuple(
        2 * int(np.abs(index - n // 2).max()) + 1
        for index, n in zip(taps, kernel.shape, strict=True)
    )


def _one_per_axis(shape: tuple[int, ...]) -> Layout:
    """Return the chain of one filter along each axis: what a separable kernel is."""
    shapes = tuple(
        tuple(n if other == axis else 1 for other in range(len(shape)))
        for axis, n in enumerate(shape)
    )
    return Layout(shapes, (1,) * len(shape))


def _in_reach(kernel: np.ndarray, layout: Layout, relative_error: float) -> bool:
    if math.prod(layout.support) > MOST_CELLS:
        return False
    try:
        problem = pose(kernel, layout, 1, zero_sum=False)
    except ValueError:  # nothing of the kernel inside the support
        return False
    return problem.floor <= relative_error**2
