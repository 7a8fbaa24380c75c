"""Turn a sum of chains into the tables that the fused pass follows.

Every image is seen as slabs of rows: a volume's slabs are its planes, a picture's slabs are
its rows (one row each), so that one inner loop serves one, two and three dimensions. A
dilated factor is a list of taps with the zeros left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_convfact.execution.chain import Chain

OUTPUT = -1
# Slabs are computed in pairs: a sample that the sums of both need is loaded once.
_PAIR = 2
# Where the axes of a picture or a volume stand among slab, row and column.
_COLUMNS = {1: [2], 2: [0, 2], 3: [0, 1, 2]}


@dataclass(frozen=True, eq=False)
class Schedule:
    """What the fused pass does with each slab.

    Attributes
    ----------
    before, after : tuple of int
        Slabs, rows and columns that the output needs of its input on either side.
    rings : numpy.ndarray
        int64, ``(n_rings, 2)``: first slot and number of slots of each ring of slabs. Ring 0
        holds the input.
    stages : numpy.ndarray
        int64, ``(n_stages, 10)``: source ring; target ring or `OUTPUT`; slabs by which the
        stage lags behind the input; rows and columns that later stages need more than the
        output has; where the taps begin of the first slab of a pair alone, those that both
        slabs need and those of the second alone, and where these end; whether to add to what
        the target holds.
    taps : numpy.ndarray
        int64, ``(n_taps, 3)``: slab, counted from the first of the pair, row and column of
        each tap in the source.
    weights : numpy.ndarray
        float64, ``(n_taps, 2)``: for the first and the second slab of the pair.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    rings: np.ndarray
    stages: np.ndarray
    taps: np.ndarray
    weights: np.ndarray

    @property
    def reach(self) -> tuple[int, int, int]:
        """Slabs, rows and columns that the input has more than the output."""
        slabs, rows, columns = (b + a for b, a in zip(self.before, self.after, strict=True))
        return slabs, rows, columns

    @property
    def slots(self) -> int:
        """Slabs that are kept in all rings, and one for what is not wanted."""
        return int(self.rings[:, 1].sum()) + 1


