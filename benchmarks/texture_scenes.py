"""Brick, grass and gravel: patches split by region, and mosaics with a little paint."""

from __future__ import annotations

import numpy as np
from skimage import data

NAMES = ("brick", "grass", "gravel")
_STROKE = (3, 12)


def textures() -> list[np.ndarray]:
    """Return the three pictures, float32, 512 x 512, of mean 0 and variance 1."""
    pictures = [getattr(data, name)().astype(np.float32) for name in NAMES]
    return [(picture - picture.mean()) / picture.std() for picture in pictures]


def region_split_patches(
    size: int, count: int, split: int, *, gap: int = 16
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training patches from one half of each picture and test patches from the other.

    Parameters
    ----------
    size : int
        Side of the patches.
    count : int
        Patches of each texture.
    split : int
        Positions, the direction of the split and which half trains change with it.
    gap : int
        Pixels between the halves.

    Returns
    -------
    train, test : numpy.ndarray
        float32, ``(3 * count, size, size)``, each patch standardized, so that brightness and
        contrast tell nothing.
    labels : numpy.ndarray
        Class of each patch, of both.
    """
    rng = np.random.default_rng(split)
    patches: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for picture in textures():
        picture = picture.T if split % 2 else picture
        middle = picture.shape[0] // 2
        halves = [picture[: middle - gap // 2], picture[middle + gap // 2 :]]
        for train, half in zip((True, False), halves[:: 1 if split % 4 < 2 else -1], strict=True):
            for _ in range(count):
                top, left = (int(rng.integers(n - size + 1)) for n in half.shape)
                patch = half[top : top + size, left : left + size]
                patches[train].append((patch - patch.mean()) / patch.std())
    labels = np.repeat(np.arange(len(NAMES)), count)
    return np.stack(patches[True]), np.stack(patches[False]), labels


def painted_mosaic(
    seed: int, size: int = 256, painted: float = 0.005
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a mosaic of the three textures, the truth, and a few strokes of paint.

    Parameters
    ----------
    seed : int
        Of the cut-outs and the strokes.
    size : int
        Side of the mosaic: quadrants around a disk.
    painted : float
        Share of the pixels that strokes of 3 x 12 pixels cover at most.

    Returns
    -------
    image : numpy.ndarray
        float32.
    truth, paint : numpy.ndarray
        int, labels 1 to 3; paint is 0 elsewhere.
    """
    rng = np.random.default_rng(seed)
    truth = np.ones((size, size), int)
    truth[:, size // 2 :] = 2
    truth[size // 2 :, : size // 2] = 3
    truth[size // 2 :, size // 2 :] = 1
    y, x = np.mgrid[:size, :size] - size / 2
    truth[y**2 + x**2 < (0.2 * size) ** 2] = 3
    image = np.zeros((size, size), np.float32)
    for label, picture in enumerate(textures(), start=1):
        top, left = rng.integers(0, picture.shape[0] - size + 1, 2)
        cut = picture[top : top + size, left : left + size]
        image[truth == label] = cut[truth == label]
    paint = np.zeros_like(truth)
    for label in (1, 2, 3):
        while (paint == label).sum() + _STROKE[0] * _STROKE[1] <= painted * size**2 / 3:
            top, left = rng.integers(0, size - max(_STROKE), 2)
            stroke = np.s_[top : top + _STROKE[0], left : left + _STROKE[1]]
            if (truth[stroke] == label).all():
                paint[stroke] = label
    return image, truth, paint
