"""Where searches start: strata that reach basins which random starts miss.

Random starts alone find the best chain for generic kernels and almost never for symmetric
ones; symmetric starts alone find it for Laplacians and never for a disk. So each stratum
gets its share:

- random taps;
- random taps with the symmetries of the target;
- the closed form of the target's leading separable parts, roots dealt out at random, with
  five percent of noise (for chains with dilations: smooth positive factors).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_convfact.factorization.certificates import SAME, separate
from napari_convfact.factorization.chain import Layout
from napari_convfact.factorization.roots import Sections, group, outer_products, split

NOISE = 0.05


@dataclass(frozen=True)
class Symmetry:
    """What maps a kernel onto itself.

    Attributes
    ----------
    flips : tuple of (int, int)
        Axis and sign: the kernel's mirror image along the axis is sign times the kernel.
    swaps : tuple of (int, int)
        Pairs of axes that may be exchanged.
    """

    flips: tuple[tuple[int, int], ...]
    swaps: tuple[tuple[int, int], ...]

    def __bool__(self) -> bool:
        return bool(self.flips or self.swaps)


def detect_symmetry(kernel: np.ndarray) -> Symmetry:
    """Find the mirror and exchange symmetries of a kernel, odd ones included."""
    limit = 10 * SAME * float(np.abs(kernel).max())
    flips = [
        (axis, sign)
        for axis, sign in itertools.product(range(kernel.ndim), (1, -1))
        if kernel.shape[axis] > 1 and np.abs(kernel - sign * np.flip(kernel, axis)).max() <= limit
    ]
    swaps = [
        (a, b)
        for a, b in itertools.combinations(range(kernel.ndim), 2)
        if kernel.shape[a] == kernel.shape[b]
        and np.abs(kernel - kernel.swapaxes(a, b)).max() <= limit
    ]
    return Symmetry(tuple(flips), tuple(swaps))


def draw(
    window: np.ndarray, layout: Layout, n_terms: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw starts in equal strata.

    Parameters
    ----------
    window : numpy.ndarray
        The kernel inside the chain's support.
    layout : Layout
        Shapes and dilations.
    n_terms : int
        Chains per start.
    count : int
        Number of starts.
    rng : numpy.random.Generator
        Where randomness comes from.

    Returns
    -------
    numpy.ndarray
        ``(count, n_terms * layout.taps)``.
    """
    symmetry = detect_symmetry(window)
    informed = _Informed(window, layout)
    starts = []
    for i in range(count):
        terms = []
        for term in range(n_terms):
            if i % 3 == 1 and symmetry:
                factors = symmetric_factors(layout, symmetry, rng)
            elif i % 3 == 2:
                factors = informed.draw(term, rng)
            else:
                factors = _random(layout, rng)
            terms += [factor.ravel() for factor in factors]
        starts.append(np.concatenate(terms))
    return np.array(starts)


def _random(layout: Layout, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.standard_normal(shape) for shape in layout.shapes]


def symmetric_factors(
    layout: Layout, symmetry: Symmetry, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return random factors whose product has the given symmetries."""
    factors = _random(layout, rng)
    signs = [np.ones(layout.ndim, int) for _ in factors]
    for axis, sign in symmetry.flips:
        # An odd kernel has an odd number of odd factors.
        able = [i for i, shape in enumerate(layout.shapes) if shape[axis] > 1]
        if sign < 0 and able:
            signs[rng.choice(able)][axis] = -1
        for i in range(len(factors)):
            factors[i] = factors[i] + signs[i][axis] * np.flip(factors[i], axis)
    for a, b in symmetry.swaps:
        for i, shape in enumerate(layout.shapes):
            if shape[a] == shape[b] and signs[i][a] == signs[i][b]:
                factors[i] = factors[i] + factors[i].swapaxes(a, b)
    return factors


class _Informed:
    """Starts made from the target's separable parts."""

    def __init__(self, window: np.ndarray, layout: Layout) -> None:
        self.layout = layout
        self.parts: list[list[Sections]] = []
        if max(layout.dilations) == 1:
            self.parts = [[split(v) for v in vectors] for vectors in _separable_parts(window)]

    def draw(self, term: int, rng: np.random.Generator) -> list[np.ndarray]:
        factors = self._roots(term, rng) if self.parts else None
        if factors is None:
            factors = smooth(self.layout, rng)
        return [
            factor * (1 + NOISE * rng.standard_normal(factor.shape))
            + NOISE * np.abs(factor).mean() * rng.standard_normal(factor.shape)
            for factor in factors
        ]

    def _roots(self, term: int, rng: np.random.Generator) -> list[np.ndarray] | None:
        # A first chain starts from either of the two leading parts, further ones in turn.
        part = self.parts[(term + int(rng.integers(2))) % len(self.parts)]
        columns = []
        for axis, sections in enumerate(part):
            column = group(sections, [shape[axis] for shape in self.layout.shapes], rng)
            if column is None:
                return None
            columns.append(column)
        return list(outer_products(columns))


def smooth(layout: Layout, rng: np.random.Generator) -> list[np.ndarray]:
    """Return positive, bell-shaped factors of random widths."""
    factors = []
    for shape in layout.shapes:
        filters = []
        for n in shape:
            position = np.arange(n) - (n - 1) / 2
            filters.append(np.exp(-(position**2) * np.exp(rng.normal(0, 1))))
        factors.append(_outer(filters))
    return factors


def _outer(vectors: Sequence[np.ndarray]) -> np.ndarray:
    product = np.ones(())
    for vector in vectors:
        product = product[..., None] * vector
    return product


def _separable_parts(window: np.ndarray, most: int = 4) -> list[list[np.ndarray]]:
    """Return the leading separable part, then that of what it leaves, and so on."""
    parts, left = [], window
    energy = float(np.linalg.norm(window))
    for _ in range(most):
        if np.linalg.norm(left) <= SAME * energy:
            break
        vectors, _ = separate(left)
        parts.append(vectors)
        left = left - _outer(vectors)
    return parts
