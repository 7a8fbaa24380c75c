"""Make the pictures of docs/factorization.md: ``python docs/make_factorization_pictures.py``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from napari_convfact.factorization.automatic import GROWING
from napari_convfact.factorization.factorize import factorize

HERE = Path(__file__).parent
IMAGES = HERE / "images" / "factorization"
sys.path[:0] = [str(HERE.parent / "benchmarks"), str(HERE.parent / "tests" / "factorization")]
import original_notebook as original  # noqa: E402
from factorization_targets import LOW, disk, wavelet  # noqa: E402

SIGNED = {"cmap": "PiYG", "interpolation": "nearest"}
BLUE, ORANGE, GREY = "#2166ac", "#d6604d", "#777777"


def show(axes: Any, values: np.ndarray, limit: float, title: str) -> None:
    axes.imshow(values, vmin=-limit, vmax=limit, **SIGNED)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def middle(canvas: np.ndarray) -> np.ndarray:
    """Return the 9 x 9 samples around the origin of a 16 x 16 canvas."""
    return canvas[4:13, 4:13]


def story() -> None:
    """Draw the notebook's picture for LH: target, fit, error times ten; then ours."""
    kernel = wavelet("lh")
    target = original.standardized(kernel)
    deviation = kernel.std(ddof=1)
    theirs, _ = original.fit(kernel, 2, original.TWO_FACTORS, seed=0)
    two, three = factorize(kernel, ((3, 3),) * 2), factorize(kernel, ((3, 3),) * 3)
    rows = [
        ("gradient descent, 2 x (3x3)", theirs, target - theirs),
        ("roots, 2 x (3x3)", two.reconstruction / deviation, two.residual / deviation),
        ("roots, 3 x (3x3)", three.reconstruction / deviation, three.residual / deviation),
    ]
    figure, axes = plt.subplots(3, 3, figsize=(6.4, 6.9), layout="constrained")
    for (name, fit, error), (left, centre, right) in zip(rows, axes, strict=True):
        share = np.sum(error**2) / np.sum(target**2)
        show(left, middle(target), 5, "LH")
        show(centre, middle(fit), 5, name)
        show(right, middle(10 * error), 5, f"error x 10 (nmse {share:.1e})")
    save(figure, "story")


def roots() -> None:
    """Draw the roots of the low-pass filter, and the three factors that they pair up to."""
    factors = factorize(LOW, (3, 3, 3)).factors
    zeros = [np.roots(factor) for factor in factors]
    figure, (plane, taps) = plt.subplots(2, 1, figsize=(7.2, 4.4), layout="constrained")
    angle = np.linspace(0, 2 * np.pi, 400)
    plane.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=0.8)
    colours = ("#2166ac", "#d6604d", "#4d9221")
    for i, (factor, pair, colour) in enumerate(zip(factors, zeros, colours, strict=True), 1):
        plane.plot(pair.real, pair.imag, "o", color=colour, label=f"factor {i}")
        taps.plot(np.arange(3) + 4 * (i - 1), factor / np.abs(factor).max(), "o-", color=colour)
    plane.set(aspect="equal", xlim=(-8, 6), ylim=(-1.4, 1.4))
    plane.set_title("roots of the low-pass filter; -1 is a double one", fontsize=9)
    plane.legend(fontsize=8, loc="lower right")
    taps.axhline(0, color=GREY, linewidth=0.8)
    taps.set_xticks([0, 1, 2, 4, 5, 6, 8, 9, 10], list("012012012"))
    taps.set_title("the three filters of three taps, largest tap 1", fontsize=9)
    save(figure, "roots")


def factors() -> None:
    """Draw the four wavelet kernels as three 3x3 each."""
    figure, axes = plt.subplots(4, 5, figsize=(8.2, 6.4), layout="constrained")
    for band, row in zip(("ll", "lh", "hl", "hh"), axes, strict=True):
        kernel = wavelet(band)
        chain = factorize(kernel, ((3, 3),) * 3)
        show(row[0], middle(kernel), float(np.abs(kernel).max()), band.upper())
        for i, factor in enumerate(chain.factors):
            show(row[1 + i], factor, float(np.abs(factor).max()), f"factor {i + 1}")
        limit = float(np.abs(kernel).max())
        show(row[4], middle(chain.residual), limit, f"error (nmse {chain.nmse:.0e})")
    save(figure, "wavelets")


def large_kernels() -> dict[str, np.ndarray]:
    x = np.arange(-15, 16)
    square = x[:, None] ** 2 + x**2
    motion = np.zeros((31, 31))
    for t in np.linspace(-12.5, 12.5, 2001):
        motion[round(15 - t * np.sin(np.pi / 6)), round(15 + t * np.cos(np.pi / 6))] += 1
    wave = np.cos(2 * np.pi / 8 * (x * np.cos(np.pi / 6) + x[:, None] * np.sin(np.pi / 6)))
    return {
        "disk, radius 7": disk(7, 15),
        "motion, 25 pixels at 30 degrees": motion,
        "Gabor, sigma 5, wavelength 8": np.exp(-square / 50) * wave,
        "Laplacian of a Gaussian, sigma 3": ((square / 9 - 2) * np.exp(-square / 18))[3:-3, 3:-3],
    }


def chains(kernel: np.ndarray) -> list[tuple[int, float]]:
    """Return multiplications and relative error of chains and sums of chains."""
    half = len(kernel) // 2
    schedules = [(1,) * m for m in range(2, min(half, 7) + 1)]
    schedules += [steps for steps in GROWING if half - 3 <= sum(steps) <= half]
    results = []
    for steps in schedules:
        for terms in (1, 2, 4):
            found = factorize(
                kernel, ((3, 3),) * len(steps), dilations=steps, n_terms=terms, starts=24
            )
            results.append((found.macs, found.relative_error))
    return frontier(results)


def frontier(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the points that no cheaper one is as close as."""
    best: list[tuple[int, float]] = []
    for macs, error in sorted(points):
        if not best or error < best[-1][1]:
            best.append((macs, error))
    return best


def trade() -> None:
    """Draw error against arithmetic: sums of separable kernels, and chains."""
    figure, axes = plt.subplots(2, 2, figsize=(8.2, 6.2), layout="constrained")
    for (name, kernel), plot in zip(large_kernels().items(), axes.flat, strict=True):
        s = np.linalg.svd(kernel, compute_uv=False)
        left = np.sqrt(np.cumsum((s**2)[::-1])[::-1][1:] / np.sum(s**2))
        ranks = 2 * len(kernel) * np.arange(1, len(s))
        keep = ranks < kernel.size
        plot.plot(ranks[keep], left[keep], "s-", color=ORANGE, label="sums of separable kernels")
        points = chains(kernel)
        for macs, error in points:
            print(f"{name}: {macs} multiplications, relative error {error:.4f}")
        plot.plot(*zip(*points, strict=True), "o-", color=BLUE, label="chains of 3x3, sums of them")
        box = np.prod([int(np.ptp(index)) + 1 for index in np.nonzero(kernel)])
        plot.set(yscale="log", ylim=(1e-3, 1), xlim=(0, 260))
        plot.set_title(f"{name} ({box})", fontsize=9)
    axes[0, 0].legend(fontsize=8)
    figure.supxlabel("multiplications per pixel (arithmetic only)", fontsize=9)
    figure.supylabel("relative error", fontsize=9)
    save(figure, "trade")


def save(figure: Any, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / f"{name}.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    story()
    roots()
    factors()
    trade()
