"""Blurred scenes under noise that is not white: what a strength rule has to stand."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import scipy.ndimage
from cropped_scenes import CroppedScene, cropped_scenes
from PIL import Image


def correlated_noise(noise: float = 0.01) -> Iterator[CroppedScene]:
    """Yield the camera and the cell under a Gaussian PSF, with noise that neighbours share."""
    rng = np.random.default_rng(0)
    for case in cropped_scenes(noise):
        if "Gaussian" not in case.name or "moon" in case.name:
            continue
        name = case.name.split(",")[0]
        smooth = scipy.ndimage.gaussian_filter(rng.standard_normal(case.data.shape), 0.7)
        clean = scipy.ndimage.convolve(case.scene, case.psf)
        shared = clean + noise * smooth / smooth.std()
        yield CroppedScene(f"{name}, smoothed noise", case.scene, shared, case.psf)
        mean = scipy.ndimage.uniform_filter(case.data, 3)
        yield CroppedScene(f"{name}, mean of 3 x 3", case.scene, mean, case.psf)
        median = scipy.ndimage.median_filter(case.data, 3)
        yield CroppedScene(f"{name}, median of 3 x 3", case.scene, median, case.psf)
        yield _enlarged(name, case)
        yield CroppedScene(f"{name}, JPEG", case.scene, _jpeg(case.data), case.psf)


def photons() -> Iterator[CroppedScene]:
    """Yield volumes of beads and filaments with at most 20, 200 and 2000 photons a voxel.

    They are crops, deep and thin, of a larger blurred scene; everything is divided by the sharp
    scene's maximum.
    """
    from richardson_lucy import blurred_volume, born_wolf_psf

    psf = born_wolf_psf()
    scene, light = blurred_volume(psf)
    rng = np.random.default_rng(1)
    for most in (20, 200, 2000):
        for planes in (32, 8):
            middle = scene.shape[0] // 2
            crop = (slice(middle - planes // 2, middle + planes // 2), *[slice(60, 188)] * 2)
            gain = most / light[crop].max()
            data = rng.poisson(gain * light[crop])
            unit = gain * scene[crop].max()
            name = f"{planes} planes, {most} photons"
            yield CroppedScene(name, scene[crop] * gain / unit, data / unit, psf)


def _enlarged(name: str, case: CroppedScene) -> CroppedScene:
    scene, data, psf = (
        scipy.ndimage.zoom(values, 1.5, order=order)
        for values, order in ((case.scene, 3), (case.data, 1), (case.psf, 3))
    )
    psf = psf.clip(min=0)
    return CroppedScene(f"{name}, enlarged 1.5 times", scene, data, psf / psf.sum())


def _jpeg(values: np.ndarray) -> np.ndarray:
    """Return what a JPEG file of quality 75 leaves of an image."""
    stored = io.BytesIO()
    Image.fromarray((255 * values.clip(0, 1)).astype(np.uint8)).save(stored, "JPEG", quality=75)
    return np.asarray(Image.open(stored)) / 255
