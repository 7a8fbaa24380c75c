"""How a volume is cut into tiles, and which voxels each needs to see."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Reading = Literal["inside", "mirror", "periodic", "reflect", "zero"]


@dataclass(frozen=True)
class Tile:
    """A part of the result.

    Attributes
    ----------
    number : int
        Its place in the order of all tiles.
    leading : tuple of int
        Index of the leading axes (time, channel, position).
    start, stop : tuple of int
        Its box along the spatial axes.
    """

    number: int
    leading: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """Voxels along each spatial axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))


@dataclass(frozen=True)
class Tiling:
    """The cut of a volume.

    Every tile is computed from a window that is larger by a halo on each side, in one of three
    ways. With ``reading="inside"`` windows that would reach beyond the volume are moved
    inwards: they then end at the volume's face, where the operation's own boundary is right,
    and reach further than needed on the other side. With ``"mirror"`` they see the volume's
    mirror images there. Otherwise windows are taken from the torus on which the whole volume
    would be transformed, and what lies in its gap is made up as it is there. The last tiles
    along an axis may be shorter, and so are their windows.

    Attributes
    ----------
    shape : tuple of int
        The image's shape: leading axes, then `ndim` spatial ones.
    ndim : int
        Spatial axes.
    core : tuple of int
        Size of a tile; the last ones along an axis may be shorter.
    halo : tuple of int
        Voxels that a window has at least on each side where the volume goes on.
    padded : tuple of int
        Size of the largest windows.
    reading : {"inside", "mirror", "periodic", "reflect", "zero"}
        Inside the volume, mirrored at its faces, or on a torus whose gap is filled in this way.
    torus : tuple of int
        Size of that torus; of no account where there is none.
    reach : tuple of (int or None)
        The halo that a cut would need, also along axes that are not cut; None where no cut
        is possible.
    """

    shape: tuple[int, ...]
    ndim: int
    core: tuple[int, ...]
    halo: tuple[int, ...]
    padded: tuple[int, ...]
    reading: Reading
    torus: tuple[int, ...]
    reach: tuple[int | None, ...]

    @property
    def leading(self) -> tuple[int, ...]:
        """Shape of the leading axes."""
        return self.shape[: len(self.shape) - self.ndim]

    @property
    def spatial(self) -> tuple[int, ...]:
        """Shape of the spatial axes."""
        return self.shape[len(self.shape) - self.ndim :]

    @property
    def grid(self) -> tuple[int, ...]:
        """Tiles along each axis."""
        counts = zip(self.spatial, self.core, strict=True)
        return self.leading + tuple(math.ceil(n / c) for n, c in counts)

    def __len__(self) -> int:
        return math.prod(self.grid)

    def __iter__(self) -> Iterator[Tile]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Tile:
        if not 0 <= number < len(self):
            raise IndexError(number)
        index: list[int] = []
        rest = number
        for count in reversed(self.grid):
            rest, position = divmod(rest, count)
            index.insert(0, position)
        leading, place = index[: len(self.leading)], index[len(self.leading) :]
        start = tuple(p * c for p, c in zip(place, self.core, strict=True))
        ends = zip(start, self.core, self.spatial, strict=True)
        return Tile(number, tuple(leading), start, tuple(min(a + c, n) for a, c, n in ends))

    def window(self, tile: Tile) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the first voxel of a tile's window, and the window's size.

        The first voxel may be negative unless windows stay inside.
        """
        size = tuple(
            p if n == c else window_length(n, h, whole, self.reading)
            for n, c, p, h, whole in zip(
                tile.size, self.core, self.padded, self.halo, self.torus, strict=True
            )
        )
        first = [a - h for a, h in zip(tile.start, self.halo, strict=True)]
        if self.reading != "inside":
            return tuple(first), size
        sizes = zip(first, size, self.spatial, strict=True)
        return tuple(max(0, min(a, n - p)) for a, p, n in sizes), size

    def window_sizes(self) -> Iterator[tuple[tuple[int, ...], int]]:
        """Yield each size of windows with the number of tiles that have it."""
        axes = []
        for n, c in zip(self.spatial, self.core, strict=True):
            whole, rest = divmod(n, c)
            axes.append([(0, whole), *([(n - rest, 1)] if rest else [])])
        for ends in itertools.product(*axes):
            start = tuple(a for a, _ in ends)
            stop = tuple(
                min(a + c, n) for a, c, n in zip(start, self.core, self.spatial, strict=True)
            )
            _, size = self.window(Tile(0, (), start, stop))
            yield size, math.prod(count for _, count in ends) * math.prod(self.leading)

    def order(self, number: int) -> tuple[Any, ...]:
        """Return a key by which to sort tiles: those that share a filter, then a place.

        What is made for windows of one size is kept, and planes that follow each other at one
        place are read together.
        """
        tile = self[number]
        _, size = self.window(tile)
        return tuple(-n for n in size), tile.start, number

    def with_halo(self, halo: Sequence[int]) -> Tiling:
        """Return the same tiles with windows of another halo."""
        return make_tiling(self.shape, self.ndim, self.core, halo, self.reading, self.torus)

    def halved(self, tile: Tile) -> tuple[int, Tiling, list[Tile]] | None:
        """Cut a tile in the middle of its longest axis.

        Returns
        -------
        axis : int
            Where it is cut.
        tiling : Tiling
            With windows for the halves.
        halves : list of Tile
            Boxes; they are no tiles of a run.
        None
            If no axis can be cut.
        """
        possible = [
            (n, axis)
            for axis, (n, h) in enumerate(zip(tile.size, self.reach, strict=True))
            if h is not None and n > 1
        ]
        if not possible:
            return None
        _, axis = max(possible)
        core = list(self.core)
        core[axis] = -(-core[axis] // 2)
        smaller = make_tiling(self.shape, self.ndim, core, self.reach, self.reading, self.torus)
        middle = min(tile.start[axis] + core[axis], tile.stop[axis])
        cuts = [tile.start[axis], middle, tile.stop[axis]]
        halves = [
            replace(
                tile,
                start=(*tile.start[:axis], low, *tile.start[axis + 1 :]),
                stop=(*tile.stop[:axis], high, *tile.stop[axis + 1 :]),
            )
            for low, high in itertools.pairwise(cuts)
            if high > low
        ]
        return axis, smaller, halves

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Tiling:
        """Undo `to_dict`, also after it went through JSON."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
        }
        return cls(**values)


