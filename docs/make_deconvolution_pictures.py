"""Make the pictures of deconvolve.md and print the numbers that it quotes.

Run ``python docs/make_deconvolution_pictures.py``; the pictures go to ``docs/images``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import scipy.ndimage
import skimage.data
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from cropped_scenes import CroppedScene, cropped_scenes, psnr

from napari_convfact.deconvolution.deconvolve import deconvolve

IMAGES = Path(__file__).parent / "images"
TOTAL_VARIATION = 0.01
PHOTONS = 60


def main() -> None:
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 9, "figure.dpi": 110, "savefig.bbox": "tight"})
    IMAGES.mkdir(exist_ok=True)
    draw_boundaries()
    draw_strengths()
    draw_photons()


def show(axis: Axes, image: np.ndarray, title: str, top: float = 1.0) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=top)
    axis.set_title(title)
    axis.set_axis_off()


def disk_scene() -> CroppedScene:
    """Return the cameraman out of focus, cut from a larger picture, with 1 % noise."""
    return next(scene for scene in cropped_scenes() if scene.name == "camera, disk 5")


def draw_boundaries() -> None:
    case = disk_scene()
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
    show(axes[0], case.data, f"blurred and cropped, {psnr(case.data, case.scene):.1f} dB")
    for axis, boundary in zip(axes[1:], ("periodic", "reflect", "extended"), strict=True):
        found = deconvolve(case.data, case.psf, boundary=boundary)
        score = psnr(found.estimate, case.scene)
        print(f"{case.name}, {boundary}: {score:.2f} dB, strength {found.strength:.3g}")
        show(axis, found.estimate, f"{boundary}, {score:.1f} dB")
    figure.savefig(IMAGES / "deconvolve-boundaries.png")


def draw_strengths() -> None:
    case = disk_scene()
    chosen = deconvolve(case.data, case.psf)
    assert chosen.strength is not None
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
    for axis, factor in zip(axes, (0.01, 1, 100), strict=False):
        strength = chosen.strength * factor
        estimate = deconvolve(case.data, case.psf, strength=strength).estimate
        word = "automatic: " if factor == 1 else ""
        show(axis, estimate, f"{word}{strength:.2g}, {psnr(estimate, case.scene):.1f} dB")
    factors = np.geomspace(1e-2, 1e2, 13)
    scores = [
        psnr(deconvolve(case.data, case.psf, strength=chosen.strength * f).estimate, case.scene)
        for f in factors
    ]
    best = int(np.argmax(scores))
    print(f"best of the sweep {scores[best]:.2f} dB at {chosen.strength * factors[best]:.3g}")
    axes[3].semilogx(chosen.strength * factors, scores, "o-", ms=3)
    axes[3].axvline(chosen.strength, color="0.5", ls="--", lw=1)
    axes[3].set(xlabel="strength", ylabel="PSNR (dB)", title="dashed: the automatic choice")
    figure.savefig(IMAGES / "deconvolve-strengths.png")


def draw_photons() -> None:
    scene = np.zeros((160, 160))
    rng = np.random.default_rng(3)
    scene[tuple(rng.integers(0, 160, (2, 60)))] = 1
    scene = scipy.ndimage.gaussian_filter(scene, 0.7)
    scene = scene / scene.max() + 0.15 * skimage.data.cell()[200:360, 200:360] / 255
    offset = np.arange(-8, 9)
    along = np.exp(-(offset**2) / (2 * 2.0**2))
    psf = np.outer(along, along) / along.sum() ** 2
    blurred = scipy.ndimage.convolve(scene, psf, mode="wrap").clip(0)
    counts = rng.poisson(PHOTONS * blurred / blurred.max()).astype(float)
    truth = scene * PHOTONS / blurred.max()
    figure, axes = plt.subplots(1, 5, figsize=(14, 3.2), layout="constrained")
    top = float(np.percentile(truth, 99.7))
    show(axes[0], counts, f"counts, at most {int(counts.max())}", top)
    found = deconvolve(counts, psf, method="richardson-lucy", boundary="periodic")
    print(f"automatic stop after {found.iterations} iterations: {found.message}")
    titles = {
        (found.iterations, 0.0): f"{found.iterations} iterations, automatic",
        (200, 0.0): "200 iterations",
        (200, TOTAL_VARIATION): f"200, total variation {TOTAL_VARIATION}",
    }
    for axis, ((iterations, weight), title) in zip(axes[1:], titles.items(), strict=False):
        estimate = deconvolve(
            counts,
            psf,
            method="richardson-lucy",
            boundary="periodic",
            iterations=iterations,
            total_variation=weight,
        ).estimate
        score = psnr(estimate / truth.max(), truth / truth.max())
        print(f"{title}: {score:.2f} dB")
        show(axis, estimate, f"{title}, {score:.1f} dB", top)
    show(axes[4], truth, "the scene", top)
    figure.savefig(IMAGES / "deconvolve-photons.png")


if __name__ == "__main__":
    main()
