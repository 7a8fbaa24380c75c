"""A model for each pixel: autoregression over a Gaussian window around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import crop, pad
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.foundation.validate import CheckedImage, check_image
from napari_convfact.texture.images import less_offset, working_dtype
from napari_convfact.texture.pooling import GaussianPool
from napari_convfact.texture.support import Support, make_supports

_TINY = float(np.finfo(np.float32).tiny)
# Means of float32 differ from equal values by less than this share.
_ROUNDING = 16 * float(np.finfo(np.float32).eps)
# So many pixels are solved together: their maps fit into the cache.
_BLOCK = 2**16


@dataclass(frozen=True, eq=False)
class LocalAutoregression:
    """An autoregressive model at each pixel, for each dilation.

    Attributes
    ----------
    weights : numpy.ndarray
        float32, ``(n_dilations, free, *n)``: the weights that are not tied to each other.
    variance : numpy.ndarray
        float32, ``(n_dilations, *n)``: local mean squared prediction error.
    predictability : numpy.ndarray
        float32, ``(n_dilations, *n)``: explained share of the local variance, 0 to 1.
    supports : tuple of Support
        The neighbourhood of each dilation.
    tie : str
        Which weights are equal.
    """

    weights: np.ndarray
    variance: np.ndarray
    predictability: np.ndarray
    supports: tuple[Support, ...]
    tie: str

    @property
    def kernels(self) -> np.ndarray:
        """Convolution kernels of all pixels, float32 ``(n_dilations, *k, *n)``."""
        weights = np.moveaxis(self.weights, (0, 1), (-2, -1))
        ndim = weights.ndim - 2
        return np.moveaxis(self._lay_out(weights), range(ndim), range(-ndim, 0))

    def kernel_at(self, index: Sequence[int]) -> np.ndarray:
        """Return the convolution kernels at one pixel, float32 ``(n_dilations, *k)``."""
        return self._lay_out(np.moveaxis(self.weights, (0, 1), (-2, -1))[tuple(index)])

    def _lay_out(self, weights: np.ndarray) -> np.ndarray:
        """Return kernels ``(..., n_dilations, *k)`` of weights ``(..., n_dilations, free)``."""
        reach = tuple(max(axis) for axis in zip(*(s.reach for s in self.supports), strict=True))
        axis = -1 - len(reach)
        kernels = [
            support.kernels(weights[..., i, :] @ support.tie_matrix(self.tie).T, reach)
            for i, support in enumerate(self.supports)
        ]
        return np.concatenate(kernels, axis=axis).astype(np.float32)

    def features(self) -> np.ndarray:
        """Return weights, log variance and predictability as one stack ``(features, *n)``."""
        log_variance = np.log(np.maximum(self.variance, _TINY))
        layers = [self.weights, log_variance[:, None], self.predictability[:, None]]
        stacked = np.concatenate(layers, axis=1)
        return stacked.reshape(-1, *stacked.shape[2:])

    def feature_names(self) -> list[str]:
        """Return a name for each layer of `features`."""
        names = []
        for support in self.supports:
            groups = support.groups(self.tie)
            offsets = [tuple(map(int, support.offsets[group[0]])) for group in groups]
            names += [f"weight {offset}" for offset in offsets]
            names += [
                f"log variance, dilation {support.dilation}",
                f"predictability, dilation {support.dilation}",
            ]
        return names


def local_autoregression(
    image: Any,
    *,
    radius: int | Sequence[int] = 1,
    dilations: Sequence[int] = (1, 2, 4),
    sigma: float | Sequence[float] = 6.0,
    tie: str = "symmetric",
    ridge: float = 1e-2,
    ndim: int | None = None,
    device: str = "auto",
) -> LocalAutoregression:
    """Fit the kernel that predicts the surroundings of each pixel.

    The local mean (over the same window) is removed first, so that neither brightness nor
    slow shading has an influence. The weighted normal equations of each pixel come from
    averaged products of the image with its shifts, and are solved for all pixels together.

    Parameters
    ----------
    image : array_like
        ``(*n)``. Pixels without a value are filled and are NaN in the result.
    radius : int or sequence of int
        Neighbours to each side.
    dilations : sequence of int
        Distances between neighbours, a model for each.
    sigma : float or sequence of float
        Standard deviation of the Gaussian window, in pixels, greater than 0.
    tie : {"symmetric", "full", "ring", "causal"}
        See `fit_autoregression`.
    ridge : float
        Added to the diagonal of the normal equations, in units of its mean.
    ndim : int, optional
        Number of axes; the image's by default.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Returns
    -------
    LocalAutoregression

    Raises
    ------
    ValueError
        If an argument is not legal or the neighbourhood does not fit into the image.

    References
    ----------
    J. Mao and A. K. Jain, "Texture classification and segmentation using multiresolution
    simultaneous autoregressive models", Pattern Recognition 25, 1992.
    """
    return run(
        local_autoregression_job(
            image,
            radius=radius,
            dilations=dilations,
            sigma=sigma,
            tie=tie,
            ridge=ridge,
            ndim=ndim,
            device=device,
        )
    )


def local_autoregression_job(
    image: Any,
    *,
    radius: int | Sequence[int] = 1,
    dilations: Sequence[int] = (1, 2, 4),
    sigma: float | Sequence[float] = 6.0,
    tie: str = "symmetric",
    ridge: float = 1e-2,
    ndim: int | None = None,
    device: str = "auto",
) -> Job[LocalAutoregression]:
    """Generate the steps of `local_autoregression`."""
    checked = check_image(image, missing="fill", ndim=ndim or 1, dtype=working_dtype(image))
    axes = checked.data.ndim
    if axes > 3 or axes != (ndim or axes):
        raise ValueError(f"The image has {axes} axes, but {ndim or 'at most 3'} are needed.")
    supports = make_supports(radius, dilations, axes)
    for support in supports:
        support.check_fits(checked.data.shape)
        support.groups(tie)
    pool = GaussianPool(sigma, axes)
    if min(pool.reach) < 1:
        raise ValueError(f"sigma must be at least 0.125 pixels for local models, not {sigma!r}.")
    if not ridge > 0:
        raise ValueError(f"ridge must be positive, not {ridge!r}.")
    place = choose_device(device).name
    # Rounding must not depend on the brightness.
    x = torch.as_tensor(less_offset(checked.data, checked.data.flat[0]), device=place)
    x = _less_local_mean(x, pool)
    weights: list[Tensor] = []
    variances: list[Tensor] = []
    shares: list[Tensor] = []
    for support in supports:
        solution = yield from _solve_everywhere(x, support, tie, pool, ridge)
        for parts, part in zip((weights, variances, shares), solution, strict=True):
            parts.append(part)
    return LocalAutoregression(
        _restore(checked, weights),
        _restore(checked, variances),
        _restore(checked, shares),
        supports,
        tie,
    )


def local_halo(
    *, radius: int = 1, dilations: Sequence[int] = (1, 2, 4), sigma: float = 6.0, ndim: int = 2
) -> tuple[int, ...]:
    """Return how many pixels around a tile its local models depend on, for each axis."""
    pool = GaussianPool(sigma, ndim)
    # Once for the local mean, once for the average of the products.
    return tuple(2 * reach + radius * max(dilations) for reach in pool.reach)


def _less_local_mean(x: Tensor, pool: GaussianPool) -> Tensor:
    """Subtract the mean over the window; what only rounding leaves becomes zero."""
    mean = pool(x)
    centred = x - mean
    rounding = _ROUNDING * mean.abs()
    return torch.where(centred.abs() > rounding, centred, 0)


def _solve_everywhere(
    x: Tensor, support: Support, tie: str, pool: GaussianPool, ridge: float
) -> Job[tuple[Tensor, Tensor, Tensor]]:
    predictors = _predictors(x, support, tie)
    free = len(predictors)
    products = free * (free + 3) // 2 + 1
    message = f"Local models, dilation {support.dilation}"
    done = 0
    A: dict[tuple[int, int], Tensor] = {}
    b: list[Tensor] = []
    for i, first in enumerate(predictors):
        for j in range(i + 1):
            yield Step(done, products, message)
            A[i, j] = pool(first * predictors[j])
            done += 1
        b.append(pool(first * x))
        done += 1
    yield Step(done, products, message)
    c = pool(x.square())
    weights = x.new_empty((free, x.numel()))
    variance, share = x.new_empty(x.numel()), x.new_empty(x.numel())
    c = c.flatten()
    flat_A, flat_b = {key: values.flatten() for key, values in A.items()}, [v.flatten() for v in b]
    for start in range(0, x.numel(), _BLOCK):
        yield Step(start, x.numel(), message)
        part = slice(start, start + _BLOCK)
        block_A = {key: values[part] for key, values in flat_A.items()}
        solved = _solve_block(block_A, [values[part] for values in flat_b], c[part], ridge)
        weights[:, part], variance[part], share[part] = solved
    return weights.reshape(free, *x.shape), variance.reshape(x.shape), share.reshape(x.shape)


def _solve_block(
    A: dict[tuple[int, int], Tensor], b: Sequence[Tensor], c: Tensor, ridge: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights, variance and predictability of some pixels."""
    trace = torch.stack([A[i, i] for i in range(len(b))]).mean(dim=0)
    load = (ridge * trace).clamp(min=_TINY)
    w = torch.stack(_solve_maps(A, b, load))
    explained = (w * torch.stack(list(b))).sum(dim=0)
    # w'A w = w'b - load w'w, because of the load on the diagonal.
    variance = (c - explained - load * w.square().sum(dim=0)).clamp(min=0)
    share = torch.where(c > _TINY, 1 - variance / c.clamp(min=_TINY), 0).clamp(0, 1)
    return w, variance, share


