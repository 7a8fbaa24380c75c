"""Look at a run from outside: how far it is, and whether its seams are as good as promised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_convfact.batch.cluster import reopen
from napari_convfact.batch.costs import Costs, format_seconds, sum_costs
from napari_convfact.batch.manifest import Manifest, WorkFolder
from napari_convfact.batch.process import Prepared, compute_tile
from napari_convfact.batch.store import Destination, costs_of, manifest_of, output_files
from napari_convfact.foundation.job import Job, Step


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes
    ----------
    done, total : int
        Tiles.
    complete : bool
        Whether the result has its final name.
    costs : Costs
        Of the tiles that are done.
    """

    done: int
    total: int
    complete: bool
    costs: Costs

    def __str__(self) -> str:
        text = f"{self.done} of {self.total} tiles are done"
        if self.complete:
            text = f"complete, {self.total} tiles"
        if not self.done:
            return text
        if self.complete:
            return f"{text}; {self.costs}"
        left = self.costs.total / self.done * (self.total - self.done)
        return f"{text}, about {format_seconds(left)} of one process are left; {self.costs}"


def status(output: Path) -> Status:
    """Return the progress of a run from its markers.

    Raises
    ------
    ValueError
        If there is no run of that name.
    """
    work = WorkFolder(output)
    if work.exists():
        manifest = work.manifest()
        done = work.done(manifest.recipe_hash)
        return Status(len(done), len(manifest.plan.tiling), False, sum_costs(done.values()))
    total = len(manifest_of(output).plan.tiling)
    return Status(total, total, True, costs_of(output))


@dataclass(frozen=True)
class Verification:
    """What recomputed tiles say.

    Attributes
    ----------
    tiles : int
        How many were recomputed.
    seam_error : float
        Largest difference from the stored ones, relative to the range of the result in all of
        them; infinite where one of the two has a value and the other none.
    predicted : float
        What the plan promised.
    """

    tiles: int
    seam_error: float
    predicted: float

    def __str__(self) -> str:
        if math.isinf(self.seam_error):
            return (
                f"{self.tiles} tiles recomputed with a doubled halo have values at other voxels "
                "than the stored ones: these were changed, or their source was"
            )
        return (
            f"{self.tiles} tiles recomputed with a doubled halo differ from the stored ones by "
            f"{self.seam_error:.1e} of the range; predicted {self.predicted:.1e}"
        )


def verify_job(output: Path, count: int = 4, seed: int = 0) -> Job[Verification]:
    """Recompute random tiles with a doubled halo (a job).

    Parameters
    ----------
    output : Path
        A complete result whose sources are still where they were.
    count : int
        Tiles to recompute.
    seed : int
        Of the choice.

    Raises
    ------
    ValueError
        If there is no such result, others of its run or its sources are gone, or no tile is
        asked for.
    """
    if count < 1:
        raise ValueError(f"At least one tile must be recomputed, not {count}.")
    if seed < 0:
        raise ValueError(f"The seed must be 0 or a positive whole number, not {seed}.")
    manifest = manifest_of(output)
    inputs, prepared = reopen(manifest)
    image, tiling = inputs["image"], prepared.tiling
    files = _files(output, manifest, prepared)
    stored = Destination(output.parent, files, prepared.method.outputs, image, tiling)
    numbers = np.random.default_rng(seed).permutation(len(tiling))[:count]
    doubled = [2 * h for h in tiling.halo]
    comparisons = [_Comparison() for _ in files]
    for done, number in enumerate(numbers):
        yield Step(done, len(numbers), f"Recomputing tile {number}")
        tile = tiling[int(number)]
        again = yield from compute_tile(image.data, tile, doubled, prepared, Costs())
        for comparison, new, old in zip(comparisons, again, stored.read(tile), strict=True):
            comparison.add(new, old)
    worst = max(comparison.error for comparison in comparisons)
    return Verification(len(numbers), worst, manifest.plan.seam_error)


def _files(output: Path, manifest: Manifest, prepared: Prepared) -> tuple[str, ...]:
    """Return the names of all results of the run; they may have been renamed together."""
    files = manifest.files
    if output.name not in files:
        files = output_files(output, prepared.method.outputs)
    for file in files:
        if not output.with_name(file).exists():
            raise ValueError(
                f"{file} is not beside {output.name}: bring it there, or its name back."
            )
    return files


@dataclass
class _Comparison:
    """What recomputed and stored tiles of one output have shown so far."""

    low: float = math.inf
    high: float = -math.inf
    worst: float = 0.0

    def add(self, new: np.ndarray, old: np.ndarray) -> None:
        """Compare one tile."""
        known = ~np.isnan(new)
        if np.isnan(old[known]).any() or not np.isnan(old[~known]).all():
            self.worst = math.inf  # values were lost, or made up
        if known.any():
            low, high = np.percentile(new[known], [0.1, 99.9])
            self.low, self.high = min(self.low, low), max(self.high, high)
            difference = np.abs(new[known] - old[known])
            self.worst = max(self.worst, float(np.nanmax(difference, initial=0.0)))

    @property
    def error(self) -> float:
        """Largest difference, relative to the range of all of them: one tile may be dark."""
        return self.worst / max(self.high - self.low, float(np.finfo(np.float32).tiny))
