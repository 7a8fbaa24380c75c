"""Find beads in an image: isolated bright spots of one common shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from napari_convfact.kernels.gaussian_fit import FWHM_PER_SIGMA

# A spot must stand this many standard deviations of the smoothed noise above background.
_SIGNIFICANCE = 8.0
# Spots below this fraction of the typical bead are dirt: too dim to use.
_DIMMEST = 0.15
# A neighbour above this fraction of the bead's height would be averaged in.
_DISTURBING = 0.05
_SPOTS_FOR_WIDTH = 20


@dataclass(frozen=True)
class Spots:
    """Candidates for beads.

    Attributes
    ----------
    positions : numpy.ndarray
        int, ``(n, ndim)``, brightest first.
    heights : numpy.ndarray
        ``(n,)``, of the smoothed image above background.
    smoothed : numpy.ndarray
        The image, smoothed by half a bead's width.
    noise : float
        Standard deviation of the background of `smoothed`.
    """

    positions: np.ndarray
    heights: np.ndarray
    smoothed: np.ndarray
    noise: float


def estimate_fwhm(image: np.ndarray, positions: np.ndarray | None = None) -> tuple[float, ...]:
    """Return the median full width at half maximum of spots, in voxels.

    Parameters
    ----------
    image : numpy.ndarray
        Real.
    positions : numpy.ndarray, optional
        int, ``(n, ndim)``; by default the brightest local maxima.
    """
    sigma = 1.0
    smoothed = ndi.gaussian_filter(image, sigma)
    background = float(np.median(smoothed))
    if positions is None:
        positions = local_maxima(smoothed, [3] * image.ndim)[:_SPOTS_FOR_WIDTH]
        heights = smoothed[tuple(positions.T)] - background
        positions = positions[heights > 0.3 * heights.max(initial=0.0)]
    if not len(positions):
        raise ValueError("No bead was found: the image is the same everywhere.")
    widths = [_half_maximum_widths(smoothed - background, p) for p in positions]
    measured = np.median(widths, axis=0)
    blur = FWHM_PER_SIGMA * sigma
    return tuple(float(w) for w in np.sqrt(np.maximum(measured**2 - blur**2, 1.5**2)))


def local_maxima(image: np.ndarray, reach: Sequence[int]) -> np.ndarray:
    """Return the voxels that are the largest within `reach`, brightest first, ``(n, ndim)``.

    Neighbours that are equal, as those of a bead in the middle between voxels, count once.
    """
    window = [2 * r + 1 for r in reach]
    highest = ndi.maximum_filter(image, window, mode="nearest")
    tops = (image == highest) & (image > np.median(image))
    plateaus, _ = ndi.label(tops, np.ones((3,) * image.ndim))
    positions = np.argwhere(tops)
    _, first = np.unique(plateaus[tops], return_index=True)
    positions = positions[first]
    order = np.argsort(-image[tuple(positions.T)], kind="stable")
    return positions[order]


def find_spots(image: np.ndarray, fwhm: Sequence[float]) -> Spots:
    """Return every significant spot of about the width `fwhm`, usable as a bead or not."""
    sigma = [w / FWHM_PER_SIGMA / 2 for w in fwhm]
    smoothed = ndi.gaussian_filter(image, sigma)
    background = float(np.median(smoothed))
    noise = 1.4826 * float(np.median(np.abs(smoothed - background)))
    positions = local_maxima(smoothed, [max(1, round(w / 2)) for w in fwhm])
    heights = smoothed[tuple(positions.T)] - background
    # Without noise, rounding errors of the filter would count as spots.
    least = max(_SIGNIFICANCE * noise, 1e-3 * float(heights.max(initial=0.0)))
    significant = heights > least
    return Spots(positions[significant], heights[significant], smoothed, noise)


def select_beads(
    spots: Spots,
    image: np.ndarray,
    half_widths: Sequence[int],
    isolation: Sequence[int],
    saturation: float | None,
) -> tuple[np.ndarray, dict[str, int]]:
    """Choose the spots that can be averaged.

    Parameters
    ----------
    spots : Spots
        Candidates.
    image : numpy.ndarray
        Where they were found.
    half_widths : sequence of int
        The box around a bead that must lie in the image and hold no other spot.
    isolation : sequence of int
        Half-widths of a box that must hold no other spot either.
    saturation : float or None
        The value at which the image is clipped, if it may be.

    Returns
    -------
    positions : numpy.ndarray
        int, ``(n, ndim)``.
    rejected : dict
        Reason to number.
    """
    rejected = {"too dim": 0, "too near the edge": 0, "too near another": 0, "saturated": 0}
    if not len(spots.positions):
        return spots.positions, rejected
    half = np.asarray(half_widths)
    reach = np.maximum(half, isolation)
    typical = float(np.median(spots.heights[spots.heights > 0.25 * spots.heights[0]]))
    kept = []
    for position, height in zip(spots.positions, spots.heights, strict=True):
        if height < _DIMMEST * typical:
            rejected["too dim"] += 1
        elif (position < half).any() or (position + half >= image.shape).any():
            rejected["too near the edge"] += 1
        elif _has_neighbour(spots, position, height, reach):
            rejected["too near another"] += 1
        elif saturation is not None and _is_saturated(image, position, half, saturation):
            rejected["saturated"] += 1
        else:
            kept.append(position)
    return np.array(kept, dtype=int).reshape(-1, image.ndim), rejected


def inside(
    positions: np.ndarray, shape: Sequence[int], half_widths: Sequence[int]
) -> tuple[np.ndarray, dict[str, int]]:
    """Choose the positions whose box lies in the image, as `select_beads` does."""
    half = np.asarray(half_widths)
    fits = ((positions >= half) & (positions + half < shape)).all(axis=1)
    return positions[fits], {"too near the edge": int((~fits).sum())}


def _has_neighbour(spots: Spots, position: np.ndarray, height: float, reach: np.ndarray) -> bool:
    near = (np.abs(spots.positions - position) <= reach).all(axis=1)
    return len(np.flatnonzero(near & (spots.heights > _DISTURBING * height))) > 1


def _is_saturated(
    image: np.ndarray, position: np.ndarray, half: np.ndarray, saturation: float
) -> bool:
    box = tuple(slice(p - h, p + h + 1) for p, h in zip(position, half, strict=True))
    return int((image[box] >= saturation).sum()) > 2**image.ndim


def _half_maximum_widths(image: np.ndarray, position: np.ndarray) -> list[float]:
    widths = []
    for axis in range(image.ndim):
        index: list[slice | int] = [int(p) for p in position]
        index[axis] = slice(None)
        profile = image[tuple(index)]
        start = int(position[axis])
        half = profile[start] / 2
        widths.append(_run(profile[start:], half) + _run(profile[start::-1], half))
    return widths


def _run(profile: np.ndarray, level: float) -> float:
    """Return the distance at which a profile that starts above `level` falls below it."""
    below = np.flatnonzero(profile < level)
    if not below.size:
        return float(profile.size)
    first = int(below[0])
    step = profile[first - 1] - profile[first]
    return float(first - (level - profile[first]) / step)
