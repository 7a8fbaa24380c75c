"""Textures with known answers, shared by the tests of this folder."""

import numpy as np
from skimage import data

NAMES = ("brick", "grass", "gravel")


def region_split_patches(size, count, split, *, gap=16):
    """Patches of three textures, training ones from one half and test ones from the other.

    Positions, the direction of the split and which half trains change with `split`; every
    patch is standardized, so that brightness and contrast tell nothing.
    """
    rng = np.random.default_rng(split)
    patches = {True: [], False: []}
    for name in NAMES:
        image = getattr(data, name)().astype(np.float32)
        if split % 2:
            image = image.T
        middle = image.shape[0] // 2
        halves = [image[: middle - gap // 2], image[middle + gap // 2 :]]
        for train, half in zip((True, False), halves[:: 1 if split % 4 < 2 else -1], strict=True):
            for _ in range(count):
                top, left = (int(rng.integers(n - size + 1)) for n in half.shape)
                patch = half[top : top + size, left : left + size]
                patches[train].append((patch - patch.mean()) / patch.std())
    labels = np.repeat(np.arange(len(NAMES)), count)
    return np.stack(patches[True]), labels, np.stack(patches[False]), labels


def half_plane_kernel(right, below, below_right, below_left):
    """A symmetric 3 x 3 kernel from the weights of half its neighbours."""
    kernel = np.array([[0, 0, 0], [0, 0, right], [below_left, below, below_right]])
    return kernel + kernel[::-1, ::-1]


# The causal field of the known answers: x(p) = .5 x(p + (0,-1)) - .3 x(p + (-1,-1)) ...
# as a convolution kernel, which reads x(p - d) with its weight at d.
CAUSAL = np.array([[0, 0, 0], [0, 0, 0.5], [0.1, 0.6, -0.3]])
SYMMETRIC = half_plane_kernel(0.22, 0.18, -0.08, 0.05)
