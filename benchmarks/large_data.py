"""Volumes larger than memory: peak memory against the plan, growth, time, and the loop's cost.

Run ``python benchmarks/large_data.py --folder SCRATCH``: it makes volumes there and deletes them;
without a folder it takes a temporary one. ``--megavoxels 64 256`` chooses the sizes, ``--budget
2GB`` the memory limit. Every run is a process of its own, whose peak is what the system counted.
Times are ratios within one run of this script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_convfact.batch.tiles import Tiling
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import write_image
from napari_convfact.storage.zarr_pyramid import create_pyramid

WIENER = "deconvolve --method wiener --strength 0.01"
CASES = {
    "wiener, reflect": f"{WIENER} --boundary reflect",
    "wiener, extended": WIENER,
    "richardson-lucy, 10 iterations": "deconvolve --method richardson-lucy --iterations 10",
    "gabor, strongest of 12": "gabor --n-scales 3 --n-orientations 4 --no-energy --no-colours "
    "--strongest",
    "gaussian, sigma 3, 3-D": "convolve --kind gaussian --sigma 3 --ndim 3",
}
VOXEL_SIZE, UNITS, AXES = (0.3, 0.1, 0.1), ("um",) * 3, ("z", "y", "x")

# Runs the command line in this process and prints what it cost.
RUN = """
import json, resource, sys, time
from napari_convfact.cli import main
start = time.perf_counter()
status = main(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"status": status, "peak": usage.ru_maxrss * 1024,
                  "cpu": usage.ru_utime + usage.ru_stime, "wall": time.perf_counter() - start}))
"""


def make_volume(path: Path, megavoxels: int) -> tuple[int, ...]:
    """Write a volume of noisy beads, slab by slab."""
    edge = 64 * round((megavoxels * 1e6 / 128) ** 0.5 / 64)
    shape = (128, edge, edge)
    rng = np.random.default_rng(0)
    image = SpatialImage(zarr.empty(shape, dtype="u2"), "beads", VOXEL_SIZE, UNITS, AXES)
    pyramid = create_pyramid(path, image, dtype="u2", ndim=3, shard=(128, 256, 256))
    for start, stop in pyramid.boxes():
        size = tuple(b - a for a, b in zip(start, stop, strict=True))
        values = rng.poisson(20.0, size).astype(np.uint16)
        for z, y, x in zip(*(rng.integers(3, n - 3, 2000) for n in size), strict=True):
            values[z - 1 : z + 2, y - 2 : y + 3, x - 2 : x + 3] += 100
        pyramid.write((), start, values)
    return shape


def make_psf(path: Path) -> None:
    """Write a PSF of 13 x 13 x 13 voxels."""
    line = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    psf = (line[:, None, None] * line[:, None] * line).astype(np.float32)
    write_image(path, SpatialImage(psf, "psf", VOXEL_SIZE, UNITS, AXES), overwrite=True)


def run_case(folder: Path, volume: Path, command: str, budget: str) -> dict[str, Any]:
    """Run one case in a process of its own; return its cost beside what was planned."""
    output = folder / "result.ome.zarr"
    name, *flags = command.split()
    psf = ["--psf", str(folder / "psf.tif")] if name == "deconvolve" else []
    arguments = [name, str(volume), *psf, *flags, "-o", str(output), "--memory-limit", budget]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True
    )
    cost = json.loads(done.stdout.splitlines()[-1])
    if cost["status"]:
        raise RuntimeError(done.stderr)
    plan = zarr.open_group(output, mode="r").attrs["napari_convfact"].get("run", {}).get("plan")
    shutil.rmtree(output)
    if plan is None:
        raise RuntimeError("It ran in memory: take a smaller budget or a larger volume.")
    tiling = Tiling.from_dict(plan["tiling"])
    return cost | {"planned": plan["memory"], "tiling": tiling}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--megavoxels", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--budget", default="2GB")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        report(options.folder, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), options)


def report(folder: Path, options: argparse.Namespace) -> None:
    make_psf(folder / "psf.tif")
    print("| case | voxels | tiles | peak | planned | peak / planned | s CPU per Mvoxel |")
    print("|---|---|---|---|---|---|---|")
    for megavoxels in options.megavoxels:
        volume = folder / f"volume-{megavoxels}.ome.zarr"
        shape = make_volume(volume, megavoxels)
        voxels = np.prod(shape) / 1e6
        for name in options.cases:
            cost = run_case(folder, volume, CASES[name], options.budget)
            tiling = cost["tiling"]
            print(
                f"| {name} | {voxels:.0f} M | {len(tiling)} of {tiling.core} + {tiling.halo} | "
                f"{cost['peak'] / 1e6:.0f} MB | {cost['planned'] / 1e6:.0f} MB | "
                f"{cost['peak'] / cost['planned']:.2f} | {cost['cpu'] / voxels:.3f} |",
                flush=True,
            )
        shutil.rmtree(volume)


if __name__ == "__main__":
    main()
