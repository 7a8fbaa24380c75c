"""Batched Levenberg-Marquardt search for the chains nearest to a kernel.

All starts run at once as one batch of small float64 problems. The derivative of a chain with
respect to one factor is the product of the others; these come from the factors' transforms.
NumPy's batched routines do it on one thread: more threads make matrices of this size slower.

References
----------
J. J. More, The Levenberg-Marquardt algorithm: implementation and theory, Lecture Notes in
Mathematics 630 (1978).
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator

import numpy as np
import scipy.fft

from napari_convfact.factorization.chain import Layout
from napari_convfact.foundation.blas import one_blas_thread

INITIAL_DAMPING = 1e-2
LARGEST_DAMPING = 1e8
LEAST_DAMPING = 1e-12  # the scales of the factors leave the normal equations singular
SUFFICIENT = 1e-28  # squared error, of a target of unit norm, that counts as zero
STALLED = 1e-13  # relative decrease at which an iteration has converged


class ChainModel:
    """Sums of chains as a function of the taps of their factors, in batches.

    Parameters
    ----------
    layout : Layout
        Shapes and dilations of each chain.
    target : numpy.ndarray
        The kernel inside the chain's support, of unit norm.
    n_terms : int
        Number of chains that are added.
    zero_sum_factor : int, optional
        A factor that is held at zero sum in each chain.
    sum_weight : float
        Weight of the squared sum of the product in the cost.
    """

    def __init__(
        self,
        layout: Layout,
        target: np.ndarray,
        n_terms: int = 1,
        zero_sum_factor: int | None = None,
        sum_weight: float = 0.0,
    ) -> None:
        self.layout = layout
        self.n_terms = n_terms
        self.support = layout.support
        self.target = target.ravel()
        self.sum_weight = sum_weight
        self.sizes = [math.prod(shape) for shape in layout.shapes]
        self.bounds = np.cumsum([0, *self.sizes])
        self.taps = int(self.bounds[-1]) * n_terms
        self._places, self._shifts = self._index_tables()
        self._free = self._zero_sum_basis(zero_sum_factor)

    def _index_tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where each tap lies in the support, and where it takes its derivative from."""
        grid = np.indices(self.support).reshape(len(self.support), -1)
        places, shifts = [], []
        for i, (shape, dilation) in enumerate(
            zip(self.layout.shapes, self.layout.dilations, strict=True)
        ):
            for tap in np.ndindex(shape):
                offset = dilation * np.array(tap)
                place = int(np.ravel_multi_index(tuple(offset), self.support))
                places.append(i * grid.shape[1] + place)
                # The product of the other factors leaves room for the shift: what wraps is 0.
                shifted = [(g - o) % n for g, o, n in zip(grid, offset, self.support, strict=True)]
                flat = np.ravel_multi_index(tuple(shifted), self.support)
                shifts.append(i * grid.shape[1] + flat)
        return np.array(places), np.array(shifts)

    def _zero_sum_basis(self, factor: int | None) -> np.ndarray | None:
        """Return an orthonormal basis, as rows, of the taps with zero sum in one factor."""
        if factor is None:
            return None
        size = self.sizes[factor]
        first = int(self.bounds[factor])
        complement = np.linalg.svd(np.ones((1, size)))[2][1:]
        block = np.delete(np.eye(self.bounds[-1]), slice(first, first + size), axis=0)
        wide = np.zeros((size - 1, int(self.bounds[-1])))
        wide[:, first : first + size] = complement
        return np.kron(np.eye(self.n_terms), np.vstack([block, wide]))

    def constrain(self, x: np.ndarray) -> np.ndarray:
        """Return the batch ``(b, taps)`` with the constrained factor's mean removed."""
        if self._free is None:
            return x
        return x @ self._free.T @ self._free

    def products(self, x: np.ndarray) -> np.ndarray:
        """Return the product of the other factors for each factor, ``(b, terms, m, n)``."""
        b, m = len(x), len(self.sizes)
        cells = self.target.size
        padded = np.zeros((b * self.n_terms, m * cells))
        padded[:, self._places] = x.reshape(b * self.n_terms, -1)
        padded = padded.reshape(-1, m, *self.support)
        axes = tuple(range(2, padded.ndim))
        spectra = scipy.fft.rfftn(padded, axes=axes)
        others = np.empty_like(spectra)
        others[:, 0] = 1
        for i in range(1, m):
            np.multiply(others[:, i - 1], spectra[:, i - 1], out=others[:, i])
        after = spectra[:, m - 1].copy()
        for i in range(m - 2, -1, -1):
            others[:, i] *= after
            after *= spectra[:, i]
        result = scipy.fft.irfftn(others, s=self.support, axes=axes, overwrite_x=True)
        return result.reshape(b, self.n_terms, m, cells)

    def kernels(self, x: np.ndarray, products: np.ndarray) -> np.ndarray:
        """Return each chain's kernel, ``(b, terms, n)``: its first factor times the others."""
        first = x.reshape(len(x), self.n_terms, -1)[:, :, None, : self.sizes[0]]
        shifted = products[:, :, 0][:, :, self._shifts[: self.sizes[0]]]
        return (first @ shifted)[:, :, 0]

    def residuals(self, kernels: np.ndarray) -> np.ndarray:
        """Return what the sum of the chains misses, ``(b, n)`` or ``(b, n + 1)``."""
        total = kernels.sum(axis=1)
        residual = self.target - total
        if self.sum_weight:
            penalty = -self.sum_weight * total.sum(axis=1, keepdims=True)
            residual = np.concatenate([residual, penalty], axis=1)
        return residual

    def jacobian(self, products: np.ndarray) -> np.ndarray:
        """Return the derivative of the kernel, ``(b, taps, n)`` or ``(b, taps, n + 1)``."""
        b, cells = len(products), self.target.size
        flat = products.reshape(b, self.n_terms, len(self.sizes) * cells)
        jacobian = flat[:, :, self._shifts].reshape(b, self.taps, cells)
        if self.sum_weight:
            sums = self.sum_weight * jacobian.sum(axis=2, keepdims=True)
            jacobian = np.concatenate([jacobian, sums], axis=2)
        return jacobian

    def step(self, normal: np.ndarray, gradient: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Solve the damped normal equations for the batch."""
        if self._free is not None:
            normal = self._free @ normal @ self._free.T
            gradient = gradient @ self._free.T
        size = normal.shape[-1]
        diagonal = np.einsum("bii->bi", normal).mean(axis=1)
        damped = normal.copy()
        np.einsum("bii->bi", damped)[:] += (damping * diagonal + 1e-300)[:, None]
        step = np.linalg.solve(damped, gradient[..., None])[..., 0].reshape(-1, size)
        return step if self._free is None else step @ self._free

    def balance(self, x: np.ndarray) -> np.ndarray:
        """Give the factors of each chain equal norms: the product does not fix them."""
        taps = x.reshape(len(x) * self.n_terms, -1)
        squares = np.add.reduceat(taps * taps, self.bounds[:-1], axis=1)
        logs = np.log(np.maximum(squares, 1e-300))
        scale = np.exp(0.5 * (logs.mean(axis=1, keepdims=True) - logs))
        return (taps * np.repeat(scale, self.sizes, axis=1)).reshape(x.shape)

    def fit_gains(self, x: np.ndarray) -> np.ndarray:
        """Scale the chains of each start by least squares; the sign goes to the first factor."""
        kernels = self.kernels(x, self.products(x))
        gram = kernels @ kernels.transpose(0, 2, 1)
        trace = np.einsum("bii->b", gram)
        gram = gram + (1e-12 * trace + 1e-300)[:, None, None] * np.eye(self.n_terms)
        gains = np.linalg.solve(gram, (kernels @ self.target)[..., None])[..., 0]
        return self.scale(x, gains)

    def scale(self, x: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """Multiply each chain by its gain, spread evenly over its factors."""
        m = len(self.sizes)
        taps = x.reshape(len(x), self.n_terms, -1)
        root = np.maximum(np.abs(gains), 1e-6) ** (1 / m)
        taps = taps * root[..., None]
        taps[..., : self.sizes[0]] *= np.where(gains < 0, -1.0, 1.0)[..., None]
        return taps.reshape(x.shape)

    def unpack(self, x: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
        """Return the factors of each chain of one parameter vector."""
        return tuple(
            tuple(
                taps[a:b].reshape(shape)
                for a, b, shape in zip(
                    self.bounds[:-1], self.bounds[1:], self.layout.shapes, strict=True
                )
            )
            for taps in x.reshape(self.n_terms, -1)
        )


class Batch:
    """A batch of starts on its way down.

    Parameters
    ----------
    model : ChainModel
        What to fit.
    x : numpy.ndarray
        Starts, ``(b, taps)``.

    Attributes
    ----------
    x : numpy.ndarray
        Where they are.
    cost : numpy.ndarray
        Their squared errors, ``(b,)``.
    active : numpy.ndarray
        Indices of those that still move.
    """

    def __init__(self, model: ChainModel, x: np.ndarray) -> None:
        self.model = model
        self.x = model.balance(model.constrain(x))
        self.active = np.arange(len(x))
        self._damping = np.full(len(x), INITIAL_DAMPING)
        self.cost, residual, products = self._evaluate(self.x)
        self._normal = np.empty((len(x), model.taps, model.taps))
        self._gradient = np.empty((len(x), model.taps))
        self._linearize(self.active, residual, products)

    def iterate(self) -> None:
        """Take one step with each active start; those that get worse stay and damp more."""
        active, model = self.active, self.model
        step = model.step(self._normal[active], self._gradient[active], self._damping[active])
        trial = model.balance(self.x[active] + step)
        cost, residual, products = self._evaluate(trial)
        better = cost < self.cost[active]
        decrease = 1 - cost / np.maximum(self.cost[active], 1e-300)
        damping = self._damping[active] * np.where(better, 0.2, 4.0)
        self._damping[active] = np.maximum(damping, LEAST_DAMPING)
        accepted = active[better]
        self.x[accepted], self.cost[accepted] = trial[better], cost[better]
        self._linearize(accepted, residual[better], products[better])
        converged = better & (decrease < STALLED)
        self.active = active[~converged & (damping < LARGEST_DAMPING)]

    def _evaluate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        products = self.model.products(x)
        residual = self.model.residuals(self.model.kernels(x, products))
        return np.einsum("bn,bn->b", residual, residual), residual, products

    def _linearize(self, indices: np.ndarray, residual: np.ndarray, products: np.ndarray) -> None:
        jacobian = self.model.jacobian(products)
        self._normal[indices] = jacobian @ jacobian.transpose(0, 2, 1)
        self._gradient[indices] = (jacobian @ residual[..., None])[..., 0]


def minimize(
    model: ChainModel,
    x: np.ndarray,
    iterations: int,
    *,
    floor: float = 0.0,
    deadline: float = math.inf,
) -> Generator[float, None, Batch]:
    """Run Levenberg-Marquardt on a batch of starts.

    Parameters
    ----------
    model : ChainModel
        What to fit.
    x : numpy.ndarray
        Starts, ``(b, taps)``.
    iterations : int
        The most to take.
    floor : float
        A lower bound of the cost: the batch ends when one start attains it.
    deadline : float
        ``time.monotonic`` value after which to end.

    Yields
    ------
    float
        The least cost, after every iteration.

    Returns
    -------
    Batch
    """
    with one_blas_thread():
        batch = Batch(model, x)
    for _ in range(iterations):
        with one_blas_thread():
            batch.iterate()
        least = float(batch.cost.min())
        yield least
        if least <= floor + SUFFICIENT or not len(batch.active) or time.monotonic() > deadline:
            break
    return batch
