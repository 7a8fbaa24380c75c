"""Textures: exact fits beside gradient descent, and features beside those of other packages.

Run ``python benchmarks/texture.py`` for markdown tables; ``--quick`` takes fewer repeats.
Everything runs on one processor and times are processor seconds. Scattering runs in kymatio's
own environment (``make .venv-kymatio/installed``), the start of its Python included, and is left
out where that is not there.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

# Before the libraries count the processors.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from skimage.feature import (
    graycomatrix,
    graycoprops,
    local_binary_pattern,
    multiscale_basic_features,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from texture_scenes import painted_mosaic, region_split_patches, textures

from napari_convfact.gabor.bank import gabor_bank
from napari_convfact.gabor.responses import gabor_filter
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.autoregression import fit_autoregression
from napari_convfact.texture.bank_errors import bank_errors
from napari_convfact.texture.bank_learning import METHODS, learn_bank
from napari_convfact.texture.classifier import TextureClassifier
from napari_convfact.texture.features import residual_features
from napari_convfact.texture.local import local_autoregression
from napari_convfact.texture.maps import residual_maps
from napari_convfact.texture.pixels import classify_pixels

Features = Callable[[np.ndarray], np.ndarray]
KYMATIO = Path(__file__).parents[1] / ".venv-kymatio" / "bin" / "python"
#: The request's own training loop: filters, epochs, learning rate.
FILTERS, EPOCHS, LEARNING_RATE = 20, 10, 1e-3


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest processor time of a few runs, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = processor_seconds()
        call()
        times.append(processor_seconds() - start)
    return min(times)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


# -- fits ---------------------------------------------------------------------------------


def unfolded(patches: np.ndarray, radius: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return neighbours ``(n, windows, p)`` and centres ``(n, windows, 1)`` of all windows."""
    size = 2 * radius + 1
    windows = torch.nn.functional.unfold(torch.as_tensor(patches)[:, None], size).transpose(1, 2)
    centre = size**2 // 2
    others = [i for i in range(size**2) if i != centre]
    return windows[..., others], windows[..., centre : centre + 1]


def batched_least_squares(patches: np.ndarray) -> torch.Tensor:
    """Solve for each patch's kernel from its unfolded windows."""
    neighbours, centres = unfolded(patches)
    solution: torch.Tensor = torch.linalg.lstsq(neighbours, centres).solution
    return solution


def gram_fit(patches: np.ndarray, radius: int) -> torch.Tensor:
    """Solve the normal equations of the unfolded windows."""
    z, x = unfolded(patches, radius)
    A, b = z.mT @ z, z.mT @ x
    return torch.linalg.solve(
        A + 1e-6 * A.diagonal(dim1=1, dim2=2).mean() * torch.eye(len(A[0])), b
    )


