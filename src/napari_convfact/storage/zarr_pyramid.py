"""Write an OME-Zarr image with its coarser levels, in boxes that never share a file.

A shard is one file and can only be written as a whole: two writers of one shard lose each
other's voxels without an error. Boxes are therefore whole shards at every level.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.provenance import METADATA_KEY
from napari_convfact.storage.zarr_axes import StoredAxes, long_unit

# Longest axis of the coarsest level, and the shortest axis that is still halved.
_COARSEST, _LEAST_HALVED = 512, 128
_CHUNK = {1: 2**16, 2: 256, 3: 64}
# Voxels of a shard where nobody has a reason for another size.
_SHARD_VOXELS = 2**24

Box = tuple[tuple[int, ...], tuple[int, ...]]


def chunk_lengths(ndim: int) -> tuple[int, ...]:
    """Return the size of a chunk, of which shards are whole multiples."""
    return (_CHUNK[ndim],) * ndim


def default_shard(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shard of some 16 million voxels for an image of this spatial shape."""
    shard, chunk = list(shape), chunk_lengths(len(shape))
    while math.prod(shard) > _SHARD_VOXELS:
        axis = shard.index(max(shard))
        half = math.ceil(shard[axis] / 2 / chunk[axis]) * chunk[axis]
        if half >= shard[axis]:
            break
        shard[axis] = half
    return tuple(shard)


@dataclass(frozen=True)
class Level:
    """One resolution.

    Attributes
    ----------
    factor : tuple of int
        Voxels of the full resolution in one of this, along each spatial axis.
    shape, shard, chunk : tuple of int
        Spatial sizes.
    """

    factor: tuple[int, ...]
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]


def plan_levels(shape: Sequence[int], shard: Sequence[int]) -> list[Level]:
    """Return the levels of a pyramid, whose shards are the shrunken shards of the first.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape.
    shard : sequence of int
        Along each axis the whole length, or a multiple of the chunk.

    Raises
    ------
    ValueError
        If a shard is neither.
    """
    chunk = chunk_lengths(len(shape))
    for n, s, c in zip(shape, shard, chunk, strict=True):
        if s != n and s % c:
            raise ValueError(
                f"A shard of {s} voxels along an axis of {n} is neither the whole axis nor a "
                f"multiple of the chunk of {c}."
            )
    levels = []
    factor = [1] * len(shape)
    while True:
        levels.append(_level(shape, shard, chunk, factor))
        if max(levels[-1].shape) <= _COARSEST:
            return levels
        halved = [
            2 * f if m > _LEAST_HALVED and (s == n or s % (2 * f) == 0) else f
            for f, m, n, s in zip(factor, levels[-1].shape, shape, shard, strict=True)
        ]
        if halved == factor:
            return levels
        factor = halved


