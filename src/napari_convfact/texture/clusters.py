"""Group images by the kernel that predicts them best: mixtures of autoregressive models.

Everything here works on the normal equations of the images, each in units of its variance,
so that contrast has no influence: the error of weights w is ``1 - 2 b'w + w'A w``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_convfact.foundation.job import Job, Step

_MAX_ITERATIONS = 100
# Each start costs little and the best of them is kept.
_STARTS = 4


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """The least-squares problems of several images, one row each.

    Attributes
    ----------
    A : numpy.ndarray
        float64, ``(n, free, free)``, with the ridge on its diagonal.
    b : numpy.ndarray
        float64, ``(n, free)``.
    """

    A: np.ndarray
    b: np.ndarray

    def __len__(self) -> int:
        return len(self.b)

    def error(self, weights: np.ndarray) -> np.ndarray:
        """Return the relative squared error of each kernel on each image, ``(n, kernels)``."""
        quadratic = np.einsum("kf,nfk->nk", weights, self.A @ weights.T, optimize=True)
        return 1 - 2 * self.b @ weights.T + quadratic

    def solve(self) -> np.ndarray:
        """Return the best weights of each image, ``(n, free)``."""
        return np.asarray(np.linalg.solve(self.A, self.b[..., None])[..., 0])

    def pooled(self) -> np.ndarray:
        """Return the weights that are best for all images together, ``(free,)``."""
        return np.asarray(np.linalg.solve(self.A.mean(axis=0), self.b.mean(axis=0)))

    def __getitem__(self, rows: np.ndarray) -> NormalEquations:
        return NormalEquations(self.A[rows], self.b[rows])


def mixture(problem: NormalEquations, count: int, *, method: str, seed: int) -> Job[np.ndarray]:
    """Generate the kernels of a mixture, by hard assignment.

    Parameters
    ----------
    problem : NormalEquations
        The images.
    count : int
        Number of kernels, at most the number of images.
    method : {"em", "kmeans"}
        ``"em"`` assigns an image to the kernel that predicts it best and fits each kernel to
        its images; ``"kmeans"`` does so by distances and means of the images' own kernels.
    seed : int
        Of the k-means++ starts.

    Returns
    -------
    numpy.ndarray
        ``(count, free)``
    """
    own = problem.solve()
    rng = np.random.default_rng(seed)
    best, lowest = own[:count], np.inf
    for start in range(_STARTS):
        weights = _spread_start(problem, own, count, rng)
        assigned = np.full(len(problem), -1)
        for iteration in range(_MAX_ITERATIONS):
            yield Step(start, _STARTS, f"Start {start + 1} of {_STARTS}, iteration {iteration + 1}")
            distance = _distance(problem, own, weights, method)
            new = _without_empty(distance, count)
            if (new == assigned).all():
                break
            assigned = new
            weights = _update(problem, own, assigned, count, method)
        total = _distance(problem, own, weights, method).min(axis=1).sum()
        if total < lowest:
            best, lowest = weights, total
    return best


def greedy_cover(error: np.ndarray, count: int) -> np.ndarray:
    """Choose the kernels that together explain the most, one after the other.

    Parameters
    ----------
    error : numpy.ndarray
        ``(n, kernels)``: relative squared error of each kernel on each image.
    count : int
        How many to choose.

    Returns
    -------
    numpy.ndarray
        Indices in the order of choice. The explained share is submodular, so the choice
        explains at least 63 % of what the best one could.

    References
    ----------
    G. L. Nemhauser, L. A. Wolsey, M. L. Fisher, "An analysis of approximations for
    maximizing submodular set functions", Mathematical Programming 14, 1978.
    """
    # A kernel that predicts worse than the mean explains nothing.
    covered = np.ones(len(error))
    left = list(range(error.shape[1]))
    chosen = []
    for _ in range(count):
        totals = np.minimum(error[:, left], covered[:, None]).sum(axis=0)
        pick = left.pop(int(totals.argmin()))
        covered = np.minimum(covered, error[:, pick])
        chosen.append(pick)
    return np.array(chosen)


def _distance(
    problem: NormalEquations, own: np.ndarray, weights: np.ndarray, method: str
) -> np.ndarray:
    if method == "em":
        return problem.error(weights)
    return np.asarray(((own[:, None] - weights[None]) ** 2).sum(axis=-1))


def _update(
    problem: NormalEquations, own: np.ndarray, assigned: np.ndarray, count: int, method: str
) -> np.ndarray:
    members = [np.flatnonzero(assigned == k) for k in range(count)]
    if method == "em":
        return np.stack([problem[rows].pooled() for rows in members])
    return np.stack([own[rows].mean(axis=0) for rows in members])


def _spread_start(
    problem: NormalEquations, own: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Pick images far from each other (k-means++), by how badly their kernels swap."""
    least = np.einsum("nf,nf->n", own, -problem.b) + 1
    chosen = [int(rng.integers(len(own)))]
    excess = np.full(len(own), np.inf)
    while len(chosen) < count:
        newest = problem.error(own[chosen[-1:]])[:, 0] - least
        excess = np.minimum(excess, newest.clip(min=0))
        excess[chosen] = 0
        total = excess.sum()
        if total > 0:
            chosen.append(int(rng.choice(len(own), p=excess / total)))
        else:
            chosen.append(int(np.setdiff1d(np.arange(len(own)), chosen)[0]))
    return own[chosen]


def _without_empty(distance: np.ndarray, count: int) -> np.ndarray:
    """Assign rows to their nearest column; an empty column takes the worst-served row."""
    assigned = distance.argmin(axis=1)
    served = distance.min(axis=1)
    for k in np.setdiff1d(np.arange(count), assigned):
        shared = np.bincount(assigned, minlength=count)[assigned] > 1
        worst = np.where(shared, served, -np.inf).argmax()
        assigned[worst] = k
        served[worst] = -np.inf
    return assigned
