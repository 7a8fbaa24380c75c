"""Separable kernels in closed form: pair the roots of each axis.

A filter of ``n`` taps is a polynomial of degree ``n - 1``; convolving filters multiplies their
polynomials. Over the reals every polynomial splits into linear and quadratic pieces, so a
filter of ``2 m + 1`` taps is always, exactly, the convolution of ``m`` filters of three taps;
and a separable kernel is the convolution of the outer products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from napari_convfact.factorization.chain import Layout

NEGLIGIBLE = 1e-14  # ends of a filter below this share of its largest tap count as zero


@dataclass(frozen=True)
class Sections:
    """The real pieces of a filter: their convolution is the filter up to its gain.

    Attributes
    ----------
    linear : list of numpy.ndarray
        Two taps each, by rising modulus of the root. Zeros at the ends of the filter are
        pieces ``[1, 0]`` (root 0) and ``[0, 1]`` (root at infinity).
    quadratic : list of numpy.ndarray
        Three taps each, one per pair of conjugate roots.
    """

    linear: list[np.ndarray]
    quadratic: list[np.ndarray]


def split(sequence: np.ndarray) -> Sections:
    """Split a real filter into its linear and quadratic pieces.

    Parameters
    ----------
    sequence : numpy.ndarray
        ``(n,)``, not all zero.

    Returns
    -------
    Sections
    """
    # np.roots would drop zeros at the ends in silence; here they are shifts that a factor
    # has to carry.
    kept = np.flatnonzero(np.abs(sequence) > NEGLIGIBLE * np.abs(sequence).max())
    first, last = int(kept[0]), int(kept[-1])
    roots = np.roots(sequence[first : last + 1])
    real = np.sort(roots.real[roots.imag == 0])
    real = real[np.argsort(np.abs(real), kind="stable")]
    upper = roots[roots.imag > 0]
    linear = [np.array([1.0, 0.0])] * (len(sequence) - 1 - last)
    linear += [np.array([1.0, -r]) for r in real]
    linear += [np.array([0.0, 1.0])] * first
    quadratic = [np.array([1.0, -2 * z.real, abs(z) ** 2]) for z in upper]
    return Sections(linear, quadratic)


def group(
    sections: Sections, lengths: Sequence[int], rng: np.random.Generator | None = None
) -> list[np.ndarray] | None:
    """Multiply the pieces of a filter together into factors of given lengths.

    Parameters
    ----------
    sections : Sections
        The pieces.
    lengths : sequence of int
        Taps of each factor; their degrees add up to the filter's.
    rng : numpy.random.Generator, optional
        Distribute the pieces at random. By default the real root of smallest modulus goes
        with that of largest, which keeps factors of symmetric filters symmetric.

    Returns
    -------
    list of numpy.ndarray or None
        The factors, or None where real factors of these lengths do not exist (a pair of
        conjugate roots does not fit into factors of two taps).
    """
    linear, quadratic = list(sections.linear), list(sections.quadratic)
    slots = list(range(len(lengths)))
    if rng is None:
        half = (len(linear) + 1) // 2
        ends = zip(linear[:half], [*linear[half:][::-1], np.ones(1)], strict=False)
        linear = [piece for pair in ends for piece in pair][: len(linear)]
    else:
        rng.shuffle(linear)
        rng.shuffle(quadratic)
        rng.shuffle(slots)
    factors = [np.ones(1) for _ in lengths]
    for slot in slots:
        while quadratic and lengths[slot] - len(factors[slot]) >= 2:
            factors[slot] = _normalized(np.convolve(factors[slot], quadratic.pop()))
    if quadratic:
        return None
    linear.reverse()
    for slot in slots:
        while len(factors[slot]) < lengths[slot]:
            factors[slot] = _normalized(np.convolve(factors[slot], linear.pop()))
    return factors


def factor_sequence(sequence: np.ndarray, lengths: list[int]) -> list[np.ndarray] | None:
    """Factor a filter exactly.

    Parameters
    ----------
    sequence : numpy.ndarray
        ``(n,)``, real, not all zero, ``n - 1 == sum(lengths) - len(lengths)``.
    lengths : list of int
        Taps of each factor.

    Returns
    -------
    list of numpy.ndarray or None
        The factors; their convolution is `sequence`. None where there are none (see `group`).
    """
    if max(lengths) == len(sequence):  # one factor is the filter, the others are single taps
        longest = lengths.index(len(sequence))
        return [sequence if i == longest else np.ones(1) for i in range(len(lengths))]
    factors = group(split(sequence), lengths)
    if factors is None:
        return None
    if len(factors) > 3:
        factors = _order(factors)
    product = reduce(np.convolve, factors)
    gain = float(product @ sequence) / float(product @ product)
    return [factors[0] * gain, *factors[1:]]


def factor_separable(
    vectors: Sequence[np.ndarray], layout: Layout
) -> tuple[np.ndarray, ...] | None:
    """Factor a separable kernel exactly.

    Parameters
    ----------
    vectors : sequence of numpy.ndarray
        The filter along each axis, of the lengths of the chain's support.
    layout : Layout
        The chain, without dilations.

    Returns
    -------
    tuple of numpy.ndarray or None
        The factors, or None where real factors of these shapes do not exist.
    """
    columns = []
    for axis, vector in enumerate(vectors):
        column = factor_sequence(vector, [shape[axis] for shape in layout.shapes])
        if column is None:
            return None
        columns.append(column)
    return outer_products(columns)


def outer_products(columns: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Return the outer product of each factor's filters along the axes."""
    products = []
    for sequences in zip(*columns, strict=True):
        product = sequences[0]
        for sequence in sequences[1:]:
            product = product[..., None] * sequence
        products.append(product)
    return tuple(products)


def _normalized(sequence: np.ndarray) -> np.ndarray:
    return sequence / np.sqrt(sequence @ sequence)


def _order(factors: list[np.ndarray]) -> list[np.ndarray]:
    """Order factors of unit norm so that little is lost to rounding when they are applied.

    The rounding after factor k enters with the norm of the product so far and leaves with
    the norm of the product still to come. Each place takes the factor (of its length) that
    keeps the product so far smallest; the same from the other end is tried too.
    """
    forward = _greedy(factors)
    backward = _greedy(factors[::-1])[::-1]
    return min((factors, forward, backward), key=rounding_gain)


def _greedy(factors: list[np.ndarray]) -> list[np.ndarray]:
    left = list(range(len(factors)))
    product = np.ones(1)
    ordered = []
    for place in factors:
        fitting = [i for i in left if len(factors[i]) == len(place)]
        best = min(fitting, key=lambda i: float(np.linalg.norm(np.convolve(product, factors[i]))))
        left.remove(best)
        ordered.append(factors[best])
        product = np.convolve(product, factors[best])
    return ordered


def rounding_gain(factors: Sequence[np.ndarray]) -> float:
    """Estimate how much a chain of filters amplifies rounding errors, from 1 upwards."""
    prefixes = _partial_norms(factors)
    suffixes = _partial_norms(factors[::-1])[::-1]
    inner = sum(p * q for p, q in zip(prefixes[:-1], suffixes[1:], strict=True))
    return 1 + inner / prefixes[-1]


def _partial_norms(factors: Sequence[np.ndarray]) -> list[float]:
    product, norms = np.ones(1), []
    for factor in factors:
        product = np.convolve(product, factor)
        norms.append(float(np.linalg.norm(product)))
    return norms
