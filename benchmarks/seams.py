"""Seams: what runs in tiles differ by from the same runs in one piece, and what was predicted.

``python -m benchmarks seams`` deconvolves small scenes whole and in tiles, whose memory limit is
a share of what the whole takes; ``--quick`` leaves out the volumes.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from seam_cases import PLANE, VOLUME, blurred_scene, parameter_grid, point_spread_functions

from napari_convfact.batch.costs import Costs
from napari_convfact.batch.method import TileMethod
from napari_convfact.batch.plan import BASE_MEMORY, TilePlan, plan_tiles
from napari_convfact.batch.process import Prepared, compute_tile
from napari_convfact.batch.registry import tiled_operation
from napari_convfact.deconvolution.deconvolve import deconvolve
from napari_convfact.foundation.job import run
from napari_convfact.kernels.prepare import prepare_kernel
from napari_convfact.operations.deconvolve import OPERATION, Deconvolve
from napari_convfact.operations.operation import SpatialImage

TOLERANCES = (1e-3, 1e-4)
# What tiles may take of the memory of the whole; the second if the first is refused.
SHARES = (0.6, 0.8)
# Least squares for a scene without end stop while it is still moving at the faces.
RIM = 40

EXPLANATION = f"""
Errors are the largest difference between tiles and the whole image, relative to the range of the
result (0.1 to 99.9 %). *Within* counts the cases below what was allowed, *predicted* those below
what the plan said. *Refused* are cases that the plan would not cut, with a sentence: the result
depends on more than half a tile around. The images have {PLANE} and {VOLUME} samples.
Least squares for a scene without end stop before what lies beyond the image has settled, in one
piece as in tiles. They are compared {RIM} samples (or a quarter of a short axis) away from the
image's faces. *At the faces* is the largest difference between tiles and whole anywhere,
*unsettled* the largest difference between the whole and the solution that it would converge to.
"""


@dataclass(frozen=True)
class Row:
    """A run in tiles beside the whole; without an error where tiles were refused."""

    case: str
    group: str
    tolerance: float
    halo: tuple[int, ...] = ()
    predicted: float = math.nan
    error: float = math.nan
    at_faces: float = math.nan
    unsettled: float = 0.0

    @property
    def tiled(self) -> bool:
        """Whether the plan cut the image."""
        return not math.isnan(self.error)

    @property
    def within(self) -> bool:
        """Whether the error is what was allowed."""
        return self.error <= self.tolerance

    @property
    def foreseen(self) -> bool:
        """Whether the error is what was predicted."""
        return self.error <= self.predicted


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield a row for every case and tolerance."""
    for name, psf in point_spread_functions():
        if quick and psf.ndim == 3:
            continue
        print(name, file=sys.stderr, flush=True)
        inputs = {"image": blurred_scene(psf), "psf": SpatialImage(psf, "psf")}
        for group, parameters in parameter_grid(psf.ndim):
            words = ", ".join(f"{k} {v}" for k, v in parameters.items() if k != "method")
            yield from compare(
                inputs, parameters, f"{name}: {parameters['method']}, {words}", group
            )