def halo(
    chains: Sequence[Chain], origins: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the samples that a sum of chains needs before and after each output, per axis."""
    after = tuple(max(along) for along in zip(*origins, strict=True))
    heads = [
        [n - 1 - o for n, o in zip(chain.shape, origin, strict=True)]
        for chain, origin in zip(chains, origins, strict=True)
    ]
    return tuple(max(along) for along in zip(*heads, strict=True)), after


def make_schedule(chains: Sequence[Chain], origins: Sequence[Sequence[int]]) -> Schedule:
    """Schedule the sum of chains, aligned at their origins.

    Parameters
    ----------
    chains : sequence of Chain
        One, two or three axes.
    origins : sequence of sequence of int
        Index of each chain's origin in the kernel that it stands for.
    """
    before, after = halo(chains, origins)
    tables = _Tables(as_slabs(before, 0), as_slabs(after, 0))
    for chain, origin in zip(chains, origins, strict=True):
        tables.add_chain(chain, as_slabs(origin, 0))
    return tables.schedule()


def as_slabs(values: Sequence[int], fill: int) -> tuple[int, int, int]:
    """Return the slab, row and column entries of a per-axis tuple."""
    if len(values) == 1:
        return fill, fill, int(values[0])
    if len(values) == 2:
        return int(values[0]), fill, int(values[1])
    slab, row, column = values
    return int(slab), int(row), int(column)


class _Tables:
    """A schedule in the making."""

    def __init__(self, before: tuple[int, int, int], after: tuple[int, int, int]) -> None:
        self.before, self.after = np.array(before), np.array(after)
        self.slots = [_PAIR]
        self.stages: list[list[int]] = []
        self.taps: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []

    def add_chain(self, chain: Chain, origin: tuple[int, int, int]) -> None:
        shape = np.array(as_slabs(chain.shape, 1))
        # The first stage takes up what this chain's window is smaller than the common one.
        shift = self.before - (shape - 1 - origin)
        slack = self.before + self.after - (shape - 1)
        left = self.before + self.after
        add = bool(self.stages)
        source = 0
        for factor, dilation in zip(chain.factors, chain.dilations, strict=True):
            taps, weights = _window_taps(factor, dilation)
            size = np.array(as_slabs(factor.shape, 1))
            reach = dilation * (size - 1) + slack
            left = left - reach
            self.slots[source] = max(self.slots[source], int(reach[0]) + _PAIR)
            source = self._add_stage(source, left, taps + shift, weights)
            shift = slack = np.zeros(3, int)
        self._finish_chain(add)

    def _add_stage(
        self, source: int, left: np.ndarray, taps: np.ndarray, weights: np.ndarray
    ) -> int:
        lag = int(self.before[0] + self.after[0] - left[0])
        target = len(self.slots)
        first = sum(map(len, self.weights))
        taps, weights, sizes = _pair_taps(taps, weights)
        ends = (first + np.cumsum(sizes)).tolist()
        more = [int(left[1]), int(left[2])]
        self.stages.append([source, target, lag, *more, first, *ends, 0])
        self.taps.append(taps)
        self.weights.append(weights)
        self.slots.append(_PAIR)
        return target

    def _finish_chain(self, add: bool) -> None:
        """Turn the last ring into the output."""
        self.slots.pop()
        self.stages[-1][1] = OUTPUT
        self.stages[-1][-1] = int(add)

    def schedule(self) -> Schedule:
        first = np.cumsum([0, *self.slots[:-1]])
        return Schedule(
            before=tuple(self.before.tolist()),
            after=tuple(self.after.tolist()),
            rings=np.stack([first, self.slots], axis=1).astype(np.int64),
            stages=np.array(self.stages, dtype=np.int64),
            taps=np.concatenate(self.taps).astype(np.int64),
            weights=np.concatenate(self.weights),
        )


def _window_taps(factor: np.ndarray, dilation: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places and weights with which a factor sums up a window of its input."""
    # Convolution reads its input backwards: the window's first sample meets the last tap.
    window = np.flip(factor)
    index = np.argwhere(window)
    if not len(index):
        index = np.zeros((1, factor.ndim), int)
    taps = np.zeros((len(index), 3), int)
    taps[:, _COLUMNS[factor.ndim]] = dilation * index
    return taps, window[tuple(index.T)]


def _pair_taps(taps: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Merge the taps of a pair of slabs.

    Both slabs sum their taps in one order, so that a result does not depend on where a pair
    begins. Windows without gaps can share their taps, others are kept apart.

    Returns
    -------
    taps : numpy.ndarray
        ``(n, 3)``: first those of the first slab alone, then those that both need, then those
        of the second alone.
    weights : numpy.ndarray
        ``(n, 2)``.
    sizes : list of int
        How many taps there are of each kind.
    """
    of_first = {tuple(tap): weight for tap, weight in zip(taps.tolist(), weights, strict=True)}
    of_second = {(slab + 1, *place): weight for (slab, *place), weight in of_first.items()}
    alone = [tap for tap in of_first if tap not in of_second]
    shared = [tap for tap in of_first if tap in of_second]
    last = [tap for tap in of_second if tap not in of_first]
    order_of_second = [(slab - 1, *place) for slab, *place in shared + last]
    if alone + shared != order_of_second:
        alone, shared, last = list(of_first), [], list(of_second)
    order = alone + shared + last
    kinds = [(1, 0)] * len(alone) + [(1, 1)] * len(shared) + [(0, 1)] * len(last)
    table = [
        (first * of_first.get(tap, 0.0), second * of_second.get(tap, 0.0))
        for tap, (first, second) in zip(order, kinds, strict=True)
    ]
    return np.array(order), np.array(table), [len(alone), len(shared), len(last)]