def _level(
    shape: Sequence[int], shard: Sequence[int], chunk: Sequence[int], factor: Sequence[int]
) -> Level:
    sizes, shards, chunks = [], [], []
    for n, s, c, f in zip(shape, shard, chunk, factor, strict=True):
        length = -(-n // f)
        whole = s == n
        part = length if whole else s // f
        c = min(c, part)
        sizes.append(length)
        chunks.append(c if whole or part % c == 0 else part)
        shards.append(-(-part // chunks[-1]) * chunks[-1])
    return Level(tuple(factor), tuple(sizes), tuple(shards), tuple(chunks))


class Pyramid:
    """An OME-Zarr image that is open for writing.

    Parameters
    ----------
    path : str or Path
        Of an image that `create_pyramid` made.
    axes : StoredAxes
        Where the image's axes are in the file.
    shape : tuple of int
        The image's shape.
    ndim : int
        Spatial axes of the boxes that are written.
    shard : tuple of int
        Size of a box.
    labels : bool
        Whether coarser levels take one voxel of each block instead of the mean.
    """

    def __init__(
        self,
        path: str | Path,
        axes: StoredAxes,
        shape: tuple[int, ...],
        ndim: int,
        shard: tuple[int, ...],
        *,
        labels: bool = False,
    ) -> None:
        import zarr

        self.axes, self.shape, self.ndim, self.shard = axes, shape, ndim, shard
        self._shrink = every_nth if labels else block_mean
        self.spatial = shape[len(shape) - ndim :]
        self.levels = plan_levels(self.spatial, shard)
        group = zarr.open_group(str(path), mode="r+")
        self.arrays: list[Any] = [group[str(i)] for i in range(len(self.levels))]

    def boxes(self) -> Iterator[Box]:
        """Yield start and stop of each box of the spatial axes."""
        grid = [range(0, n, s) for n, s in zip(self.spatial, self.shard, strict=True)]
        for start in itertools.product(*grid):
            ends = zip(start, self.shard, self.spatial, strict=True)
            yield start, tuple(min(a + s, n) for a, s, n in ends)

    def write(self, leading: Sequence[int], start: Sequence[int], values: np.ndarray) -> None:
        """Write a box at all levels.

        Parameters
        ----------
        leading : sequence of int
            Index of the image's leading axes.
        start : sequence of int
            First voxel of the box, along each of the `ndim` spatial axes.
        values : numpy.ndarray
            The box.

        Raises
        ------
        ValueError
            If the box is not made of whole shards: it would destroy its neighbours.
        """
        check_aligned(start, values.shape, self.shard, self.spatial)
        index = self.axes.index(leading, self.shape)
        factor = self.levels[0].factor
        for level, array in zip(self.levels, self.arrays, strict=True):
            steps = [f // g for f, g in zip(level.factor, factor, strict=True)]
            values, factor = self._shrink(values, steps), level.factor
            first = [a // f for a, f in zip(start, factor, strict=True)]
            window = tuple(slice(a, a + n) for a, n in zip(first, values.shape, strict=True))
            array[(*index, *window)] = values.astype(array.dtype, copy=False)

    def read(self, leading: Sequence[int], start: Sequence[int], stop: Sequence[int]) -> np.ndarray:
        """Return the values of a box at full resolution."""
        index = self.axes.index(leading, self.shape)
        window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return np.asarray(self.arrays[0][(*index, *window)])


def check_aligned(
    start: Sequence[int], size: Sequence[int], shard: Sequence[int], shape: Sequence[int]
) -> None:
    """Raise a ValueError unless a box is made of whole shards."""
    for a, n, s, whole in zip(start, size, shard, shape, strict=True):
        if a % s or (n % s and a + n != whole):
            raise ValueError(
                f"A box from {tuple(start)} of {tuple(size)} voxels is not made of whole shards "
                f"of {tuple(shard)}: writers would destroy each other's voxels."
            )


def every_nth(values: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Return the first value of each block, as names of things have no mean."""
    return values[tuple(slice(None, None, step) for step in steps)]


def block_mean(values: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Return the means of blocks; blocks at the end may be smaller.

    Integers are rounded and keep their type.
    """
    dtype = values.dtype
    for axis, step in enumerate(steps):
        if step == 1:
            continue
        n = values.shape[axis]
        starts = np.arange(0, n, step)
        counts = np.diff(np.append(starts, n)).astype(np.float32)
        work = values.astype(np.float32 if dtype.itemsize <= 4 else np.float64, copy=False)
        shape = [1] * values.ndim
        shape[axis] = -1
        values = np.add.reduceat(work, starts, axis) / counts.reshape(shape)
    return np.rint(values).astype(dtype) if dtype.kind in "iu" else values.astype(dtype, copy=False)


def create_pyramid(
    path: str | Path,
    image: SpatialImage,
    *,
    dtype: Any,
    ndim: int,
    shard: Sequence[int],
    provenance: Mapping[str, Any] | None = None,
) -> Pyramid:
    """Create an empty OME-Zarr 0.5 image.

    Parameters
    ----------
    path : str or Path
        An empty folder, or a name that is free.
    image : SpatialImage
        Shape, voxel size, units and labels; of its data only the shape is used.
    dtype : data-type
        Of the values.
    ndim : int
        Spatial axes of the boxes that will be written.
    shard : sequence of int
        Size of a box, see `plan_levels`.
    provenance : mapping, optional
        JSON-ready record of how the image was made.

    Returns
    -------
    Pyramid
    """
    import zarr
    from zarr.codecs import BloscCodec

    shape = tuple(image.data.shape)
    axes = StoredAxes.of(image.axis_labels, spatial=ndim, name=image.name)
    stored = axes.shape(shape)
    levels = plan_levels(shape[len(shape) - ndim :], shard)
    attributes: dict[str, Any] = {"ome": _metadata(image, axes, levels)}
    if provenance:
        attributes[METADATA_KEY] = dict(provenance)
    group = zarr.create_group(str(path), zarr_format=3, attributes=attributes, overwrite=True)
    leading = stored[: len(stored) - ndim]
    for number, level in enumerate(levels):
        group.create_array(
            str(number),
            shape=(*leading, *level.shape),
            chunks=(*(1,) * len(leading), *level.chunk),
            shards=(*(1,) * len(leading), *level.shard),
            dtype=np.dtype(dtype),
            fill_value=0,
            dimension_names=axes.names,
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
        )
    return Pyramid(path, axes, shape, ndim, tuple(shard))


def _metadata(image: SpatialImage, axes: StoredAxes, levels: Sequence[Level]) -> dict[str, Any]:
    scale = axes.per_axis(image.scale, 1.0)
    place = axes.per_axis(image.translate, 0.0)
    units = axes.per_axis(image.units, "pixel")
    ndim = len(levels[0].shape)
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": image.name,
                "axes": [_axis(name, unit) for name, unit in zip(axes.names, units, strict=True)],
                "datasets": [
                    {
                        "path": str(number),
                        "coordinateTransformations": _transforms(scale, place, level.factor, ndim),
                    }
                    for number, level in enumerate(levels)
                ],
            }
        ],
    }


def _axis(name: str, unit: str) -> dict[str, str]:
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    word = long_unit(unit)
    return {"name": name, "type": kind} | ({"unit": word} if word else {})


def _transforms(
    scale: Sequence[float], place: Sequence[float], factor: Sequence[int], ndim: int
) -> list[dict[str, Any]]:
    factors = (1,) * (len(scale) - ndim) + tuple(factor)
    sizes = [s * f for s, f in zip(scale, factors, strict=True)]
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": sizes}]
    # The middle of a coarse voxel is that of the block that it stands for.
    shift = [p + s * (f - 1) / 2 for p, s, f in zip(place, scale, factors, strict=True)]
    if any(shift):
        transforms.append({"type": "translation", "translation": shift})
    return transforms