def _predictors(x: Tensor, support: Support, tie: str) -> list[Tensor]:
    """Return the sum of the neighbours that share a weight, for each free weight."""
    padded = pad(x, support.reach, support.reach, "reflect")
    shifted = [
        crop(padded, [r + int(d) for r, d in zip(support.reach, offset, strict=True)], x.shape)
        for offset in support.offsets
    ]
    return [
        sum((shifted[i] for i in group[1:]), shifted[group[0]]) for group in support.groups(tie)
    ]


def _solve_maps(
    A: dict[tuple[int, int], Tensor], b: Sequence[Tensor], load: Tensor
) -> list[Tensor]:
    """Solve ``(A + load) w = b`` at every pixel, by Cholesky's factors of whole maps.

    `A` holds the lower triangle. Whole maps beat a batched solver by far for few unknowns.
    """
    size = len(b)
    L: dict[tuple[int, int], Tensor] = {}
    y: list[Tensor] = []
    for i in range(size):
        for j in range(i):
            inner = A[i, j] - _dot([L[i, k] for k in range(j)], [L[j, k] for k in range(j)])
            L[i, j] = inner / L[j, j]
        row = [L[i, k] for k in range(i)]
        pivot = A[i, i] + load - _dot(row, row)
        # The load bounds the pivots from below; rounding must not undo that.
        L[i, i] = torch.maximum(pivot, load / 2).sqrt()
        y.append((b[i] - _dot(row, y)) / L[i, i])
    w: list[Tensor] = []
    for i in reversed(range(size)):
        later = _dot([L[k, i] for k in range(size - 1, i, -1)], w)
        w.append((y[i] - later) / L[i, i])
    return w[::-1]


def _dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor | float:
    return sum((a * b for a, b in zip(first, second, strict=True)), 0.0)


def _restore(checked: CheckedImage, parts: Sequence[Tensor]) -> np.ndarray:
    return checked.restore_missing(torch.stack(list(parts)).cpu().numpy())
