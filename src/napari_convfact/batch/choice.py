"""Which of all tiles that fit to take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_convfact.batch.halo import Reach
from napari_convfact.batch.method import TileMethod
from napari_convfact.batch.missing import FILLING
from napari_convfact.batch.tiles import Tiling, make_tiling, window_length
from napari_convfact.storage.zarr_pyramid import chunk_lengths

# Sizes that are tried along each axis, in chunks.
_MULTIPLES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128)
# Tiles stop growing where that saves less arithmetic than this.
_WORTH_GROWING = 1.05
# Arithmetic that is given up for tiles that do not depend on the volume's size.
_WORTH_FITTING = 1.15


@dataclass(frozen=True)
class TileChoice:
    """The tiles that are possible for a volume.

    Attributes
    ----------
    shape : tuple of int
        The image's shape.
    method : TileMethod
        What is computed.
    reach : Reach
        How far it sees.
    """

    shape: tuple[int, ...]
    method: TileMethod
    reach: Reach

    @property
    def spatial(self) -> tuple[int, ...]:
        """Shape of the spatial axes."""
        return self.shape[len(self.shape) - self.method.ndim :]

    def needed(self, tiling: Tiling) -> float:
        """Return the bytes of a tile's arrays."""
        return self._bytes_per_voxel * math.prod(self.method.work_shape(tiling.padded))

    @property
    def _bytes_per_voxel(self) -> float:
        """The larger of what computing takes and filling the window before."""
        computing = self.method.bytes_per_voxel
        return max(computing, FILLING) if self.method.fills_missing else computing

    def arithmetic(self, tiling: Tiling) -> float:
        """Return how many voxels are computed in all."""
        work_shape = self.method.work_shape
        sizes = tiling.window_sizes()
        return float(sum(count * math.prod(work_shape(size)) for size, count in sizes))

    def best(self, memory: float) -> Tiling | None:
        """Return the tiles to take for so many bytes, or None if none fit."""
        whole = self.whole()
        if self.needed(whole) <= memory:
            return whole
        fitting = [tiling for tiling in self._all() if self.needed(tiling) <= memory]
        if not fitting:
            return None
        least = min(fitting, key=self.arithmetic)
        steady = self._steady(memory)
        if steady is None or self.arithmetic(steady) > _WORTH_FITTING * self.arithmetic(least):
            return least
        return steady

    def whole(self) -> Tiling:
        """Return the volume in one piece."""
        return self._tiling(self.spatial)

    def smallest(self) -> Tiling:
        """Return the tiles that take the least memory."""
        return self._tiling([min(axis) for axis in self._axes()])

    def _all(self) -> Iterator[Tiling]:
        return (self._tiling(core) for core in itertools.product(*self._axes()))

    def _tiling(self, core: Sequence[int]) -> Tiling:
        method = self.method
        torus = method.torus(self.spatial)
        return make_tiling(self.shape, method.ndim, core, self.reach.halo, method.reading, torus)

    def _axes(self) -> list[list[int]]:
        """Return the sizes that are tried along each axis."""
        return [
            [n, *(c for c in reversed(cores) if c < n)]
            for n, cores in zip(self.spatial, self._cores(), strict=True)
        ]

    def _cores(self) -> list[list[int]]:
        """Return the sizes that tiles may have along each axis of a volume without end."""
        chunks = chunk_lengths(self.method.ndim)
        # A halo of more than half a tile on each side is no longer a margin.
        return [
            [] if halo is None else [k * chunk for k in _MULTIPLES if k * chunk >= 2 * halo]
            for halo, chunk in zip(self.reach.halo, chunks, strict=True)
        ]

    def _steady(self, memory: float) -> Tiling | None:
        """Choose tiles for a volume without end; axes that are shorter than a tile stay whole."""
        torus = self.method.torus(self.spatial)
        whole = [halo is None for halo in self.reach.halo]
        while True:
            axes = [
                [(n, t)] if keep else [(c, self._window(axis, c)) for c in cores]
                for axis, (n, t, keep, cores) in enumerate(
                    zip(self.spatial, torus, whole, self._cores(), strict=True)
                )
            ]
            core = self._efficient(axes, memory)
            if core is None:
                return None
            short = [
                not keep and c >= n for keep, c, n in zip(whole, core, self.spatial, strict=True)
            ]
            if not any(short):
                return self._tiling(core)
            whole = [a or b for a, b in zip(whole, short, strict=True)]

    def _window(self, axis: int, core: int) -> int:
        return window_length(core, self.reach.halo[axis] or 0, math.inf, self.method.reading)

    def _efficient(
        self, axes: Sequence[Sequence[tuple[int, int]]], memory: float
    ) -> tuple[int, ...] | None:
        """Return the smallest tile whose overhead is hardly larger than the least."""
        found = []
        for sizes in itertools.product(*axes):
            work = math.prod(self.method.work_shape(tuple(window for _, window in sizes)))
            if self._bytes_per_voxel * work <= memory:
                core = tuple(c for c, _ in sizes)
                found.append((work, work / math.prod(core), core))
        if not found:
            return None
        most = _WORTH_GROWING * min(overhead for _, overhead, _ in found)
        return min((work, core) for work, overhead, core in found if overhead <= most)[1]