def compare(
    inputs: dict[str, SpatialImage], parameters: dict[str, Any], case: str, group: str
) -> Iterator[Row]:
    """Run a case whole, and in tiles for every tolerance."""
    chosen = Deconvolve.from_dict(parameters)
    tiled = tiled_operation(OPERATION)
    method = tiled.method(inputs, chosen, run(tiled.constants(inputs, chosen)))
    stopped = chosen.boundary == "extended" and chosen.method != "richardson-lucy"
    whole = None
    for tolerance in TOLERANCES:
        try:
            plan = plan_in_tiles(inputs["image"], method, tolerance)
        except ValueError:
            yield Row(case, group, tolerance)
            continue
        if whole is None:
            whole = run(OPERATION.job(inputs, chosen))[0].data
            settled = converged(inputs, parameters) if stopped else whole
        values = run_in_tiles(inputs["image"], Prepared(plan.tiling, method))
        rim = [min(RIM, n // 4) if stopped else 0 for n in whole.shape]
        error = relative_error(values, whole, rim)
        faces, unsettled = (relative_error(v, whole, [0] * v.ndim) for v in (values, settled))
        errors = error, faces, unsettled
        yield Row(case, group, tolerance, plan.tiling.halo, plan.seam_error, *errors)


def converged(inputs: dict[str, SpatialImage], parameters: dict[str, Any]) -> np.ndarray:
    """Return the least squares that a run in one piece stops short of."""
    psf, _ = prepare_kernel(inputs["psf"].data)
    limits = {"tolerance": 1e-7, "iterations": 400, "dtype": "float64"}
    return deconvolve(inputs["image"].data, psf, **parameters, **limits).estimate


def plan_in_tiles(image: SpatialImage, method: TileMethod, tolerance: float) -> TilePlan:
    """Plan with too little memory for the whole, as a run in tiles does."""
    reach = run(method.reach(image, tolerance))
    shape = image.data.shape
    needed = method.bytes_per_voxel * math.prod(method.work_shape(method.torus(shape)))
    for share in SHARES:
        try:
            return plan_tiles(shape, method, reach, BASE_MEMORY + share * needed)
        except ValueError as error:
            refusal = error
    raise refusal


def run_in_tiles(image: SpatialImage, prepared: Prepared) -> np.ndarray:
    """Return the estimate of all tiles side by side."""
    tiling = prepared.tiling
    values = np.empty(image.data.shape, np.float32)
    for tile in tiling:
        box = tuple(slice(a, b) for a, b in zip(tile.start, tile.stop, strict=True))
        (values[box],) = run(compute_tile(image.data, tile, tiling.halo, prepared, Costs()))
    return values


def relative_error(values: np.ndarray, whole: np.ndarray, rim: Sequence[int]) -> float:
    """Return the largest difference in units of the range, without a rim at the faces."""
    low, high = np.percentile(whole, [0.1, 99.9])
    inside = tuple(slice(r, n - r) for r, n in zip(rim, whole.shape, strict=True))
    return float(np.abs(values - whole)[inside].max() / (high - low))


def report(found: Sequence[Row]) -> None:
    """Print a summary for each method and tolerance, and what failed."""
    print(
        "| method | allowed | cases | refused | tiled | within | predicted | "
        "largest error | largest error / predicted | at the faces | unsettled |"
    )
    print("|" + "---|" * 11)
    groups = dict.fromkeys((row.group, row.tolerance) for row in found)
    for group in groups:
        summarize(*group, [row for row in found if (row.group, row.tolerance) == group])
    for tolerance in TOLERANCES:
        summarize("all", tolerance, [row for row in found if row.tolerance == tolerance])
    failed = [row for row in found if row.tiled and not (row.within and row.foreseen)]
    print(f"\nAbove what was allowed or predicted: {len(failed)}.\n")
    if failed:
        print("| case | allowed | halo | predicted | error |\n|---|---|---|---|---|")
    for row in sorted(failed, key=lambda row: -row.error / row.tolerance):
        halo = " x ".join(map(str, row.halo))
        print(
            f"| {row.case} | {row.tolerance:g} | {halo} | {row.predicted:.1e} | {row.error:.1e} |"
        )


def summarize(group: str, tolerance: float, found: Sequence[Row]) -> None:
    """Print a line of the summary."""
    tiled = [row for row in found if row.tiled]
    within, foreseen = (sum(getattr(row, name) for row in tiled) for name in ("within", "foreseen"))
    numbers = [f"{len(found)} | {len(found) - len(tiled)} | {len(tiled)} | {within}"]
    numbers += [f"{foreseen} ({foreseen / max(1, len(tiled)):.1%})"]
    numbers += [f"{max((row.error for row in tiled), default=0):.1e}"]
    numbers += [f"{max((row.error / row.predicted for row in tiled), default=0):.2g}"]
    for name in ("at_faces", "unsettled"):
        numbers.append(f"{max((getattr(row, name) for row in tiled), default=0):.1e}")
    print(f"| {group} | {tolerance:g} | {' | '.join(numbers)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the volumes")
    found = list(rows(quick=parser.parse_args().quick))
    print(EXPLANATION)
    report(found)


if __name__ == "__main__":
    main()
