"""Make the pictures of gabor.md and convolve.md and print the numbers that they quote.

Run ``python docs/make_gabor_pictures.py``; the pictures go to ``docs/images``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from napari_convfact.convolution.convolve import convolve
from napari_convfact.convolution.feature_maps import feature_maps
from napari_convfact.gabor.bank import gabor_bank
from napari_convfact.gabor.orientation import orientation_colors
from napari_convfact.gabor.responses import gabor_filter
from napari_convfact.kernels.bank import KernelBank

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 9, "figure.dpi": 110, "savefig.bbox": "tight"})
    IMAGES.mkdir(exist_ok=True)
    pictures = {
        "gabor-bank": draw_bank,
        "gabor-orientation": draw_orientation,
        "gabor-stripes": draw_stripes,
        "gabor-denoising": draw_denoising,
        "convolve-blur": draw_blur,
        "convolve-feature-maps": draw_maps,
    }
    for name, draw in pictures.items():
        figure = draw()
        figure.savefig(IMAGES / f"{name}.png")
        plt.close(figure)


def panels(*widths: float, height: float = 2.9) -> tuple[Any, Iterator[Axes]]:
    """Return a figure with a row of axes."""
    figure, axes = plt.subplots(
        1, len(widths), figsize=(9.6, height), width_ratios=widths, layout="constrained"
    )
    return figure, iter(np.atleast_1d(axes))


def show(axes: Axes, image: np.ndarray, title: str, **options: Any) -> None:
    """Draw an image without ticks."""
    axes.imshow(image, **{"cmap": "gray", "interpolation": "nearest", **options})
    axes.set_title(title)
    axes.set_axis_off()


def draw_bank() -> Any:
    bank = gabor_bank()
    kernels = bank.kernels(97)[:4, :4].real
    shown = [[kernel / abs(kernel).max() for kernel in scale] for scale in kernels]
    figure, axes = panels(1.25, 1, 1)
    show(next(axes), np.block(shown), "real parts: 4 of 5 scales, 4 of 8 orientations")
    for arguments, title in (
        ({}, "coverage, Gabor profile"),
        ({"radial": "log-gabor", "bandwidth": 1.0}, "coverage, log-Gabor profile"),
    ):
        coverage = np.fft.fftshift(gabor_bank(**arguments).coverage((512, 512)))
        axis = next(axes)
        axis.imshow(coverage, extent=(-0.5, 0.5, 0.5, -0.5), cmap="viridis")
        axis.set(title=title, xlabel="cycles per pixel")
        y, x = np.mgrid[-256:256, -256:256] / 512
        band = (np.hypot(x, y) > bank.frequencies[-1]) & (np.hypot(x, y) < bank.frequencies[0])
        ratio = coverage[band].max() / coverage[band].min()
        print(f"{title}: {ratio:.2f} between the most and the least seen frequency of the band")
    return figure


def draw_orientation() -> Any:
    image = data.grass()[200:350, 60:260] / np.float32(255)
    responses = gabor_filter(image, gabor_bank(highest=0.25, n_scales=2, n_orientations=12))
    figure, axes = panels(1.33, 1.33, 0.6)
    show(next(axes), image, "grass")
    show(next(axes), responses.orientation_rgb(), "orientation as colour")
    y, x = np.mgrid[-1:1:201j, -1:1:201j]
    radius = np.hypot(x, y)
    wheel = orientation_colors(np.arctan2(y, x) % np.pi, radius.clip(max=1), np.ones_like(radius))
    wheel[radius > 1] = 1
    show(next(axes), wheel, "wave vector", interpolation="bilinear")
    return figure


def draw_stripes() -> Any:
    clean = data.camera()[60:360, 100:500] / np.float32(255)
    y, x = np.indices(clean.shape)
    angle = np.radians(20)
    wave = np.cos(2 * np.pi * 0.16 * (x * np.cos(angle) + y * np.sin(angle)))
    striped = clean + 0.15 * wave
    bank = gabor_bank(n_orientations=18)
    weights = np.ones(bank.shape)
    weights[:3, 1:4] = 0
    restored = gabor_filter(striped, bank).reconstruct(weights)
    figure, axes = panels(1, 1, 1)
    show(next(axes), striped, "stripes at 20 degrees", vmin=0, vmax=1)
    show(next(axes), restored, "3 scales x 3 of 18 orientations set to 0", vmin=0, vmax=1)
    show(next(axes), striped - restored, "what was taken away", vmin=-0.3, vmax=0.3)
    before, after = (
        peak_signal_noise_ratio(clean, image, data_range=1) for image in (striped, restored)
    )
    print(f"stripes: {before:.1f} dB before, {after:.1f} dB after")
    return figure


def draw_denoising() -> Any:
    clean = data.camera()[60:360, 100:500] / np.float32(255)
    deviation = 0.08
    noisy = clean + deviation * np.random.default_rng(0).standard_normal(clean.shape)
    bank = gabor_bank(highest=0.4, n_scales=5)
    responses = gabor_filter(noisy, bank)
    # White noise has the same share of each kernel's energy everywhere.
    noise = deviation**2 * (bank.spectrum((256, 256)) ** 2).mean(axis=(-2, -1))
    weights = (1 - 3 * noise[..., None, None] / responses.energy).clip(0.05, 1)
    restored = responses.reconstruct(weights)
    figure, axes = panels(1, 1, 1)
    show(next(axes), noisy, "white noise added", vmin=0, vmax=1)
    show(next(axes), restored, "responses shrunk by their energy", vmin=0, vmax=1)
    show(next(axes), weights.mean(axis=(0, 1)), "mean weight", cmap="magma", vmin=0, vmax=1)
    before, after = (
        peak_signal_noise_ratio(clean, image, data_range=1) for image in (noisy, restored)
    )
    print(f"noise: {before:.1f} dB before, {after:.1f} dB after")
    return figure


def draw_blur() -> Any:
    image = data.camera()[80:260, 150:390] / np.float32(255)
    figure, axes = plt.subplots(2, 3, figsize=(9.6, 5.2), layout="constrained")
    axes = iter(axes.flat)
    show(next(axes), image, "image", vmin=0, vmax=1)
    blurred = convolve(image, "gaussian", sigma=2)
    show(next(axes), blurred, 'convolve(image, "gaussian", sigma=2)', vmin=0, vmax=1)
    difference = convolve(image, "gaussian", sigma=2, result="difference")
    show(next(axes), difference, 'result="difference"', vmin=-0.3, vmax=0.3)
    sharpened = convolve(image, "gaussian", sigma=2, result="sharpened", amount=1)
    show(next(axes), sharpened, 'result="sharpened", amount=1', vmin=0, vmax=1)
    show(next(axes), convolve(image, "laplacian"), '"laplacian"', vmin=-0.5, vmax=0.5)
    edges = convolve(image, "sobel", result="magnitude")
    show(next(axes), edges, '"sobel", result="magnitude"', cmap="magma")
    return figure


def draw_maps() -> Any:
    image = data.astronaut()[:256, 80:400]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stand-in.pt"
        torch.save(stand_in().state_dict(), path)
        bank = KernelBank.from_checkpoint(path)
        planes = np.moveaxis(image, -1, 0)
        first = feature_maps(planes, path, 2, scaling="unit")
        deeper = feature_maps(planes, path, 5, scaling="unit")
    print("modules:", ", ".join(deeper.modules), "| stride", deeper.stride)
    figure, axes = panels(0.75, 1, 1.3, 1.3, height=1.9)
    show(next(axes), image, "image")
    colours = np.moveaxis(bank.kernels, 1, -1)
    colours = 0.5 + colours / (2 * abs(colours).max(axis=(1, 2, 3), keepdims=True))
    show(next(axes), tiled(colours, 4), "its 8 first kernels")
    show(next(axes), tiled(stretched(first.maps), 4), "after the first ReLU")
    show(next(axes), tiled(stretched(deeper.maps), 4), "after the pooling (stride 2)")
    return figure


def stand_in() -> torch.nn.Sequential:
    """Return a stack with Gabor and colour-opponent kernels instead of a trained network's."""
    stack = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 7, padding=3, bias=False),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, padding=1, bias=False),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 4, 3, padding=1, bias=False),
    )
    waves = gabor_bank(frequencies=[0.2], n_orientations=4).kernels(7)[0].real
    blob = np.exp(-((np.mgrid[-3:4, -3:4] ** 2).sum(axis=0)) / 6)
    opponents = np.array([[1, -1, 0], [-1, 1, 0], [-0.5, -0.5, 1], [0.5, 0.5, -1]])
    with torch.no_grad():
        stack[0].weight[:4] = torch.as_tensor(np.repeat(waves[:, None], 3, axis=1))
        stack[0].weight[4:] = torch.as_tensor(opponents[:, :, None, None] * blob * 0.05)
        # Each map's local mean.
        stack[2].weight[:] = torch.eye(8)[:, :, None, None] / 9
    return stack


def stretched(maps: np.ndarray) -> np.ndarray:
    """Return the root of each map, from 0 to 1."""
    return np.sqrt(maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12))


def tiled(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Return tiles side by side with white lines between them."""
    width = [(0, 0), (1, 1), (1, 1), *[(0, 0)] * (tiles.ndim - 3)]
    framed = np.pad(tiles, width, constant_values=1)
    rows = [framed[i : i + columns] for i in range(0, len(framed), columns)]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


if __name__ == "__main__":
    main()
