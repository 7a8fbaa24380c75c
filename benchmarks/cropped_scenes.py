"""Nine blurred pictures whose scene goes on outside: the cases of the boundary comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.signal
import skimage.data
import skimage.morphology


@dataclass(frozen=True)
class CroppedScene:
    """A picture cut from a larger blurred scene, with the truth behind it.

    Attributes
    ----------
    name : str
        Scene and PSF.
    scene : numpy.ndarray
        The sharp picture, of the range of a scene from 0 to 1.
    data : numpy.ndarray
        Blurred, cut out and with white noise.
    psf : numpy.ndarray
        Of sum 1.
    """

    name: str
    scene: np.ndarray
    data: np.ndarray
    psf: np.ndarray


def point_spread_functions() -> dict[str, np.ndarray]:
    """Return a Gaussian of sigma 2, a disk of radius 5 and a motion over 15 samples."""
    offset = np.arange(-8, 9)
    along = np.exp(-(offset**2) / (2 * 2.0**2))
    kernels = {
        "Gaussian 2": np.outer(along, along),
        "disk 5": skimage.morphology.disk(5).astype(float),
        "motion 15": np.ones((1, 15)),
    }
    return {name: kernel / kernel.sum() for name, kernel in kernels.items()}


def cropped_scenes(noise: float = 0.01, size: int = 256, seed: int = 0) -> Iterator[CroppedScene]:
    """Yield scikit-image's camera, moon and cell under each PSF.

    Parameters
    ----------
    noise : float
        Standard deviation, relative to the scene's range.
    size : int
        Side of the picture.
    seed : int
        Of the noise.
    """
    rng = np.random.default_rng(seed)
    for name in ("camera", "moon", "cell"):
        whole = getattr(skimage.data, name)().astype(float)
        whole = (whole - whole.min()) / (whole.max() - whole.min())
        middle = tuple(slice((n - size) // 2, (n + size) // 2) for n in whole.shape)
        for kind, psf in point_spread_functions().items():
            blurred = scipy.signal.fftconvolve(whole, psf, mode="same")[middle]
            data = blurred + noise * rng.standard_normal(blurred.shape)
            yield CroppedScene(f"{name}, {kind}", whole[middle], data, psf)


def psnr(estimate: np.ndarray, scene: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, the peak being 1."""
    return float(-10 * np.log10(np.mean((estimate - scene) ** 2)))


def edge_and_inner_error(
    estimate: np.ndarray, scene: np.ndarray, width: int = 16
) -> tuple[float, float]:
    """Return the root mean square error of the outer `width` samples and of the rest."""
    squares = (estimate - scene) ** 2
    inner = np.zeros(scene.shape, bool)
    inner[(slice(width, -width),) * scene.ndim] = True
    return float(np.sqrt(squares[~inner].mean())), float(np.sqrt(squares[inner].mean()))
