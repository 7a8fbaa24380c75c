"""Whittle's likelihood for simultaneous autoregressions: least squares with a log-determinant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_convfact.foundation.job import Job, Step
from napari_convfact.texture.moments import Moments

_MAX_STEPS = 100
_TOLERANCE = 1e-10
_LOAD = 1e-12
# The log-determinant is a smooth mean over frequencies; more of them change nothing.
_LARGEST_GRID = 256


def whittle_weights(
    moments: Moments, tie: str, shapes: Sequence[Sequence[int]], start: np.ndarray
) -> Job[np.ndarray]:
    """Generate the weights that maximize Whittle's likelihood, for each image.

    The likelihood of ``x = k * x + noise`` is, up to constants,
    ``-log(error(w)) + 2 mean log(1 - K_w)``, the mean over frequencies.

    Parameters
    ----------
    moments : Moments
        Of one channel.
    tie : {"symmetric", "ring"}
        Ties that make ``K`` real.
    shapes : sequence of tuple
        The images' shapes.
    start : numpy.ndarray
        ``(n, free, 1)``: the least-squares weights.

    Returns
    -------
    numpy.ndarray
        ``(n, free, 1)``
    """
    matrix = moments.support.tie_matrix(tie)
    A = matrix.T @ moments.A @ matrix
    b = (matrix.T @ moments.b)[..., 0]
    c = moments.c[:, 0]
    weights = np.zeros_like(start)
    waves: dict[tuple[int, ...], np.ndarray] = {}
    for index, shape in enumerate(shapes):
        yield Step(index, len(shapes), "Whittle likelihood")
        if c[index] <= 0:
            continue
        grid = tuple(min(n, _LARGEST_GRID) for n in shape)
        if grid not in waves:
            waves[grid] = _waves(moments.support.offsets, grid) @ matrix
        weights[index, :, 0] = _maximize(
            A[index] / c[index], b[index] / c[index], waves[grid], start[index, :, 0]
        )
    return weights


def _waves(offsets: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Return the cosine of each neighbour at each frequency, ``(frequencies, offsets)``."""
    axes = [2 * np.pi * np.fft.fftfreq(n) for n in grid]
    axes[-1] = axes[-1][: grid[-1] // 2 + 1]
    frequency = np.stack([f.ravel() for f in np.meshgrid(*axes, indexing="ij")], axis=-1)
    return np.asarray(np.cos(frequency @ offsets.T))


def _maximize(A: np.ndarray, b: np.ndarray, waves: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Damped Newton steps on ``log(1 - 2 b'w + w'A w) - 2 mean log(1 - waves w)``.

    Both curvatures that are kept are positive, so each step goes downhill.
    """
    w = np.zeros(len(b))
    value = _objective(w, A, b, waves)
    if _objective(start / 2, A, b, waves) < value:
        w, value = start / 2, _objective(start / 2, A, b, waves)
    for _ in range(_MAX_STEPS):
        error = 1 - 2 * b @ w + w @ A @ w
        scaled = waves / (1 - waves @ w)[:, None]
        gradient = 2 * (A @ w - b) / error + 2 * scaled.mean(axis=0)
        curvature = 2 * A / error + 2 * scaled.T @ scaled / len(waves)
        # Of an image without any noise the curvature is singular.
        load = _LOAD * np.trace(curvature) * np.eye(len(w))
        step = -np.linalg.solve(curvature + load, gradient)
        length = 1.0
        while _objective(w + length * step, A, b, waves) > value and length > _TOLERANCE:
            length /= 2
        new = _objective(w + length * step, A, b, waves)
        if not new < value - 1e-14:
            break
        w, value = w + length * step, new
    return w


def _objective(w: np.ndarray, A: np.ndarray, b: np.ndarray, waves: np.ndarray) -> float:
    gain = 1 - waves @ w
    error = 1 - 2 * b @ w + w @ A @ w
    if gain.min() <= 0 or error <= 0:
        return np.inf
    return float(np.log(error) - 2 * np.log(gain).mean())
