"""The chains of small factors that are worth trying for a kernel of some size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from napari_convfact.factorization.chain import Layout

_MOST_FACTORS = 15
_LEAST_A_TROUS = 4  # samples that a dilated chain must reach from the origin


def candidate_layouts(kernel_shape: Sequence[int]) -> list[Layout]:
    """Return chains whose support covers a kernel.

    Parameters
    ----------
    kernel_shape : sequence of int
        Size of the kernel.

    Returns
    -------
    list of Layout
        A chain of undilated factors of up to three taps along each axis, and two a-trous
        chains: with dilations that double, and with dilations that grow like Fibonacci's
        numbers, which takes more factors and comes closer.
    """
    radius = max(math.ceil((n - 1) / 2) for n in kernel_shape)
    layouts = []
    if 2 <= radius <= _MOST_FACTORS:
        layouts.append(_undilated(kernel_shape, radius))
    if radius >= _LEAST_A_TROUS:
        layouts += [
            _dilated(kernel_shape, _adding_up(steps, radius))
            for steps in (_doubling(), _fibonacci())
        ]
    return layouts


def _undilated(kernel_shape: Sequence[int], n_factors: int) -> Layout:
    left = [n - 1 for n in kernel_shape]
    shapes = []
    for _ in range(n_factors):
        taps = tuple(1 + min(2, n) for n in left)
        left = [n - (t - 1) for n, t in zip(left, taps, strict=True)]
        shapes.append(taps)
    return Layout(tuple(shapes), (1,) * n_factors)


def _dilated(kernel_shape: Sequence[int], dilations: Sequence[int]) -> Layout:
    radii = [math.ceil((n - 1) / 2) for n in kernel_shape]
    reached = itertools.accumulate(dilations, initial=0)
    # Along a shorter axis the last factors have a single tap.
    shapes = tuple(
        tuple(3 if before < r else 1 for r in radii)
        for before, _ in zip(reached, dilations, strict=False)
    )
    return Layout(shapes, tuple(dilations))


def _adding_up(steps: Iterator[int], total: int) -> tuple[int, ...]:
    """Return the first steps, the last one shortened so that they add up to `total`."""
    taken: list[int] = []
    while sum(taken) < total:
        taken.append(min(next(steps), total - sum(taken)))
    return tuple(sorted(taken))


def _doubling() -> Iterator[int]:
    return (2**i for i in itertools.count())


def _fibonacci() -> Iterator[int]:
    a, b = 1, 1
    while True:
        yield a
        a, b = b, a + b
