"""Align beads to a fraction of a voxel, average them, and remove what is not the PSF."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.ndimage as ndi
from skimage.registration import phase_cross_correlation

from napari_convfact.kernels.gaussian_fit import FWHM_PER_SIGMA
from napari_convfact.kernels.geometry import sample_around

_LEAST_SIMILARITY = 0.7
_LEAST_PER_PLANE = 100


def outside_spots(
    shape: Sequence[int], positions: np.ndarray, half_widths: Sequence[int]
) -> np.ndarray:
    """Return the mask of voxels outside the boxes around all spots, bool, of `shape`."""
    outside = np.ones(shape, dtype=bool)
    for position in positions:
        low = np.maximum(position - half_widths, 0)
        high = position + half_widths + 1
        outside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = False
    # In a crowded image nothing may be left; then the clipped mean of all has to do.
    return outside if outside.mean() > 0.02 else np.ones(shape, dtype=bool)


def measure_background(data: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return the level outside the spots: one per plane in 3-D, as it changes with depth."""
    overall = _clipped_mean(data[outside])
    if data.ndim == 2:
        return np.full((1, 1), overall, dtype=data.dtype)
    planes = [
        _clipped_mean(plane[mask]) if mask.sum() > _LEAST_PER_PLANE else overall
        for plane, mask in zip(data, outside, strict=True)
    ]
    return np.array(planes, dtype=data.dtype).reshape(-1, 1, 1)


def measure_noise(data: np.ndarray, outside: np.ndarray) -> float:
    """Return the standard deviation of voxels about their surroundings outside the spots."""
    return float((data - ndi.uniform_filter(data, 5))[outside].std())


def _clipped_mean(values: np.ndarray) -> float:
    """Return the mean without what is five standard deviations above it."""
    for _ in range(2):
        values = values[values <= values.mean() + 5 * values.std() + 1e-12]
    return float(values.mean())


def average_beads(
    signal: np.ndarray, centers: np.ndarray, half_widths: Sequence[int]
) -> np.ndarray:
    """Return the mean of the beads, each sampled around its own centre."""
    # Counts are added as they are: beads scaled to equal height would have more Poisson noise.
    total = sum(sample_around(signal, center, half_widths) for center in centers)
    return np.asarray(total) / len(centers)


def align_beads(signal: np.ndarray, centers: np.ndarray, fwhm: Sequence[float]) -> np.ndarray:
    """Return the centres, moved to where each bead matches the average best."""
    core = [max(2, int(np.ceil(w))) for w in fwhm]
    average = average_beads(signal, centers, core)
    moves = [
        phase_cross_correlation(
            average, sample_around(signal, center, core), upsample_factor=20, normalization=None
        )[0]
        for center in centers
    ]
    # A jump further than half a width is a failure of the correlation.
    limit = np.asarray(fwhm) / 2
    return centers - np.clip(moves, -limit, limit)


def find_peak(average: np.ndarray, fwhm: Sequence[float]) -> np.ndarray:
    """Return the maximum of a smoothed average, by a parabola through three samples per axis."""
    smoothed = _smooth(average, fwhm)
    top = np.array(np.unravel_index(smoothed.argmax(), smoothed.shape))
    position = top.astype(float)
    for axis, step in enumerate(np.eye(len(top), dtype=int)):
        if 0 < top[axis] < smoothed.shape[axis] - 1:
            low, middle, high = (smoothed[tuple(top + d * step)] for d in (-1, 0, 1))
            position[axis] += 0.5 * (low - high) / (low - 2 * middle + high)
    return position


def _smooth(average: np.ndarray, fwhm: Sequence[float]) -> np.ndarray:
    """Smooth by half a bead's width, as `bead_detection.find_spots` does."""
    return np.asarray(ndi.gaussian_filter(average, [w / FWHM_PER_SIGMA / 2 for w in fwhm]))


def keep_alike(
    signal: np.ndarray, beads: np.ndarray, half_widths: Sequence[int]
) -> tuple[np.ndarray, int]:
    """Leave out spots whose shape correlates badly with the average of the others."""
    if len(beads) < 3:
        return beads, 0
    patches = np.array([sample_around(signal, bead, half_widths).ravel() for bead in beads])
    total = patches.sum(axis=0)
    similarity = np.array([np.corrcoef(p, total - p)[0, 1] for p in patches])
    good = similarity >= _LEAST_SIMILARITY * np.median(similarity)
    return beads[good], int((~good).sum())


def keep_significant(average: np.ndarray, fwhm: Sequence[float], noise: float) -> np.ndarray:
    """Keep the connected part around the middle that stands out of the noise."""
    parts, _ = ndi.label(_smooth(average, fwhm) > 3 * noise)
    middle = parts[tuple(n // 2 for n in average.shape)]
    kept: np.ndarray = np.where((parts == middle) & (average > 0), average, 0)
    return kept
