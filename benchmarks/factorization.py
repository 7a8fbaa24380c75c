"""Closed form and search beside the algorithm of the original notebook.

Prints tables in Markdown. CPU times are those of one process, the algorithms taking turns: run
it with one thread per library, ``OMP_NUM_THREADS=1 python benchmarks/factorization.py``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import original_notebook as original
import torch

from napari_convfact.factorization.chain import Layout
from napari_convfact.factorization.factorize import factorize
from napari_convfact.factorization.solver import Batch, ChainModel, minimize
from napari_convfact.factorization.starts import draw

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "factorization"))
from factorization_targets import (
    BINOMIAL,
    LAPLACIAN,
    disk,
    nmse,
    normal_kernels,
    product,
    wavelet,
)

CASES = (
    ("lh", 2, original.TWO_FACTORS),
    ("hl", 2, original.TWO_FACTORS),
    ("hh", 2, original.TWO_FACTORS),
    ("ll", 2, original.LOW_PASS),
    ("lh", 3, original.THREE_FACTORS),
    ("hl", 3, original.THREE_FACTORS),
    ("hh", 3, original.THREE_FACTORS),
)
CLOSED_FORM_CALLS = 100
SEARCHES = 5
STARTS_OF_EACH = 128


def cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    result = call()
    return time.process_time() - begun, result


def against_the_original(rounds: int) -> None:
    print("| kernel | original: error, CPU | closed form: error, CPU | search: error, CPU |")
    print("|---|---|---|---|")
    for band, n_factors, setting in CASES:
        kernel, shapes = wavelet(band), ((3, 3),) * n_factors
        times: dict[str, list[float]] = {"original": [], "closed form": [], "search": []}
        worst: dict[str, float] = dict.fromkeys(times, 0.0)

        def note(name: str, seconds: float, error: float, times=times, worst=worst) -> None:
            times[name].append(seconds)
            worst[name] = max(worst[name], error)

        for turn in range(rounds):
            seconds, fitted = cpu_seconds(
                lambda: original.fit(kernel, n_factors, setting, turn)  # noqa: B023
            )
            response, diverged = fitted
            note("original", seconds, nmse(original.standardized(kernel), response))
            for _ in range(CLOSED_FORM_CALLS):
                seconds, found = cpu_seconds(lambda: factorize(kernel, shapes))  # noqa: B023
                note("closed form", seconds, nmse(kernel, found.reconstruction))
            for seed in range(SEARCHES):
                seconds, found = cpu_seconds(
                    lambda: factorize(kernel, shapes, closed_form=False, seed=seed)  # noqa: B023
                )
                note("search", seconds, nmse(kernel, found.reconstruction))
        medians = {name: statistics.median(values) for name, values in times.items()}
        cells = [f"{worst['original']:.3e}, {medians['original']:.2f} s, {diverged} starts diverge"]
        for name in ("closed form", "search"):
            ratio = medians["original"] / medians[name]
            cells.append(f"{worst[name]:.6g}, {1e3 * medians[name]:.3g} ms ({ratio:.0f}x)")
        print(f"| {band.upper()}, {n_factors} x (3x3) | {' | '.join(cells)} |")


def without_a_closed_form() -> None:
    five, seven = normal_kernels()
    cases = (
        ("normal 5x5, 2 x (3x3)", five, 2, {}),
        ("normal 7x7, 3 x (3x3)", seven, 3, {}),
        ("disk of radius 2, 2 x (3x3)", disk(2, 5), 2, {}),
        ("disk of radius 3, 3 x (3x3)", disk(3, 7), 3, {}),
        ("normal 5x5, 2 x (3x3), zero sum", five, 2, {"zero_sum": True}),
    )
    print("| kernel | worst error of five seeds | starts that reached it | sum | CPU |")
    print("|---|---|---|---|---|")
    for name, kernel, n_factors, options in cases:
        runs = [
            cpu_seconds(lambda: factorize(kernel, ((3, 3),) * n_factors, seed=seed, **options))  # noqa: B023
            for seed in range(5)
        ]
        error = max(nmse(kernel, found.reconstruction) for _, found in runs)
        share = np.mean([found.hit_fraction for _, found in runs])
        total = max((found.reconstruction.sum() for _, found in runs), key=abs)
        milliseconds = 1e3 * statistics.median(seconds for seconds, _ in runs)
        print(f"| {name} | {error:.6g} | {share:.0%} | {total:.2g} | {milliseconds:.0f} ms |")


def which_starts_help() -> None:
    """Print the share of starts of each stratum that reach the best known error."""
    print("| kernel | random | symmetric | from roots |")
    print("|---|---|---|---|")
    cases = (
        ("Laplacian * binomial, 2 x (3x3)", product([LAPLACIAN, BINOMIAL]), 2, 1e-20),
        ("LL, 2 x (3x3)", wavelet("ll")[6:11, 6:11], 2, 1e-20),
        ("disk of radius 3, 3 x (3x3)", disk(3, 7), 3, 2.9693e-3),
        ("normal 7x7, 3 x (3x3)", normal_kernels()[1], 3, 1.818e-1),
    )
    for name, kernel, n_factors, bar in cases:
        layout = Layout(((3, 3),) * n_factors, (1,) * n_factors)
        model = ChainModel(layout, kernel / np.linalg.norm(kernel))
        starts = draw(kernel, layout, 1, 3 * STARTS_OF_EACH, np.random.default_rng(0))
        shares = []
        for stratum in range(3):
            search = minimize(model, model.fit_gains(starts[stratum::3]), 150, floor=-1.0)
            shares.append(np.mean(finished(search).cost <= bar))
        cells = " | ".join(f"{share:.0%}" for share in shares)
        print(f"| {name} | {cells} |")


def finished(search: Generator[float, None, Batch]) -> Batch:
    while True:
        try:
            next(search)
        except StopIteration as stop:
            batch: Batch = stop.value
            return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="runs of the original algorithm")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("Errors are squared errors over the kernel's energy; those of the original are of the")
    print("kernel that it fits, shifted to zero mean. Medians of CPU time; the worst error.\n")
    against_the_original(options.rounds)
    print()
    without_a_closed_form()
    print()
    which_starts_help()


if __name__ == "__main__":
    main()