def gradient_descent(patches: np.ndarray, epochs: int) -> float:
    """Train random masked filters by Adam on the mean error of all; return the last loss."""
    x = torch.as_tensor(patches)[:, None]
    filters = torch.randn(FILTERS, 1, 3, 3, generator=torch.manual_seed(0)).requires_grad_()
    mask = torch.ones_like(filters)
    mask[:, :, 1, 1] = 0
    optimizer = torch.optim.Adam([filters], lr=LEARNING_RATE)
    for _ in range(epochs):
        optimizer.zero_grad()
        predicted = torch.nn.functional.conv2d(x, filters * mask, padding=1)
        loss = (x - predicted).square().mean()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def report_fits(quick: bool) -> None:
    rng = np.random.default_rng(0)
    patches = np.stack([standardized(cut(textures()[i % 3], 100, rng)) for i in range(100)]).astype(
        np.float32
    )
    exact = partial(fit_autoregression, patches, tie="full")
    times = {
        "exact, all neighbours free": seconds(exact, 20),
        "exact, symmetric": seconds(partial(fit_autoregression, patches), 20),
        "exact, symmetric, valid windows": seconds(
            partial(fit_autoregression, patches, boundary="valid")
        ),
        "batched least squares on unfolded windows": seconds(
            partial(batched_least_squares, patches)
        ),
        f"Adam, {FILTERS} filters, {EPOCHS} epochs": seconds(
            partial(gradient_descent, patches, EPOCHS), 1 if quick else 3
        ),
    }
    base = times["exact, symmetric"]
    neighbours, centres = unfolded(patches.astype(np.float64))
    solution = torch.linalg.lstsq(neighbours, centres).solution
    valid = fit_autoregression(patches, tie="full", boundary="valid")
    losses = {
        "exact, all neighbours free": exact().variance.mean(),
        "exact, symmetric": fit_autoregression(patches).variance.mean(),
        "exact, symmetric, valid windows": fit_autoregression(
            patches, boundary="valid"
        ).variance.mean(),
        "batched least squares on unfolded windows": float(
            (centres - neighbours @ solution).square().mean()
        ),
        f"Adam, {FILTERS} filters, {EPOCHS} epochs": gradient_descent(patches, EPOCHS),
    }
    print("## Fits\n\n100 patches of 100 x 100 pixels, 3 x 3 neighbours.")
    table(
        ("what", "seconds", "times the exact symmetric fit", "mean squared error"),
        [(n, f"{t:.4f}", f"{t / base:.1f}", f"{losses[n]:.6f}") for n, t in times.items()],
    )
    print(f"\nAll free on valid windows, exact: {valid.variance.mean():.6f}.")
    large = np.stack([picture[:256, :256] for picture in textures()])
    rows = []
    for radius in (1, 2, 3):
        fourier = seconds(partial(fit_autoregression, large, radius, tie="full"), 10)
        gram = seconds(partial(gram_fit, large, radius))
        megapixels = large.size / 1e6
        rows.append(
            (
                radius,
                f"{fourier / megapixels:.4f}",
                f"{gram / megapixels:.4f}",
                f"{gram / fourier:.1f}",
            )
        )
    print("\n256 x 256 pixels, seconds per megapixel.")
    table(("radius", "Fourier transform", "products of unfolded windows", "ratio"), rows)


