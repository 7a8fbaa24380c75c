"""The staged search: many starts briefly, the best ones to the end, more where luck was rare."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from napari_convfact.factorization.solver import SUFFICIENT, Batch, ChainModel, minimize
from napari_convfact.factorization.starts import draw
from napari_convfact.foundation.job import Job, Step

SCOUTING = 20  # iterations for every start
REFINING = 120  # iterations for those that are kept
KEPT_SHARE = 12  # one start in so many is kept
HIT = 1e-3  # relative error of a cost that counts as the same optimum
FEW_HITS = 3  # fewer than this and a long chain is searched again with more starts
MOST_WORK = 4e9  # starts times the size of their normal equations: tens of seconds
BATCH_ENTRIES = 1.5e7  # Jacobian entries held at once (120 MB)


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes
    ----------
    points : numpy.ndarray
        Parameters of the refined starts, the best first, ``(refined, taps)``.
    costs : numpy.ndarray
        Their squared errors, the target having unit norm.
    hit_fraction : float
        Share of the refined starts that reached the best.
    starts : int
        How many starts were tried.
    complete : bool
        False where the time limit ended the search.
    """

    points: np.ndarray
    costs: np.ndarray
    hit_fraction: float
    starts: int
    complete: bool

    @property
    def cost(self) -> float:
        """The least squared error."""
        return float(self.costs[0])


@dataclass(frozen=True)
class Effort:
    """How hard to search.

    Attributes
    ----------
    starts : int
        Starts of the first round.
    seed : int
        Of the random starts.
    floor : float
        A lower bound of the squared error: attaining it ends the search.
    deadline : float
        ``time.monotonic`` value after which to return the best so far.
    doublings : int
        How often a long chain may be searched again with more starts.
    """

    starts: int = 96
    seed: int = 0
    floor: float = 0.0
    deadline: float = math.inf
    doublings: int = 3


def search_job(model: ChainModel, effort: Effort, what: str = "Search") -> Job[Found]:
    """Search the best sum of chains.

    Parameters
    ----------
    model : ChainModel
        What to fit.
    effort : Effort
        How hard.
    what : str
        Beginning of the progress messages.

    Returns
    -------
    Found
    """
    rng = np.random.default_rng(effort.seed)
    window = model.target.reshape(model.support)
    found, count = None, effort.starts
    for _ in range(1 + effort.doublings):
        starts = draw(window, model.layout, model.n_terms, count, rng)
        total = count if found is None else found.starts + count
        more = yield from _round(model, starts, effort, f"{what}, {total} starts")
        found = more if found is None else _pool(found, more)
        if not _worth_repeating(model, found, effort):
            break
        count = found.starts
    assert found is not None
    return found


def _worth_repeating(model: ChainModel, found: Found, effort: Effort) -> bool:
    work = 2.0 * found.starts * model.taps**2 * model.target.size
    return (
        len(model.layout.shapes) >= 4
        and work <= MOST_WORK
        and found.complete
        and found.cost > effort.floor + SUFFICIENT
        and found.hit_fraction * len(found.points) < FEW_HITS
    )


def _pool(a: Found, b: Found) -> Found:
    """Return the outcome of two rounds together."""
    points, costs = np.concatenate([a.points, b.points]), np.concatenate([a.costs, b.costs])
    return _sorted(points, costs, a.starts + b.starts, a.complete and b.complete)


def _sorted(points: np.ndarray, costs: np.ndarray, starts: int, complete: bool) -> Found:
    order = np.argsort(costs)
    points, costs = points[order], costs[order]
    hits = float(np.mean(costs <= costs[0] * (1 + HIT) + SUFFICIENT))
    return Found(points, costs, hits, starts, complete)


def _round(model: ChainModel, starts: np.ndarray, effort: Effort, what: str) -> Job[Found]:
    """Scout all starts in batches that fit into memory, then refine the best."""
    size = max(1, int(BATCH_ENTRIES / (model.taps * model.target.size)))
    parts = [starts[i : i + size] for i in range(0, len(starts), size)]
    work = SCOUTING * len(parts) + REFINING
    points, costs = [], []
    for i, part in enumerate(parts):
        scouted = minimize(
            model,
            model.fit_gains(part),
            SCOUTING,
            floor=effort.floor,
            deadline=effort.deadline,
        )
        batch = yield from _report(scouted, i * SCOUTING, work, f"{what}: scout")
        points.append(batch.x)
        costs.append(batch.cost)
        if batch.cost.min() <= effort.floor + SUFFICIENT or time.monotonic() > effort.deadline:
            break
    x, cost = np.concatenate(points), np.concatenate(costs)
    if cost.min() > effort.floor + SUFFICIENT:
        keep = np.argsort(cost)[: max(1, len(starts) // KEPT_SHARE)]
        refined = minimize(model, x[keep], REFINING, floor=effort.floor, deadline=effort.deadline)
        batch = yield from _report(refined, work - REFINING, work, f"{what}: refine")
        x, cost = batch.x, batch.cost
    return _sorted(x, cost, len(starts), time.monotonic() <= effort.deadline)


def _report(
    iterations: Generator[float, None, Batch], offset: int, total: int, message: str
) -> Job[Batch]:
    """Turn the costs that a minimization yields into steps."""
    done = offset
    while True:
        try:
            cost = next(iterations)
        except StopIteration as stop:
            batch: Batch = stop.value
            return batch
        done += 1
        yield Step(done, total, f"{message}, error {100 * math.sqrt(cost):.3g} %")
