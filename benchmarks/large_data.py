"""Volumes larger than memory: memory and time as volumes grow, and what tiles cost beside them.

``python -m benchmarks large_data`` makes volumes in a temporary folder and deletes them;
``--folder=SCRATCH`` takes another place, ``--megavoxels=8,32`` other sizes and ``--cases=wiener``
some of the cases. Every run is a process of its own, whose peak is what the system counted, and
times are processor seconds of all its threads and children.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from large_data_scenes import make_psf, make_volume

from napari_convfact.batch.costs import PHASES
from napari_convfact.batch.tiles import Tiling

HERE = Path(__file__).parent
LIMITS = {"memory": 1.05, "loop": 1.2, "workers": 1.2}
# What cuts the volume of the comparison with a run in memory.
SMALL_LIMIT = 0.85e9


@dataclass(frozen=True)
class Case:
    """An operation with its parameters, and the memory that it may take.

    The limits are such that tiles are much smaller than the smaller volume.
    """

    title: str
    operation: str
    memory_limit: float
    parameters: dict[str, Any] = field(default_factory=dict)


CASES = {
    "wiener": Case(
        "Wiener",
        "deconvolve",
        1.5e9,
        {"method": "wiener", "strength": 0.01, "boundary": "reflect"},
    ),
    "richardson-lucy": Case(
        "Richardson-Lucy, 10 iterations",
        "deconvolve",
        1.5e9,
        {"method": "richardson-lucy", "iterations": 10},
    ),
    "gabor": Case(
        "Gabor energy map, strongest of 12, planes",
        "gabor",
        0.7e9,
        {
            "n_scales": 3,
            "n_orientations": 4,
            "energy": False,
            "colours": False,
            "strongest": True,
        },
    ),
}


def run_case(folder: Path, volume: Path, case: Case, way: str) -> dict[str, Any]:
    """Run a case in a process of its own; return what it cost."""
    output = folder / "result.ome.zarr"
    inputs = {"image": str(volume)}
    if case.operation == "deconvolve":
        inputs["psf"] = str(folder / "psf.tif")
    task = {
        "way": way,
        "operation": case.operation,
        "parameters": case.parameters,
        "inputs": inputs,
        "output": str(output),
        "memory_limit": case.memory_limit,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "large_data_run.py"), json.dumps(task)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    shutil.rmtree(output, ignore_errors=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report_growth(
    folder: Path, volumes: dict[Path, float], cases: list[Case]
) -> dict[tuple[str, Path], dict[str, Any]]:
    """Print memory and time of every case on every volume; return the runs."""
    print("## One process\n")
    print(
        "| case | voxels | tiles + halo | peak | planned | peak / planned | "
        + " | ".join(PHASES)
        + " | all | voxels / one piece |"
    )
    print("|" + "---|" * (8 + len(PHASES)))
    runs = {}
    for case in cases:
        for volume, voxels in volumes.items():
            found = runs[case.title, volume] = run_case(folder, volume, case, "loop")
            print(_row(case, voxels, found), flush=True)
    print(
        "\nThe phases are processor seconds per million voxels of the image; *all* is the whole "
        "process, with its start and planning. *Writing* includes compression and the coarser "
        "levels.\n"
    )
    if len(volumes) > 1:
        _report_ratios(volumes, cases, runs)
    return runs


def _row(case: Case, voxels: float, found: dict[str, Any]) -> str:
    plan = found["plan"]
    tiling = Tiling.from_dict(plan["tiling"])
    phases = " | ".join(f"{found['phases'][name] / voxels:.4f}" for name in PHASES)
    return (
        f"| {case.title} | {voxels:.0f} M | {len(tiling)} of {_times(tiling.core)} + "
        f"{_times(tiling.halo)} | {found['peak'] / 1e6:.0f} MB | {plan['memory'] / 1e6:.0f} MB | "
        f"{found['peak'] / plan['memory']:.2f} | {phases} | {found['processor'] / voxels:.3f} | "
        f"{plan['overhead']:.2f} |"
    )


def _report_ratios(
    volumes: dict[Path, float],
    cases: list[Case],
    runs: dict[tuple[str, Path], dict[str, Any]],
) -> None:
    first, *_, last = volumes
    print(f"| case | voxels | memory (limit {LIMITS['memory']}) | processor time |")
    print("|---|---|---|---|")
    for case in cases:
        small, large = runs[case.title, first], runs[case.title, last]
        print(
            f"| {case.title} | {volumes[last] / volumes[first]:.2f} times | "
            f"{large['peak'] / small['peak']:.3f} times | "
            f"{large['processor'] / small['processor']:.2f} times |"
        )
    print()


def report_loop(folder: Path, megavoxels: int, cases: list[Case]) -> None:
    """Print the arithmetic of tiles beside that of a run in memory."""
    volume = folder / f"volume-{megavoxels}.ome.zarr"
    voxels = np.prod(make_volume(volume, megavoxels)) / 1e6
    print("## The loop beside a run in memory\n")
    print(f"{voxels:.0f} million voxels. Processor seconds per million voxels that are computed,")
    print("where one piece computes those of the volume, without reading and writing.\n")
    print(f"| case | tiles | in memory | in tiles | ratio (limit {LIMITS['loop']}) |")
    print("|---|---|---|---|---|")
    for case in cases:
        whole = run_case(folder, volume, case, "memory")
        limited = replace(case, memory_limit=min(case.memory_limit, SMALL_LIMIT))
        tiles = run_case(folder, volume, limited, "loop")
        one = whole["phases"]["computing"] / whole["voxels"] * 1e6
        computing = tiles["phases"]["preparing"] + tiles["phases"]["computing"]
        many = computing / tiles["voxels"] * 1e6
        count = len(Tiling.from_dict(tiles["plan"]["tiling"]))
        print(f"| {case.title} | {count} | {one:.4f} | {many:.4f} | {many / one:.2f} |", flush=True)
    print()
    shutil.rmtree(volume)


def report_workers(
    folder: Path,
    volumes: dict[Path, float],
    cases: list[Case],
    runs: dict[tuple[str, Path], dict[str, Any]],
) -> None:
    """Print two dask workers beside the loop."""
    volume, voxels = list(volumes.items())[-1]
    print("## Two dask workers beside the loop\n")
    print(f"{voxels:.0f} million voxels. Processor seconds of all processes.\n")
    print(f"| case | loop | two workers | ratio (limit {LIMITS['workers']}) | of the tiles alone |")
    print("|---|---|---|---|---|")
    for case in cases:
        loop, workers = runs[case.title, volume], run_case(folder, volume, case, "workers")
        alone = [sum(found["phases"].values()) for found in (workers, loop)]
        print(
            f"| {case.title} | {loop['processor']:.1f} | {workers['processor']:.1f} | "
            f"{workers['processor'] / loop['processor']:.2f} | {alone[0] / alone[1]:.2f} |",
            flush=True,
        )
    print("\nThe start of the workers is in the first ratio, and not in that of the tiles alone.")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--megavoxels", default="128,512", help="sizes, as 128,512")
    parser.add_argument("--in-memory", type=int, default=32, help="size of the run in memory")
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {','.join(CASES)}")
    options = parser.parse_args()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        report(Path(name), options)


def report(folder: Path, options: argparse.Namespace) -> None:
    """Print all tables."""
    cases = [CASES[name] for name in options.cases.split(",")]
    make_psf(folder / "psf.tif")
    report_loop(folder, options.in_memory, cases)
    volumes = {}
    for megavoxels in (int(word) for word in options.megavoxels.split(",")):
        volume = folder / f"volume-{megavoxels}.ome.zarr"
        volumes[volume] = np.prod(make_volume(volume, megavoxels)) / 1e6
    runs = report_growth(folder, volumes, cases)
    report_workers(folder, volumes, cases, runs)


if __name__ == "__main__":
    main()
