"""Directions of wave vectors, spread evenly over a half circle or a half sphere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def spread_directions(count: int, ndim: int) -> np.ndarray:
    """Return `count` directions that are spread evenly, opposite ones counting as one.

    Parameters
    ----------
    count : int
        Number of directions.
    ndim : int
        2: angles ``pi * i / count`` from +x towards +y. 3: points of the sphere that repel
        each other and each other's antipodes; 3, 4 and 6 give the axes, the cube's
        diagonals and the icosahedron's.

    Returns
    -------
    numpy.ndarray
        float64 unit vectors ``(count, ndim)`` in the order of the image's axes.
    """
    if ndim == 2:
        return plane_directions(np.arange(count) * math.pi / count, 2)
    return _repelled(_spiral(count))


def plane_directions(angles: Any, ndim: int) -> np.ndarray:
    """Return unit vectors in the plane of the last two axes, from +x towards +y.

    Parameters
    ----------
    angles : array_like
        Radians, ``(n,)``.
    ndim : int
        Number of axes of the vectors.

    Returns
    -------
    numpy.ndarray
        float64, ``(n, ndim)``.
    """
    angles = np.asarray(angles, dtype=np.float64)
    vectors = np.zeros((len(angles), ndim))
    vectors[:, -2], vectors[:, -1] = np.sin(angles), np.cos(angles)
    return vectors


def check_directions(orientations: Sequence[Any] | np.ndarray, ndim: int) -> np.ndarray:
    """Turn angles or vectors into unit vectors.

    Parameters
    ----------
    orientations : array_like
        Radians ``(n,)`` in the plane of the last two axes, or vectors ``(n, ndim)`` in the
        order of the image's axes.
    ndim : int
        2 or 3.

    Returns
    -------
    numpy.ndarray
        float64, ``(n, ndim)``.

    Raises
    ------
    ValueError
        If there is none, or a vector has no direction.
    """
    values = np.asarray(orientations, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("orientations must be finite numbers, and there must be at least one.")
    if values.ndim == 1:
        return plane_directions(values, ndim)
    if values.ndim != 2 or values.shape[1] != ndim:
        raise ValueError(
            f"orientations must be angles (n,) or vectors (n, {ndim}): the shape is {values.shape}."
        )
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError("An orientation has length zero: it needs a direction.")
    return values / lengths


def _spiral(count: int) -> np.ndarray:
    """Return points of a half sphere along a spiral: a start that no symmetry traps."""
    index = np.arange(count) + 0.5
    height = 1 - index / count
    azimuth = math.pi * (1 + math.sqrt(5)) * index
    radius = np.sqrt(1 - height**2)
    return np.stack([height, radius * np.sin(azimuth), radius * np.cos(azimuth)], axis=1)


def _repelled(points: np.ndarray, steps: int = 2000) -> np.ndarray:
    """Let points and their antipodes repel each other; the first one ends on the +x axis."""
    count = len(points)
    size = 0.3 / count
    for step in range(steps):
        difference = points[:, None] - np.concatenate([points, -points])[None]
        distance = np.linalg.norm(difference, axis=-1, keepdims=True)
        distance[distance == 0] = np.inf
        force = (difference / distance**3).sum(axis=1)
        force -= (force * points).sum(axis=1, keepdims=True) * points
        length = np.linalg.norm(force, axis=1, keepdims=True)
        # Steps shrink so that the arrangement settles instead of trembling.
        points = points + size * (1 - step / steps) * force / np.maximum(length, 1)
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    points = points @ _rotation_to_x(points[0]).T
    return np.where(_first_sign(points)[:, None] < 0, -points, points)


def _rotation_to_x(vector: np.ndarray) -> np.ndarray:
    """Return the reflection that carries a unit vector to +x (the last axis)."""
    axis = vector - np.array([0.0, 0.0, 1.0])
    norm = axis @ axis
    return np.eye(3) - (2 * np.outer(axis, axis) / norm if norm > 1e-20 else 0)


def _first_sign(points: np.ndarray) -> np.ndarray:
    """Return the sign of each point's x, or of y or z where those before it vanish."""
    rounded = np.round(points[:, ::-1], 9)
    first = (rounded != 0).argmax(axis=1)
    return np.sign(rounded[np.arange(len(points)), first])