def make_tiling(
    shape: Sequence[int],
    ndim: int,
    core: Sequence[int],
    halo: Sequence[int | None],
    reading: Reading = "inside",
    torus: Sequence[int] | None = None,
) -> Tiling:
    """Return the tiling with the windows that a core and a halo need.

    Parameters
    ----------
    shape : sequence of int
        Of the image.
    ndim : int
        Spatial axes.
    core : sequence of int
        Size of a tile.
    halo : sequence of (int or None)
        What a cut needs along each axis; None is for axes that stay whole.
    reading : {"inside", "mirror", "periodic", "reflect", "zero"}
        What lies beyond the volume; see `Tiling`.
    torus : sequence of int, optional
        Its size; the volume's by default.
    """
    spatial = tuple(shape)[len(shape) - ndim :]
    torus = spatial if torus is None else tuple(torus)
    core = tuple(min(c, n) for c, n in zip(core, spatial, strict=True))
    # A mirrored axis has a halo also where it is not cut; a torus is closed.
    open_ended = [reading == "mirror" or c < n for c, n in zip(core, spatial, strict=True)]
    margin = tuple(h if needed and h else 0 for h, needed in zip(halo, open_ended, strict=True))
    padded = tuple(
        window_length(c, h, whole, reading) if needed else whole
        for c, h, whole, needed in zip(core, margin, torus, open_ended, strict=True)
    )
    return Tiling(tuple(shape), ndim, core, margin, padded, reading, torus, reach=tuple(halo))


def window_length(length: int, halo: int, torus: float, reading: Reading) -> int:
    """Return how long a window is along an axis that is cut."""
    if reading == "inside":
        return int(min(length + 2 * halo, torus))
    return fast_length(length + 2 * halo)


def fast_length(n: int) -> int:
    """Return the smallest length of at least `n` whose transform is fast."""
    import scipy.fft

    return int(scipy.fft.next_fast_len(n, real=True))
