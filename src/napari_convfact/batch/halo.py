"""How far a tile must see: from the tail of an inverse filter, or from a cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_convfact.foundation.job import Job

#: Error of transforms in float32, relative to the range.
ROUND_OFF = 1e-6
# What is added to a measured distance, which depends a little on the sample: a step hides that.
_FACTOR, _EXTRA, _STEP = 1.25, 2, 8


@dataclass(frozen=True)
class Reach:
    """How far along each axis a result depends on what is around it.

    Attributes
    ----------
    halo : tuple of (int or None)
        Voxels that a tile needs around it; None where no halo is long enough, so that the axis
        must stay whole.
    seam_error : tuple of float
        Error at the border of a tile that is predicted, relative to the range of the result.
    remedy : str
        What makes it shorter, for messages.
    """

    halo: tuple[int | None, ...]
    seam_error: tuple[float, ...]
    remedy: str = "or use a smaller kernel or window"

    @classmethod
    def from_profiles(cls, profiles: Sequence[np.ndarray], tolerance: float) -> Reach:
        """Return the distances at which errors have fallen to a tolerance for good.

        Parameters
        ----------
        profiles : sequence of numpy.ndarray
            For each axis the error at distance 0, 1, 2... from a cut, not rising.
        tolerance : float
            Largest error.
        """
        halo: list[int | None] = []
        errors: list[float] = []
        for profile in profiles:
            low = np.flatnonzero(profile <= tolerance)
            halo.append(_with_margin(int(low[0])) if len(low) else None)
            errors.append(float(profile[low[0]]) if len(low) else math.inf)
        return cls(tuple(halo), tuple(errors), "regularize more, or use a smaller kernel")

    def alike(self, sizes: Sequence[int]) -> Reach:
        """Return the reach with one halo, the largest, for all axes of the same kernel size.

        What a sample measures along each of them differs by luck.
        """
        halo = [
            h if h is None else max(o or 0 for o, n in zip(self.halo, sizes, strict=True) if n == k)
            for h, k in zip(self.halo, sizes, strict=True)
        ]
        return replace(self, halo=tuple(halo))


def _with_margin(distance: int) -> int:
    return math.ceil((_FACTOR * distance + _EXTRA) / _STEP) * _STEP


def tail_profiles(response: np.ndarray) -> list[np.ndarray]:
    """Return how much of an impulse response lies beyond each distance.

    Parameters
    ----------
    response : numpy.ndarray
        On a torus, with its origin at index 0.

    Returns
    -------
    list of numpy.ndarray
        For each axis the norm of what lies at least so far to one side, relative to the norm
        of the whole. What a cut there leaves out has this size where the image beyond the cut
        differs from its continuation by the image's own range.
    """
    power = np.square(response, dtype=np.float64)
    profiles = []
    for axis, n in enumerate(response.shape):
        others = tuple(a for a in range(response.ndim) if a != axis)
        line = power.sum(axis=others)
        half = (n + 1) // 2
        # The larger of the two sides: responses need not be symmetric.
        right, left = line[:half], np.concatenate([line[:1], line[:0:-1]])[:half]
        tails = [np.cumsum(side[::-1])[::-1] for side in (right, left)]
        profiles.append(np.sqrt(np.maximum(*tails) / line.sum()))
    return profiles


def cut_profile(
    apply: Callable[[np.ndarray], Job[np.ndarray]],
    sample: np.ndarray,
    axis: int,
    *,
    faces: bool = True,
) -> Job[np.ndarray]:
    """Compute what a cut does: apply an operation to a sample, and to one half of it.

    Parameters
    ----------
    apply : callable
        Returns a job whose result has the shape of the sample.
    sample : numpy.ndarray
        The cut is in its middle, across `axis`.
    axis : int
        An axis.
    faces : bool
        Whether to compare up to the sample's other faces, as seams meet those of the volume.
        Otherwise a quarter of the sample is left out on each side.

    Returns
    -------
    numpy.ndarray
        Largest difference at each distance from the cut or beyond, relative to the range of
        the result (0.1 to 99.9 %). Distances go up to a quarter of the sample.
    """
    middle = sample.shape[axis] // 2
    part = np.take(sample, range(middle), axis)
    whole = yield from apply(sample)
    half = yield from apply(np.ascontiguousarray(part))
    low, high = np.percentile(whole, [0.1, 99.9])
    near = [slice(None) if faces else slice(n // 4, n - n // 4) for n in sample.shape]
    near[axis] = slice(middle - middle // 2, middle)
    others = tuple(a for a in range(sample.ndim) if a != axis)
    error = np.abs(whole[tuple(near)] - half[tuple(near)]).max(axis=others)
    worst = np.maximum.accumulate(error)[::-1]
    return np.asarray(worst / max(high - low, np.finfo(np.float32).tiny))
