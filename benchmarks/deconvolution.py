"""Direct and regularized deconvolution: cost beside the transforms' own, edges, automatic strength.

Run ``python benchmarks/deconvolution.py`` for markdown tables. Times are the least of several
repetitions, taken in turns in one process; memory is the peak of a fresh process.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import scipy.fft
import skimage.restoration
import torch
from cropped_scenes import (
    cropped_scenes,
    edge_and_inner_error,
    point_spread_functions,
    psnr,
)
from noisy_scenes import correlated_noise, photons

from napari_convfact.deconvolution.deconvolve import deconvolve
from napari_convfact.deconvolution.direct import direct_filter
from napari_convfact.foundation.device import cpu_count
from napari_convfact.foundation.fft import fast_shape

REPETITIONS = 9
STRENGTH = 1e-3
NOISE = 0.01
VOLUME, VOLUME_PSF = (128, 512, 512), 31
MEMORY_CASES = {
    "direct, reflect, strength given": {"boundary": "reflect", "strength": STRENGTH},
    "direct, reflect, strength automatic": {"boundary": "reflect"},
    "least squares, extended, 2 iterations": {"strength": STRENGTH, "iterations": 2},
}


def least_times(actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least time of each action in seconds; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in range(REPETITIONS):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def time_direct(side: int) -> dict[str, float]:
    """Time one image of `side` x `side` samples, float32, Gaussian PSF of sigma 2."""
    psf = point_spread_functions()["Gaussian 2"]
    image = np.random.default_rng(0).random((side, side), dtype=np.float32)
    tensor = torch.from_numpy(image)
    warm = direct_filter(psf, image.shape, strength=STRENGTH)
    torus = fast_shape([side + k - 1 for k in psf.shape])
    padded = np.zeros(torus, np.float32)
    kernel = psf.astype(np.float32)

    def transforms() -> np.ndarray:
        spectrum = scipy.fft.rfftn(padded, workers=cpu_count())
        return scipy.fft.irfftn(spectrum, s=torus, workers=cpu_count())

    return least_times(
        {
            "one rfftn and irfftn of the padded size (scipy.fft)": transforms,
            "Tikhonov, warm filter": lambda: warm.apply(tensor),
            "Tikhonov, `deconvolve` from scratch, boundary reflect": lambda: deconvolve(
                image, psf, strength=STRENGTH, boundary="reflect"
            ),
            "`skimage.restoration.wiener`": lambda: skimage.restoration.wiener(
                image, kernel, STRENGTH, clip=False
            ),
        }
    )


def report_direct() -> None:
    sides = (2048, 2053)
    columns = [time_direct(side) for side in sides]
    print("## One image, float32, strength given\n")
    print("| | " + " | ".join(f"{side} x {side}, ms (ratio)" for side in sides) + " |")
    print("|---|" + "---|" * len(sides))
    for name in columns[0]:
        floors = [next(iter(times.values())) for times in columns]
        cells = [
            f"{1e3 * times[name]:.0f} ({times[name] / floor:.2f})"
            for times, floor in zip(columns, floors, strict=True)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def score_cases() -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the scores of every cropped scene."""
    strengths = np.logspace(-5, 1, 25)
    for case in cropped_scenes(NOISE):

        def best(case=case, strengths=strengths, **options) -> float:
            estimates = (
                deconvolve(case.data, case.psf, strength=strength, **options).estimate
                for strength in strengths
            )
            return max(psnr(estimate, case.scene) for estimate in estimates)

        default = deconvolve(case.data, case.psf)
        edge, inner = edge_and_inner_error(default.estimate, case.scene)
        yield (
            case.name,
            {
                "blurred": psnr(case.data, case.scene),
                "default": psnr(default.estimate, case.scene),
                "default, best strength": best(),
                "reflect, best strength": best(boundary="reflect"),
                "periodic, best strength": best(boundary="periodic"),
                "automatic - best": psnr(default.estimate, case.scene) - best(),
                "edge / inner": edge / inner,
                "strength": default.strength or 0.0,
                "iterations": default.iterations,
            },
        )


