"""The cases of the benchmark of seams: PSFs, blurred scenes, methods with their parameters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.signal
import tifffile

from napari_convfact.kernels.beads import psf_from_beads
from napari_convfact.kernels.shapes import disk, gaussian, motion
from napari_convfact.operations.operation import SpatialImage

DATA = Path(__file__).parents[2] / "shared" / "data"
PLANE, VOLUME = (540, 600), (40, 140, 210)


def point_spread_functions() -> Iterator[tuple[str, np.ndarray]]:
    """Yield PSFs in 2-D and 3-D; measured ones only where their data are."""
    yield "Gaussian 0.8", gaussian(0.8)
    yield "Gaussian 2.5", gaussian(2.5)
    yield "disk 4", disk(4)
    yield "motion 9", motion(9, np.pi / 6)
    yield "comet", _comet()
    yield "Gaussian 2 x 1 x 1", gaussian((2, 1, 1), ndim=3)
    beads = DATA / "confocal_grid" / "Bead_Image1_crop.tif"
    if beads.exists():
        yield "confocal beads", psf_from_beads(tifffile.imread(beads))[0]
    clem = DATA / "rlf_clem" / "rlf_psf.tif"
    if clem.exists():
        psf = tifffile.imread(clem).astype(float)
        psf = np.clip(psf - np.median(psf), 0, None)
        z, y, x = np.unravel_index(psf.argmax(), psf.shape)
        yield "rlf_clem", psf[z - 12 : z + 13, y - 8 : y + 9, x - 8 : x + 9]


def _comet() -> np.ndarray:
    """Return a focus with a tail to one side."""
    tail = np.exp(-np.arange(12) / 4)[None]
    line = np.pad(tail, ((8, 8), (12, 5)))
    return scipy.ndimage.gaussian_filter(line, 1.0)


def blurred_scene(psf: np.ndarray, seed: int = 0) -> SpatialImage:
    """Return photons of beads over an uneven background, seen through a PSF."""
    rng = np.random.default_rng(seed)
    inside = PLANE if psf.ndim == 2 else VOLUME
    shape = tuple(n + k for n, k in zip(inside, psf.shape, strict=True))
    scene = np.zeros(shape)
    scene.ravel()[rng.integers(0, scene.size, scene.size // 250)] = 500
    scene += 20 + 1000 * scipy.ndimage.gaussian_filter(rng.random(shape), 12) ** 2
    blurred = scipy.signal.fftconvolve(scene, psf / psf.sum(), mode="same")
    middle = tuple(slice(k // 2, k // 2 + n) for n, k in zip(inside, psf.shape, strict=True))
    return SpatialImage(rng.poisson(blurred[middle].clip(0)).astype(np.uint16), "beads")


def parameter_grid(ndim: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the methods, with strengths and boundaries."""
    strengths = (1e-1, 1e-2, 1e-3, 1e-4)
    faces = ("reflect", "periodic", "zero") if ndim == 2 else ("reflect",)
    for boundary in faces:
        for strength in strengths:
            yield "Wiener", {"method": "wiener", "boundary": boundary, "strength": strength}
    for strength in strengths:
        yield "Tikhonov", {"method": "tikhonov", "boundary": "reflect", "strength": strength}
    for prior in ("identity", "gradient"):
        for strength in strengths if ndim == 2 else strengths[:2]:
            choice = {"method": "tikhonov", "prior": prior, "strength": strength}
            yield "Tikhonov, extended", choice
    lucy = {"method": "richardson-lucy"}
    for iterations in (10, 30) if ndim == 2 else (10,):
        for accelerate in (True, False):
            yield "Richardson-Lucy", lucy | {"iterations": iterations, "accelerate": accelerate}
    if ndim == 2:
        yield "Richardson-Lucy", lucy | {"iterations": 10, "boundary": "reflect"}
        yield "Richardson-Lucy", lucy | {"iterations": 10, "boundary": "periodic"}
    for weight in (0.002, 0.02) if ndim == 2 else (0.002,):
        choice = {"iterations": 10, "total_variation": weight}
        yield "Richardson-Lucy, total variation", lucy | choice
