"""What is to be run in tiles, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from napari_convfact.batch.registry import tiled_operation
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters

#: Error at the borders of tiles that is allowed, relative to the range of the result.
SEAM_ERROR = 1e-3


@dataclass(frozen=True)
class Request:
    """What is to be run.

    Attributes
    ----------
    operation : Operation
        One that can be tiled.
    parameters : Parameters
        Its parameters.
    inputs : mapping of str to SpatialImage
        The image's data need shape, dtype and slicing only.
    output : Path
        Where the first result goes, ending in ``.zarr``.
    """

    operation: Operation
    parameters: Parameters
    inputs: Mapping[str, SpatialImage]
    output: Path

    @cached_property
    def tiled_inputs(self) -> dict[str, SpatialImage]:
        """The inputs as tiles take them.

        Raises
        ------
        ValueError
            If the operation cannot be tiled, or not on colour images.
        """
        return tiled_operation(self.operation).inputs(self.inputs)


@dataclass(frozen=True)
class Options:
    """How it is to be run.

    Attributes
    ----------
    memory_limit : float or None
        Bytes for each process; None takes a share of what is free.
    resume : bool
        Go on with an unfinished run.
    overwrite : bool
        Replace results and unfinished runs.
    shard : tuple of int or None
        ``(i, n)``: process every n-th tile from the i-th, counted from 1.
    scheduler : str or None
        ``"local:2"`` for so many processes, or the address of a dask scheduler.
    seam_error : float
        Largest error at the borders of tiles, relative to the range of the result.
    """

    memory_limit: float | None = None
    resume: bool = False
    overwrite: bool = False
    shard: tuple[int, int] | None = None
    scheduler: str | None = None
    seam_error: float = SEAM_ERROR

    def __post_init__(self) -> None:
        if not 0 < self.seam_error < 1:
            raise ValueError(
                f"The seam error must be a share between 0 and 1, not {self.seam_error!r}."
            )
        if self.shard is not None:
            _check_shard(self.shard)

    @property
    def joining(self) -> bool:
        """Whether the run may have been begun before, or by others."""
        return self.resume or self.shard is not None


def _check_shard(shard: tuple[int, int]) -> None:
    """Raise a ValueError unless it is two whole numbers, the first up to the second."""
    whole = all(isinstance(n, (int, np.integer)) for n in shard)
    if not (whole and len(shard) == 2 and 1 <= shard[0] <= shard[1]):
        raise ValueError(
            f"The shard must be two whole numbers, from (1, n) to (n, n), not {shard!r}."
        )


DEFAULT_OPTIONS = Options()