def report_noise() -> None:
    """Print what the automatic strength loses under noise that is not white."""
    print("## Other noise: PSNR with the automatic strength, and what the best one gains, in dB\n")
    print("| | blurred | Tikhonov | best | Wiener | best |")
    print("|---|---|---|---|---|---|")
    losses: dict[str, list[float]] = {"tikhonov": [], "wiener": []}
    for case in (*correlated_noise(), *photons()):
        cells = [f"{psnr(case.data, case.scene):.1f}"]
        for method, lost in losses.items():
            automatic, *given = (
                psnr(
                    deconvolve(case.data, case.psf, method=method, strength=strength).estimate,
                    case.scene,
                )
                for strength in ("auto", *np.logspace(-4, 0.5, 10).tolist())
            )
            lost.append(max(given) - automatic)
            cells += [f"{automatic:.1f}", f"{lost[-1]:+.1f}"]
        print(f"| {case.name} | " + " | ".join(cells) + " |")
    said = (
        f"{name} {np.mean(lost):.2f} dB (at worst {max(lost):.2f})" for name, lost in losses.items()
    )
    print(f"\nOn average the automatic strength loses: {', '.join(said)}.\n")


def report_cropped_scenes() -> None:
    print(f"## Cropped scenes, 256 x 256, {NOISE:.0%} noise: PSNR in dB\n")
    rows = dict(score_cases())
    columns = list(next(iter(rows.values())))
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, scores in rows.items():
        print(f"| {name} | " + " | ".join(f"{scores[column]:.3g}" for column in columns) + " |")
    means = [np.mean([scores[column] for scores in rows.values()]) for column in columns]
    print("| **mean** | " + " | ".join(f"{mean:.3g}" for mean in means) + " |\n")
    gain = np.mean([s["default"] - s["periodic, best strength"] for s in rows.values()])
    losses = [-scores["automatic - best"] for scores in rows.values()]
    print(
        f"The default is {gain:.1f} dB above the periodic method with its own best strength. "
        f"The automatic strength loses {np.mean(losses):.2f} dB on average and "
        f"{max(losses):.2f} dB at worst against the best.\n"
    )


def run_memory_case(name: str) -> None:
    """Print the peak growth of memory, in volumes, image and result included."""
    offset = np.arange(VOLUME_PSF) - VOLUME_PSF // 2
    radius = np.sqrt(sum(grid**2 for grid in np.meshgrid(offset, offset, offset)))
    # Not separable: a fused pass would need less memory than the transforms.
    psf = 1 / (1 + radius**3)
    # The first run loads libraries and thread pools.
    deconvolve(np.ones((8, 8, 8), np.float32), psf[12:19, 12:19, 12:19])
    before = psutil.Process().memory_info().rss
    image = np.random.default_rng(0).random(VOLUME, dtype=np.float32)
    deconvolve(image, psf, **MEMORY_CASES[name])
    # Not getrusage: a child process inherits its parent's maximum there.
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(re.search(r"VmHWM:\s*(\d+)", status)[1])
    print((peak - before) / (4 * np.prod(fast_shape([n + VOLUME_PSF - 1 for n in VOLUME]))))


def report_memory() -> None:
    size = " x ".join(map(str, VOLUME))
    print(f"## Peak memory, {size}, PSF {VOLUME_PSF}^3, in padded float32 volumes\n")
    print("| | volumes |\n|---|---|")
    for name in MEMORY_CASES:
        command = [sys.executable, __file__, "--memory-case", name]
        volumes = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"| {name} | {volumes:.1f} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the volume")
    parser.add_argument("--memory-case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_case:
        run_memory_case(options.memory_case)
        return
    report_direct()
    report_cropped_scenes()
    report_noise()
    if not options.quick:
        report_memory()


if __name__ == "__main__":
    main()
