"""A bank of 40 Gabor kernels on 1024 x 1024 pixels beside scikit-image and OpenCV.

Run ``python benchmarks/gabor.py`` for a markdown table; ``--quick`` takes a smaller image.
All run on one processor, and then our part on all of them, in a process of its own. Peers that
are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

# Before the libraries count the processors.
if "--all-processors" not in sys.argv:
    os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from skimage.data import camera
from skimage.filters import gabor as skimage_gabor

from napari_convfact.foundation.job import run
from napari_convfact.gabor.bank import gabor_bank
from napari_convfact.gabor.kernels import GaborBank
from napari_convfact.gabor.responses import gabor_filter

ALL_PROCESSORS = "--all-processors"
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
#: Scales of the bank that scikit-image is asked for: the finest, where it is fastest.
CHEAP_SCALES = 3


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the shortest of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def make_image(size: int) -> np.ndarray:
    """Return a picture of the wanted size, float32 in [0, 1]."""
    repeats = math.ceil(size / 512)
    return (np.tile(camera(), (repeats, repeats))[:size, :size] / 255).astype(np.float32)


def ours(image: np.ndarray, bank: GaborBank) -> dict[str, Callable[[], object]]:
    """Return what is timed of this package; the bank's spectra are there already."""
    maps = ["orientation", "coherence", "total_energy"]
    return {
        "napari-convfact, 40 energies at full rate": lambda: gabor_filter(image, bank).energy,
        "napari-convfact, 40 energies at band rate": (
            lambda: gabor_filter(image, bank).band_energies()
        ),
        "napari-convfact, orientation and coherence of 40 kernels": (
            lambda: run(gabor_filter(image, bank).compute(maps))
        ),
    }


def through_opencv(image: np.ndarray, bank: GaborBank) -> Callable[[], object]:
    """Return two real filters for each kernel, whose kernels are made before."""
    import cv2

    cv2.setNumThreads(1)
    pairs = []
    for scale, kernels in enumerate(bank.kernels()):
        reach = math.ceil(3 * max(bank.along[scale], bank.across[scale]))
        middle = kernels.shape[-1] // 2
        window = slice(max(middle - reach, 0), middle + reach + 1)
        # OpenCV correlates.
        pairs += [np.flip(kernel[window, window]) for kernel in kernels]
    real = [np.ascontiguousarray(kernel.real) for kernel in pairs]
    imaginary = [np.ascontiguousarray(kernel.imag) for kernel in pairs]
    border = cv2.BORDER_REFLECT

    def filter_all() -> None:
        for even, odd in zip(real, imaginary, strict=True):
            a = cv2.filter2D(image, cv2.CV_32F, even, borderType=border)
            b = cv2.filter2D(image, cv2.CV_32F, odd, borderType=border)
            _ = a * a + b * b

    return filter_all


def through_skimage(image: np.ndarray, bank: GaborBank) -> None:
    """Filter with the kernels of the finest scales."""
    for frequency in bank.frequencies[:CHEAP_SCALES]:
        for theta in bank.orientations:
            skimage_gabor(image, frequency, theta=theta, mode="reflect")


def by_turns(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the shortest of five runs of each, after one that warms up."""
    for call in calls.values():
        call()
    rows = dict.fromkeys(calls, math.inf)
    for _ in range(5):
        for name, call in calls.items():
            rows[name] = min(rows[name], seconds(call, 1))
    return rows


def on_all_processors(size: int) -> dict[str, float]:
    """Measure our part in a process that may use all processors."""
    environment = os.environ | {"OMP_NUM_THREADS": str(PROCESSORS)}
    words = [sys.executable, __file__, ALL_PROCESSORS, f"--size={size}"]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def timings(size: int, *, peers: bool) -> list[tuple[str, float]]:
    """Measure everything, the fast calls in turn so that they meet the same machine."""
    image, bank = make_image(size), gabor_bank()
    calls = ours(image, bank)
    if peers and importlib.util.find_spec("cv2"):
        calls["OpenCV filter2D, 2 x 40 real kernels cut at 3 sigma"] = through_opencv(image, bank)
    rows = by_turns(calls)
    rows["napari-convfact, the bank's spectra (once)"] = seconds(
        lambda: list(gabor_bank().bands(gabor_filter(image, bank).layout.torus, torch.float32)), 2
    )
    if peers:
        name = f"scikit-image gabor, {CHEAP_SCALES * 8} kernels of the {CHEAP_SCALES} finest scales"
        rows[name] = seconds(partial(through_skimage, image, bank), 1)
    return list(rows.items())


def accuracy() -> list[tuple[str, float]]:
    """Return relative differences from scikit-image and of the reconstruction."""
    image = make_image(256)
    rows = []
    for frequency in (0.1, 0.177, 0.25):
        bank = gabor_bank(frequencies=[frequency], orientations=[0.3], aspect=1, dc_free=False)
        response = gabor_filter(image, bank).response[0, 0]
        real, imaginary = skimage_gabor(image, frequency, theta=0.3, n_stds=5, mode="reflect")
        peer = real + 1j * imaginary
        difference = np.linalg.norm(response - peer) / np.linalg.norm(peer)
        rows.append((f"scikit-image (n_stds=5) at frequency {frequency}", float(difference)))
    for dtype in ("float32", "float64"):
        restored = gabor_filter(image, gabor_bank(), dtype=dtype).reconstruct()
        difference = np.linalg.norm(restored - image) / np.linalg.norm(image)
        rows.append((f"reconstruction, {dtype}", float(difference)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="256 pixels, no slow peers")
    parser.add_argument("--size", type=int, default=1024, help="pixels of an edge")
    parser.add_argument(ALL_PROCESSORS, action="store_true", help="print our part alone, as JSON")
    options = parser.parse_args()
    size = 256 if options.quick else options.size
    if options.all_processors:
        print(json.dumps(by_turns(ours(make_image(size), gabor_bank()))))
    else:
        report(size, peers=not options.quick)


def report(size: int, *, peers: bool) -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    rows = dict(timings(size, peers=peers))
    reference = next(iter(rows.values()))
    print(f"{size} x {size} pixels, one processor.\n")
    print("| what | seconds | times our full rate |\n|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.3f} | {value / reference:.2f} |")
    print("\n| relative difference (2-norm) | |\n|---|---|")
    for name, value in accuracy():
        print(f"| {name} | {value:.1e} |")
    found = on_all_processors(size)
    print(f"\n| {PROCESSORS} processors | seconds | times faster than one |\n|---|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.3f} | {rows[name] / value:.2f} |")


if __name__ == "__main__":
    main()
