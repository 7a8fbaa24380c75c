"""Volumes that are written slab by slab, and a PSF: the data of the large-data benchmark."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import zarr

from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import write_image
from napari_convfact.storage.zarr_pyramid import create_pyramid

VOXEL_SIZE, UNITS, AXES = (0.3, 0.1, 0.1), ("um",) * 3, ("z", "y", "x")


def make_volume(path: Path, megavoxels: int) -> tuple[int, ...]:
    """Write 128 planes of noisy beads, uint16, so many voxels at least; return the shape."""
    edge = 256 * math.ceil((megavoxels * 1e6 / 128) ** 0.5 / 256)
    shape = (128, edge, edge)
    rng = np.random.default_rng(0)
    image = SpatialImage(zarr.empty(shape, dtype="u2"), "beads", VOXEL_SIZE, UNITS, AXES)
    pyramid = create_pyramid(path, image, dtype="u2", ndim=3, shard=(128, 256, 256))
    for start, stop in pyramid.boxes():
        size = tuple(b - a for a, b in zip(start, stop, strict=True))
        values = rng.poisson(20.0, size).astype(np.uint16)
        for z, y, x in zip(*(rng.integers(3, n - 3, 2000) for n in size), strict=True):
            values[z - 1 : z + 2, y - 2 : y + 3, x - 2 : x + 3] += 100
        pyramid.write((), start, values)
    return shape


def make_psf(path: Path) -> None:
    """Write a PSF of 13 x 13 x 13 voxels."""
    line = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    psf = (line[:, None, None] * line[:, None] * line).astype(np.float32)
    write_image(path, SpatialImage(psf, "psf", VOXEL_SIZE, UNITS, AXES), overwrite=True)
