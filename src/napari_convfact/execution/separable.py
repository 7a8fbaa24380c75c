"""Write a kernel as a sum of separable ones, exactly or with a known error."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_convfact.execution.chain import Chain
from napari_convfact.foundation.scale import times_power_of_two, to_unit_scale


@dataclass(frozen=True, eq=False)
class SeparableTerms:
    """A kernel as a sum of orthogonal separable kernels, the largest first.

    Attributes
    ----------
    taps : tuple of tuple of numpy.ndarray
        ``taps[r][axis]``: the 1-D factors of term r, float64.
    errors : tuple of float
        ``errors[r]``: relative error (Frobenius norm) when only the first ``r`` terms are
        kept; ``errors[0]`` is 1.
    """

    taps: tuple[tuple[np.ndarray, ...], ...]
    errors: tuple[float, ...]

    def rank(self, relative_error: float) -> int:
        """Return how many terms come within a relative error."""
        return next(
            (rank for rank, error in enumerate(self.errors) if error <= relative_error),
            len(self.taps),
        )

    def chains(self, rank: int) -> list[Chain]:
        """Return the first `rank` terms as chains of 1-D factors."""
        return [Chain.separable(taps) for taps in self.taps[:rank]]


def separate(kernel: np.ndarray) -> tuple[tuple[np.ndarray, ...], float]:
    """Return the separable kernel nearest to a kernel, and its relative error.

    It costs a few passes over the kernel, so it can be asked of any kernel before use.

    Parameters
    ----------
    kernel : numpy.ndarray
        Of any number of axes, not zero everywhere.

    Returns
    -------
    taps : tuple of numpy.ndarray
        The factor along each axis, float64.
    relative_error : float
        In the Frobenius norm. For a kernel that is separable it is round-off; for others
        the power iteration is stopped early and the error is an upper bound of the least.

    References
    ----------
    .. [1] L. De Lathauwer, B. De Moor and J. Vandewalle, "On the best rank-1 and
       rank-(R1, ..., RN) approximation of higher-order tensors", SIAM J. Matrix Anal. Appl.
       21, 1324-1342 (2000).
    """
    values, exponent = to_unit_scale(_nonzero(kernel))
    peak = np.unravel_index(np.argmax(np.abs(values)), values.shape)
    taps = [_unit(_fibre(values, peak, axis)) for axis in range(values.ndim)]
    for _ in range(2):
        for axis in range(values.ndim):
            taps[axis] = _unit(_project(values, taps, axis))
    taps[0] = _project(values, taps, 0)
    error = np.linalg.norm(values - outer(taps)) / np.linalg.norm(values)
    taps[0] = times_power_of_two(taps[0], exponent)
    return tuple(np.where(np.abs(t) > 1e-15 * np.abs(t).max(), t, 0) for t in taps), float(error)


def outer(taps: Sequence[np.ndarray]) -> np.ndarray:
    """Return the separable kernel of some taps."""
    return functools.reduce(np.multiply.outer, taps)


def separable_terms(kernel: np.ndarray) -> SeparableTerms:
    """Decompose a kernel into separable terms.

    In two dimensions this is the singular value decomposition, which no other sum of as many
    terms beats. In three the kernel is split along its first axis and each part again; the
    terms are orthogonal, so the errors are exact, and the first term is as good as any if
    the kernel is separable.

    Parameters
    ----------
    kernel : numpy.ndarray
        Of one, two or three axes, not zero everywhere.

    Returns
    -------
    SeparableTerms

    References
    ----------
    .. [1] C. Eckart and G. Young, "The approximation of one matrix by another of lower rank",
       Psychometrika 1, 211-218 (1936).
    .. [2] L. De Lathauwer, B. De Moor and J. Vandewalle, "A multilinear singular value
       decomposition", SIAM J. Matrix Anal. Appl. 21, 1253-1278 (2000).
    """
    values, exponent = to_unit_scale(_nonzero(kernel))
    norm = np.linalg.norm(values)
    scale = float(np.ldexp(norm, exponent))
    terms = _split(values / norm)
    terms.sort(key=lambda term: -term[0])
    energies = np.array([size**2 for size, _ in terms])
    # Summed from the smallest up, what is left is exact down to round-off.
    left = np.append(np.cumsum(energies[::-1])[::-1], 0.0)
    taps = [(factors[0] * size * scale, *factors[1:]) for size, factors in terms]
    return SeparableTerms(tuple(taps), tuple(np.sqrt(left / left[0]).tolist()))


def _split(kernel: np.ndarray) -> list[tuple[float, tuple[np.ndarray, ...]]]:
    """Return ``(size, unit factors)`` of orthogonal separable terms."""
    if kernel.ndim == 1:
        size = float(np.linalg.norm(kernel))
        return [(size, (kernel / size,))]
    u, s, vt = np.linalg.svd(kernel.reshape(len(kernel), -1), full_matrices=False)
    terms = []
    for left, size, right in zip(u.T, s, vt, strict=True):
        if size <= 1e-16 * s[0]:
            break
        for inner, factors in _split(right.reshape(kernel.shape[1:])):
            terms.append((float(size) * inner, (left, *factors)))
    return terms


def _nonzero(kernel: np.ndarray) -> np.ndarray:
    values = np.asarray(kernel, dtype=np.float64)
    if not values.any():
        raise ValueError("The kernel is zero everywhere: there is nothing to separate.")
    return values


def _fibre(values: np.ndarray, place: Sequence[Any], axis: int) -> np.ndarray:
    """Return the values along an axis through a place."""
    index = list(place)
    index[axis] = slice(None)
    return values[tuple(index)]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _project(values: np.ndarray, taps: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Contract all axes but one with the taps."""
    for other in reversed(range(len(taps))):
        if other != axis:
            values = np.tensordot(values, taps[other], (other, 0))
    return values
