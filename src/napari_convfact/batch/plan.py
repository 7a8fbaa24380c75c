"""Choose tiles: as little padding as the memory allows, or a sentence why there is no way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_convfact.batch.halo import Reach
from napari_convfact.batch.method import TileMethod
from napari_convfact.batch.source import SLAB_MEMORY
from napari_convfact.batch.tiles import Tiling, make_tiling
from napari_convfact.foundation.memory import format_bytes
from napari_convfact.storage.zarr_pyramid import chunk_lengths

#: What the program itself takes: the interpreter and the libraries.
BASE_MEMORY = 430e6
# Tiles that compute this many times more voxels than they keep are refused.
_MOST_OVERHEAD = 6.0
# Sizes that are tried along each axis.
_MOST_CANDIDATES = 24


@dataclass(frozen=True)
class TilePlan:
    """How a run is carried out.

    Attributes
    ----------
    tiling : Tiling
        The cut.
    memory : float
        Bytes that one process takes at its peak.
    overhead : float
        Voxels that are computed for each that is kept.
    seam_error : float
        Predicted error at the borders of tiles, relative to the result's range.
    output_bytes : float
        Size of the result before compression, without coarser levels.
    """

    tiling: Tiling
    memory: float
    overhead: float
    seam_error: float
    output_bytes: float

    def __str__(self) -> str:
        tiling = self.tiling
        if len(tiling) == 1:
            return f"One piece of {_times(tiling.padded)} voxels, {format_bytes(self.memory)}."
        return (
            f"{len(tiling)} tiles of {_times(tiling.core)} voxels, computed with a halo of "
            f"{_times(tiling.halo)} as {_times(tiling.padded)}; {format_bytes(self.memory)} of "
            f"memory, {self.overhead:.2g} times the arithmetic of one piece; predicted error at "
            f"the seams {self.seam_error:.1e} of the range; the result takes "
            f"{format_bytes(self.output_bytes)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TilePlan:
        """Undo `to_dict`, also after it went through JSON."""
        return cls(**{**record, "tiling": Tiling.from_dict(record["tiling"])})


def plan_tiles(shape: Sequence[int], method: TileMethod, reach: Reach, memory: float) -> TilePlan:
    """Choose the tiles with the least arithmetic that fit.

    Parameters
    ----------
    shape : sequence of int
        The image's shape.
    method : TileMethod
        What is computed.
    reach : Reach
        How far it sees.
    memory : float
        Bytes that one process may take, the program itself included.

    Returns
    -------
    TilePlan

    Raises
    ------
    ValueError
        If no tiles fit, or if they would be mostly halo.
    """
    ndim = method.ndim
    spatial = tuple(shape)[len(shape) - ndim :]
    base = BASE_MEMORY + (SLAB_MEMORY if len(shape) > ndim else 0)
    arrays = memory - base
    if arrays <= 0:
        raise ValueError(
            f"A memory limit of {format_bytes(memory)} leaves nothing for tiles: the program "
            f"itself takes {format_bytes(base)}. Allow more."
        )
    sizes = zip(spatial, reach.halo, chunk_lengths(ndim), strict=True)
    axes = [_cores(n, h, c) for n, h, c in sizes]
    best: tuple[float, float, Tiling] | None = None
    torus = method.torus(spatial)
    for core in itertools.product(*axes):
        tiling = make_tiling(shape, ndim, core, reach.halo, method.reading, torus)
        work = method.work_shape(tiling.padded)
        needed = method.bytes_per_voxel * math.prod(work)
        cost = float(len(tiling) * math.prod(work))
        if needed <= arrays and (best is None or cost < best[0]):
            best = cost, needed, tiling
    if best is None:
        raise ValueError(_too_small(spatial, axes, method, reach, memory))
    cost, needed, tiling = best
    overhead = cost / math.prod(shape)
    _check_honest(tiling, overhead, reach)
    tiled = [c < n for c, n in zip(tiling.core, spatial, strict=True)]
    errors = [e for e, cut in zip(reach.seam_error, tiled, strict=True) if cut]
    outputs = sum(4.0 * math.prod(output.leading) for output in method.outputs)
    return TilePlan(
        tiling, base + needed, overhead, max(errors, default=0.0), outputs * math.prod(shape)
    )


def _cores(n: int, halo: int | None, chunk: int) -> list[int]:
    """Return the sizes of tiles that are tried along an axis."""
    counts = range(1, math.ceil(n / chunk))
    if len(counts) > _MOST_CANDIDATES:
        ratio = len(counts) ** (1 / (_MOST_CANDIDATES - 1))
        counts = sorted({round(ratio**i) for i in range(_MOST_CANDIDATES)})  # type: ignore[assignment]
    # A halo of more than half a tile on each side is no longer a margin.
    parts = [] if halo is None else [k * chunk for k in counts if k * chunk >= 2 * halo]
    return [n, *reversed([p for p in parts if p < n])]


def _check_honest(tiling: Tiling, overhead: float, reach: Reach) -> None:
    if len(tiling) > math.prod(tiling.leading) and overhead > _MOST_OVERHEAD:
        raise ValueError(
            f"Tiles would compute {overhead:.1f} voxels for each that they keep, because the "
            f"result depends on {_times([h or 0 for h in reach.halo])} voxels around: allow more "
            "memory, regularize more, or use a smaller kernel."
        )


def _too_small(
    spatial: Sequence[int],
    axes: Sequence[Sequence[int]],
    method: TileMethod,
    reach: Reach,
    memory: float,
) -> str:
    smallest = make_tiling(
        spatial,
        method.ndim,
        [min(axis) for axis in axes],
        reach.halo,
        method.reading,
        method.torus(tuple(spatial)),
    )
    needed = BASE_MEMORY + method.bytes_per_voxel * math.prod(method.work_shape(smallest.padded))
    whole = [f"axis {i + 1}" for i, h in enumerate(reach.halo) if h is None]
    if whole:
        reason = f"The result depends on voxels too far away to cut {' and '.join(whole)}"
    else:
        reason = f"Tiles need a halo of {_times([h or 0 for h in reach.halo])} voxels"
    return (
        f"{reason}, so that the smallest honest tile takes {format_bytes(needed)} and "
        f"{format_bytes(memory)} may be used: allow more memory, regularize more, or use a "
        "smaller kernel."
    )


def _times(shape: Sequence[int]) -> str:
    return " × ".join(str(n) for n in shape)
