"""Make the pictures of texture.md and print the numbers that it quotes.

Run ``python docs/make_texture_pictures.py``; the pictures go to ``docs/images``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.autoregression import fit_autoregression
from napari_convfact.texture.bank_errors import bank_errors
from napari_convfact.texture.bank_learning import learn_bank
from napari_convfact.texture.local import local_autoregression
from napari_convfact.texture.maps import residual_maps
from napari_convfact.texture.pixels import classify_pixels
from napari_convfact.texture.spectrum import ar_synthesize

IMAGES = Path(__file__).parent / "images"
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from texture_scenes import NAMES, painted_mosaic, region_split_patches, textures  # noqa: E402

CLASSES = ListedColormap(["#00000000", "#d95f02", "#1b9e77", "#7570b3"])


def main() -> None:
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 9, "figure.dpi": 110, "savefig.bbox": "tight"})
    IMAGES.mkdir(exist_ok=True)
    pictures = {
        "texture-collapse": draw_collapse,
        "texture-bank": draw_bank,
        "texture-maps": draw_maps,
        "texture-segmentation": draw_segmentation,
        "texture-synthesis": draw_synthesis,
    }
    for name, draw in pictures.items():
        figure = draw()
        figure.savefig(IMAGES / f"{name}.png")
        plt.close(figure)


def panels(*widths: float, height: float = 2.9) -> tuple[Any, list[Axes]]:
    """Return a figure with a row of axes."""
    figure, axes = plt.subplots(
        1, len(widths), figsize=(9.6, height), width_ratios=widths, layout="constrained"
    )
    return figure, list(np.atleast_1d(axes))


def show(axes: Axes, image: np.ndarray, title: str, **options: Any) -> Any:
    """Draw an image without ticks."""
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(image, **{"cmap": "gray", "interpolation": "nearest", **options})


def draw_collapse() -> Any:
    """Train 20 filters on the mean of all their errors, and learn a mixture instead.

    Kernels are shown as differences from the one that is best for all patches together.
    """
    patches, _, _ = region_split_patches(64, 8, 0)
    spread, trained = train_on_the_mean_error(patches, epochs=600)
    mixture = learn_bank(patches, 20, radius=1, patch_size=None)
    pooled = learn_bank(patches, 1, radius=1, patch_size=None)
    figure, (curve, left, right) = panels(1.3, 1, 1)
    curve.semilogy(spread, color="black")
    curve.set_xlabel("epoch")
    curve.set_ylabel("spread between the 20 filters")
    curve.set_title("Training on the mean error")
    both = np.concatenate([trained.kernels, mixture.kernels]) - pooled.kernels
    mosaic = KernelBank(both).mosaic(columns=5, shared=True)
    half = (len(mosaic) + 1) // 2
    options = {"cmap": "PiYG", "vmin": 0, "vmax": 1}
    show(left, mosaic[: half - 1], f"After {len(spread)} epochs", **options)
    show(right, mosaic[half:], "A mixture of 20 models", **options)
    gap = np.abs(trained.kernels - pooled.kernels).max()
    print(f"collapse: spread {spread[0]:.3f} -> {spread[-1]:.1e}; from the pooled kernel {gap:.3f}")
    for name, bank in (("collapsed", trained), ("mixture", mixture)):
        print(f"  best of bank, {name}: {bank_errors(bank, patches).min(axis=1).mean():.4f}")
    return figure


def train_on_the_mean_error(patches: np.ndarray, epochs: int) -> tuple[list[float], KernelBank]:
    """Return the spread of 20 filters over the epochs of Adam, and the last filters."""
    x = torch.as_tensor(patches)[:, None]
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
    mask = torch.ones(20, 1, 3, 3)
    mask[:, :, 1, 1] = 0
    filters = torch.randn(20, 1, 3, 3, generator=torch.manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([filters], lr=0.1)
    spread = []
    for _ in range(epochs):
        spread.append(float((filters.detach() * mask).std(dim=0).sum() / 8))
        optimizer.zero_grad()
        loss = (x - torch.nn.functional.conv2d(padded, filters * mask)).square().mean()
        loss.backward()
        optimizer.step()
    return spread, KernelBank((filters * mask).detach().numpy()[:, 0, ::-1, ::-1].copy())


def draw_bank() -> Any:
    """Learn 16 kernels of radius 2 and show what they explain."""
    train, test, labels = region_split_patches(64, 40, 0)
    banks = {
        "mixture (em)": learn_bank(train, 16),
        "principal components": learn_bank(train, 16, method="pca"),
        "Gabor, centre zero": learn_bank(train, 16, method="gabor"),
    }
    figure, (kernels, curve, usage) = panels(1, 1.2, 1.2)
    show(kernels, banks["mixture (em)"].mosaic(), "16 kernels, the best first", vmin=0, vmax=1)
    for (name, bank), style in zip(banks.items(), ("-", "--", ":"), strict=True):
        error = bank_errors(bank, test)
        left = np.minimum.accumulate(np.minimum(error, 1), axis=1).mean(axis=0)
        curve.semilogy(range(1, len(bank) + 1), left, f"k{style}", label=name)
        print(f"bank: {name}: one kernel {left[0]:.4f}, sixteen {left[-1]:.4f}")
    curve.set_xlabel("kernels")
    curve.set_xticks(range(1, 17, 3))
    curve.set_title("Unexplained variance, other regions")
    curve.legend()
    best = bank_errors(banks["mixture (em)"], test).argmin(axis=1)
    bottom = np.zeros(16)
    for label, name in enumerate(NAMES):
        share = np.bincount(best[labels == label], minlength=16) / len(best)
        usage.bar(range(16), share, bottom=bottom, color=CLASSES(label + 1), label=name)
        bottom += share
    usage.set_xlabel("kernel")
    usage.set_xticks(range(0, 16, 3))
    usage.set_title("Which patches it predicts best")
    usage.legend()
    return figure


def draw_maps() -> Any:
    """Map a mosaic with a bank, and with one that knows brick only."""
    image, truth, _ = painted_mosaic(2)
    train, _, labels = region_split_patches(64, 20, 0)
    bank = learn_bank(train, 6, method="class", labels=labels)
    brick = learn_bank(textures()[0], 8, radius=1)
    assignment = residual_maps(image, bank, kind="assignment")
    novelty = residual_maps(image, brick, kind="novelty")
    models = local_autoregression(image)
    figure, axes = panels(1, 1, 1, 1, height=2.7)
    show(axes[0], image, "Brick, grass, gravel")
    show(axes[1], assignment, "Best kernel, two for each texture", cmap="tab10")
    show(axes[2], novelty, "Novelty to a bank of brick", cmap="inferno")
    show(axes[3], models.predictability[2], "Predictability, dilation 4", cmap="viridis")
    inside = [float(np.median(novelty[truth == label])) for label in (1, 2, 3)]
    print("novelty (median) in brick, grass, gravel:", ", ".join(f"{v:.2f}" for v in inside))
    return figure


def draw_segmentation() -> Any:
    """Segment a mosaic from 0.5 % of paint."""
    image, truth, paint = painted_mosaic(0)
    rest = paint == 0
    basic = multiscale_basic_features(image)
    forest = RandomForestClassifier(100, random_state=0).fit(basic[~rest], paint[~rest])
    theirs = forest.predict(basic.reshape(-1, basic.shape[-1])).reshape(paint.shape)
    ours = classify_pixels(image, paint)
    figure, axes = panels(1, 1, 1, 1, height=2.7)
    show(axes[0], image, f"{100 * np.mean(~rest):.2f} % painted")
    axes[0].imshow(paint, cmap=CLASSES, vmin=0, vmax=3, interpolation="nearest")
    options = {"cmap": CLASSES, "vmin": 0, "vmax": 3}
    for axis, dense, name in (
        (axes[1], theirs, "multiscale_basic_features"),
        (axes[2], ours, "classify_pixels"),
    ):
        right = 100 * np.mean(dense[rest] == truth[rest])
        show(axis, dense, f"{name}\n{right:.1f} %", **options)
        print(f"segmentation: {name} {right:.1f} %")
    show(axes[3], truth, "Truth", **options)
    return figure


def draw_synthesis() -> Any:
    """Draw random fields that have the autoregressive models of textures."""
    figure, axes = plt.subplots(2, 3, figsize=(7, 4.9), layout="constrained")
    for column, (name, picture) in enumerate(zip(NAMES, textures(), strict=True)):
        cut = picture[:160, :160]
        fit = fit_autoregression(cut, 6, tie="causal", boundary="valid")
        field = ar_synthesize(
            fit.kernels[0], cut.shape, variance=float(fit.variance[0]), model=fit.model
        )
        show(axes[0, column], cut, name, vmin=-2.5, vmax=2.5)
        show(axes[1, column], field, f"its model, R² = {fit.r2[0]:.3f}", vmin=-2.5, vmax=2.5)
    return figure


if __name__ == "__main__":
    main()
