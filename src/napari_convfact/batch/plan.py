"""Choose tiles: as little padding as the memory allows, or a sentence why there is no way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_convfact.batch.choice import TileChoice
from napari_convfact.batch.costs import format_seconds
from napari_convfact.batch.halo import Reach
from napari_convfact.batch.method import TileMethod
from napari_convfact.batch.source import SLAB_MEMORY
from napari_convfact.batch.tiles import Tiling
from napari_convfact.foundation.memory import format_bytes

#: What the program itself takes: the interpreter and the libraries.
BASE_MEMORY = 430e6
# Tiles that compute this many times the voxels of one piece are refused.
_MOST_OVERHEAD = 6.0


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
        Voxels that are computed for each that the volume in one piece would compute.
    seam_error : float
        Predicted error at the borders of tiles, relative to the result's range.
    output_bytes : float
        Size of the result before compression, without coarser levels.
    seconds : float or None
        How long one process will take for all tiles; None if that was not measured.
    """

    tiling: Tiling
    memory: float
    overhead: float
    seam_error: float
    output_bytes: float
    seconds: float | None = None

    def __str__(self) -> str:
        tiling = self.tiling
        time = (
            "" if self.seconds is None else f" About {format_seconds(self.seconds)} in one process."
        )
        if len(tiling) == 1:
            size = _times(tiling.padded)
            return f"One piece of {size} voxels, {format_bytes(self.memory)}.{time}"
        if not any(tiling.halo):
            return (
                f"{len(tiling)} pieces of {_times(tiling.core)} voxels, none of which needs "
                f"another; {format_bytes(self.memory)} of memory; the result takes "
                f"{format_bytes(self.output_bytes)}.{time}"
            )
        return (
            f"{len(tiling)} tiles of {_times(tiling.core)} voxels, computed with a halo of "
            f"{_times(tiling.halo)} as {_times(tiling.padded)}; {format_bytes(self.memory)} of "
            f"memory, {self.overhead:.2g} times the arithmetic of one piece; predicted error at "
            f"the seams {self.seam_error:.1e} of the range; the result takes "
            f"{format_bytes(self.output_bytes)}.{time}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TilePlan:
        """Undo `to_dict`, also after it went through JSON."""
        return cls(**{**record, "tiling": Tiling.from_dict(record["tiling"])})


def plan_tiles(shape: Sequence[int], method: TileMethod, reach: Reach, memory: float) -> TilePlan:
    """Choose tiles that fit and compute little more than they keep.

    Tiles are chosen for a volume without end and cut to the one at hand, so that the memory
    of a run does not depend on how large the volume is. Where other tiles save a good part of
    the arithmetic, because they fit this volume better, they are taken.

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
    check_base(memory, base)
    arrays = memory - base
    choice = TileChoice(tuple(shape), method, reach)
    tiling = choice.best(arrays)
    if tiling is None:
        needed = base + choice.needed(choice.smallest())
        raise ValueError(_too_small(needed, reach, memory))
    # A thin volume has more margin than voxels, in one piece as well: tiles are not to blame.
    overhead = choice.arithmetic(tiling) / choice.arithmetic(choice.whole())
    _check_honest(tiling, overhead, reach)
    # Windows with mirror images end beyond the faces, so that whole axes have an error as well.
    ends = [method.reading == "mirror" or c < n for c, n in zip(tiling.core, spatial, strict=True)]
    errors = [e for e, end in zip(reach.seam_error, ends, strict=True) if end]
    outputs = sum(4.0 * math.prod(output.leading) for output in method.outputs)
    return TilePlan(
        tiling,
        base + choice.needed(tiling),
        overhead,
        max(errors, default=0.0),
        outputs * math.prod(shape),
    )


def check_base(memory: float, base: float = BASE_MEMORY) -> None:
    """Raise a ValueError if so many bytes leave nothing for tiles beside the program itself."""
    if memory <= base:
        raise ValueError(
            f"A memory limit of {format_bytes(memory)} leaves nothing for tiles: the program "
            f"itself takes {format_bytes(base)}. Allow more."
        )


def _check_honest(tiling: Tiling, overhead: float, reach: Reach) -> None:
    if len(tiling) > math.prod(tiling.leading) and overhead > _MOST_OVERHEAD:
        raise ValueError(
            f"Tiles would compute {overhead:.1f} times as many voxels as one piece, because the "
            f"result depends on {_times([h or 0 for h in reach.halo])} voxels around: allow more "
            f"memory, {reach.remedy}."
        )


def _too_small(needed: float, reach: Reach, memory: float) -> str:
    whole = [f"axis {i + 1}" for i, h in enumerate(reach.halo) if h is None]
    if whole:
        reason = f"No halo keeps the error at seams across {' and '.join(whole)} as small as asked"
        larger = " or a larger seam error"
    else:
        reason = f"Tiles need a halo of {_times([h or 0 for h in reach.halo])} voxels"
        larger = ""
    return (
        f"{reason}, so that the smallest honest tile takes {format_bytes(needed)} and "
        f"{format_bytes(memory)} may be used: allow more memory{larger}, {reach.remedy}."
    )


def _times(shape: Sequence[int]) -> str:
    return " × ".join(str(n) for n in shape)