def cut(picture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a square from anywhere in a picture."""
    top, left = (int(rng.integers(n - size + 1)) for n in picture.shape)
    return picture[top : top + size, left : left + size]


def standardized(patch: np.ndarray) -> np.ndarray:
    """Return a patch of mean 0 and variance 1."""
    return (patch - patch.mean()) / patch.std()


def report_banks(quick: bool) -> None:
    train, test, labels = region_split_patches(64, 10 if quick else 20, 0)
    single = bank_errors(learn_bank(train, 1), test).mean()
    rows = []
    for method in METHODS:
        bank = learn_bank(train, 16, method=method, labels=labels)
        error = bank_errors(bank, test).min(axis=1).mean()
        rows.append((method, len(bank), error))
    gabor = next(error for method, _, error in rows if method == "gabor")
    print("\n## Banks\n\nBest of 16 kernels of radius 2 on patches of the other half.")
    table(
        ("method", "kernels", "error over variance", "over Gabor's", "over one kernel's"),
        [(m, n, f"{e:.4f}", f"{e / gabor:.2f}", f"{e / single:.2f}") for m, n, e in rows],
    )


# -- features of patches ------------------------------------------------------------------


def our_features(train: np.ndarray) -> Features:
    """Return the features that `TextureClassifier` takes, of a bank learned from `train`."""
    model = TextureClassifier()
    bank = learn_bank(train, model.n_kernels, radius=model.radius, dilations=model.dilations)
    groups = ("energy", "shape", "whiteness", "blocks", "model", "anisotropy")

    def compute(patches: np.ndarray) -> np.ndarray:
        frame = residual_features(patches, bank, groups=groups)
        names = [name for name in frame.columns if not name.endswith((" mae", " mse", " var"))]
        return frame[names].to_numpy()

    return compute


def kernel_features(patches: np.ndarray) -> np.ndarray:
    """Return weights and log variance of exact kernels at three dilations."""
    fit = fit_autoregression(patches, dilations=(1, 2, 4))
    return np.concatenate([fit.weights.reshape(len(patches), -1), np.log(fit.variance)], axis=1)


def bank_energies(patches: np.ndarray, bank: KernelBank) -> np.ndarray:
    """Return log energies of the residuals of a bank, from moments alone."""
    return np.log(bank_errors(bank, patches))


def gabor_features(patches: np.ndarray) -> np.ndarray:
    """Return log mean energies of 40 Gabor kernels."""
    energy = gabor_filter(patches, gabor_bank()).energy
    return np.log(energy.mean(axis=(-1, -2)) + 1e-12).reshape(-1, len(patches)).T


def lbp_features(patches: np.ndarray) -> np.ndarray:
    """Return histograms of uniform local binary patterns at three radii."""
    rows = []
    for patch in _eight_bits(patches):
        histograms = []
        for points, radius in ((8, 1), (16, 2), (24, 3)):
            codes = local_binary_pattern(patch, points, radius, "uniform").astype(int)
            histograms.append(np.bincount(codes.ravel(), minlength=points + 2) / codes.size)
        rows.append(np.concatenate(histograms))
    return np.stack(rows)


def glcm_features(patches: np.ndarray) -> np.ndarray:
    """Return six properties of co-occurrence matrices at three distances and four angles."""
    names = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    rows = []
    for patch in _eight_bits(patches) // 8:
        matrix = graycomatrix(patch, [1, 2, 4], angles, 32, symmetric=True, normed=True)
        rows.append(np.concatenate([graycoprops(matrix, name).ravel() for name in names]))
    return np.stack(rows)


def basic_features(patches: np.ndarray) -> np.ndarray:
    """Return mean and deviation of scikit-image's multi-scale basic features."""
    rows = []
    for patch in patches:
        maps = multiscale_basic_features(patch)
        rows.append(np.concatenate([maps.mean(axis=(0, 1)), maps.std(axis=(0, 1))]))
    return np.stack(rows)


def scattering_features() -> Features | None:
    """Return mean scattering coefficients, if kymatio's own environment is there."""
    if not KYMATIO.exists():
        return None

    def compute(patches: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "patches.npy"), Path(folder, "features.npy")
            np.save(source, patches)
            script = Path(__file__).with_name("scattering.py")
            subprocess.run([KYMATIO, script, source, target], check=True)
            return np.load(target)

    return compute


def _eight_bits(patches: np.ndarray) -> np.ndarray:
    return ((patches.clip(-3, 3) + 3) / 6 * 255).astype(np.uint8)


def feature_sets(train: np.ndarray) -> dict[str, Features]:
    """Return everything that is compared; banks are learned from `train`."""
    bank = learn_bank(train, 16, radius=1, dilations=(1, 2, 4))
    ours = our_features(train)
    sets: dict[str, Features] = {
        "residual features of 8 x 3 kernels (TextureClassifier)": ours,
        "exact kernels at 3 dilations": kernel_features,
        "log energies of 16 x 3 kernels, from moments": partial(bank_energies, bank=bank),
        "exact kernels and Gabor": lambda p: np.hstack([kernel_features(p), gabor_features(p)]),
        "Gabor, 5 scales x 8 orientations": gabor_features,
        "LBP, 3 radii": lbp_features,
        "GLCM, 3 distances x 4 angles": glcm_features,
        "multiscale_basic_features": basic_features,
    }
    scattering = scattering_features()
    if scattering is not None:
        sets["scattering (kymatio), J = 3, L = 8"] = scattering
    return sets


def heads() -> dict[str, Pipeline]:
    """Return the two classifiers that every set of features gets."""
    shrunk = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return {
        "LDA": make_pipeline(StandardScaler(), shrunk),
        "SVC": make_pipeline(StandardScaler(), SVC(C=10)),
    }


def report_classification(quick: bool) -> None:
    splits = 2 if quick else 12
    for size in (64, 32):
        scores: dict[tuple[str, str], list[float]] = {}
        cost: dict[str, float] = {}
        widths: dict[str, int] = {}
        for split in range(splits):
            train, test, labels = region_split_patches(size, 20, split)
            for name, compute in feature_sets(train).items():
                first = compute(train)
                start = processor_seconds()
                second = compute(test)
                spent = (processor_seconds() - start) / (test.size / 1e6)
                cost[name] = min(cost.get(name, math.inf), spent)
                widths[name] = first.shape[1]
                for head, model in heads().items():
                    score = model.fit(first, labels).score(second, labels)
                    scores.setdefault((name, head), []).append(score)
        print(
            f"\n## Patches of {size} x {size}\n\nTrained on one half of each picture and tested "
            f"on the other, {splits} splits, 20 patches a class; per cent, with the standard "
            "deviation between splits."
        )
        rows = [
            (
                name,
                widths[name],
                *(_percent(scores[name, head]) for head in heads()),
                f"{cost[name]:.3f}",
            )
            for name in cost
        ]
        table(("features", "number", *heads(), "CPU seconds per megapixel"), rows)


def _percent(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f}"


# -- pixels -------------------------------------------------------------------------------


def report_mosaics(quick: bool) -> None:
    chosen = {
        "multiscale_basic_features, same forest": None,
        "local models": ("local",),
        "Gabor": ("gabor",),
        "residuals of a bank": ("residual",),
        "local models and Gabor (default)": ("local", "gabor"),
        "all three": ("local", "gabor", "residual"),
    }
    seeds = range(2 if quick else 8)
    scores: dict[str, list[float]] = {name: [] for name in chosen}
    for seed in seeds:
        image, truth, paint = painted_mosaic(seed)
        rest = paint == 0
        for name, features in chosen.items():
            if features is None:
                dense = through_skimage(image, paint)
            else:
                dense = classify_pixels(image, paint, features)
            scores[name].append(float(np.mean(dense[rest] == truth[rest])))
    first = np.mean(scores["multiscale_basic_features, same forest"])
    print(
        f"\n## Mosaics\n\nThree textures in 256 x 256 pixels, 0.5 % painted, {len(seeds)} mosaics, "
        "100 trees; per cent of the unpainted pixels that are right."
    )
    table(
        ("features", "right", "gain in points"),
        [(n, _percent(s), f"{100 * (np.mean(s) - first):+.1f}") for n, s in scores.items()],
    )


def through_skimage(image: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """Segment with scikit-image's features and the same forest."""
    maps = multiscale_basic_features(image)
    forest = RandomForestClassifier(100, random_state=0)
    forest.fit(maps[paint > 0], paint[paint > 0])
    return forest.predict(maps.reshape(-1, maps.shape[-1])).reshape(paint.shape)


def report_maps() -> None:
    image = np.tile(textures()[0], (2, 2))
    bank = learn_bank(image, 16)
    calls = {
        "local models, 3 dilations": partial(local_autoregression, image),
        "log energies, 16 kernels of radius 2": partial(residual_maps, image, bank),
        "residuals, 16 kernels of radius 2": partial(residual_maps, image, bank, kind="residual"),
        "multiscale_basic_features": partial(multiscale_basic_features, image),
    }
    print("\n## Maps\n\n1024 x 1024 pixels.")
    megapixels = image.size / 1e6
    table(
        ("maps", "CPU seconds per megapixel"),
        [(name, f"{seconds(call, 3) / megapixels:.3f}") for name, call in calls.items()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and splits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report_fits(options.quick)
    report_banks(options.quick)
    report_classification(options.quick)
    report_mosaics(options.quick)
    report_maps()


if __name__ == "__main__":
    main()
