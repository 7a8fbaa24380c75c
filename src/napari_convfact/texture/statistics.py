"""Statistics of residuals: what is left in them that a good model would have explained."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

QUANTILES = (0.05, 0.25, 0.75, 0.95)
# Quantiles need sorting; so many evenly spaced values give them to about a percent.
_SORTED = 2**16
_TINY = torch.finfo(torch.float32).tiny


def energies(e: Tensor, weight: Tensor, variance: Tensor) -> dict[str, Tensor]:
    """Return mean absolute, mean squared, variance, and log energy over the image's variance.

    Parameters
    ----------
    e : torch.Tensor
        Residuals, ``(rows, *n)``.
    weight : torch.Tensor
        ``(*n)``, of sum 1.
    variance : torch.Tensor
        ``(rows,)`` or a scalar: the image's variance.

    Returns
    -------
    dict of str to torch.Tensor
        ``(rows,)`` each.
    """
    square = _mean(e.square(), weight)
    return {
        "mae": _mean(e.abs(), weight),
        "mse": square,
        "var": (square - _mean(e, weight).square()).clamp(min=0),
        "log_mse": (square + _TINY).log() - (variance + _TINY).log(),
    }


def shape(e: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Return what the autocorrelation cannot know: the shape of the distribution.

    Ratio of mean absolute to root mean square, skewness, excess kurtosis, and quantiles in
    units of the standard deviation. A constant residual has zeros.
    """
    centred = e - _expand(_mean(e, weight), e)
    deviation = _mean(centred.square(), weight).sqrt()
    scaled = centred / _expand(torch.where(deviation > 0, deviation, torch.inf), e)
    cube = scaled * scaled.square()
    values = {
        "mae_ratio": _mean(scaled.abs(), weight),
        "skewness": _mean(cube, weight),
        "kurtosis": _mean(cube * scaled, weight) - 3 * (deviation > 0),
    }
    return values | _quantiles(scaled, weight)


def whiteness(e: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Return the residual's autocorrelation at short lags and the sum of its squares."""
    centred = e - _expand(_mean(e, weight), e)
    variance = _mean(centred.square(), weight)
    values = {}
    for lag in short_lags(weight.ndim):
        here, there = _overlap(lag, weight.shape)
        pair = weight[here] * weight[there]
        total = pair.sum()
        products = (centred[(slice(None), *here)] * centred[(slice(None), *there)] * pair).flatten(
            1
        )
        mean = products.sum(dim=1) / torch.where(total > 0, total, 1)
        correlation = torch.where(variance > 0, mean / variance.clamp(min=_TINY), 0)
        values["autocorrelation_" + "_".join(map(str, lag))] = correlation
    values["colour"] = torch.stack(list(values.values())).square().sum(dim=0)
    return values


def short_lags(ndim: int) -> list[tuple[int, ...]]:
    """Return the neighbours (one of each opposite pair) along axes and plane diagonals."""
    lags = [
        lag for lag in itertools.product((-1, 0, 1), repeat=ndim) if 1 <= sum(map(abs, lag)) < 3
    ]
    return [lag for lag in lags if next(step for step in lag if step) > 0]


def heterogeneity(e: Tensor, weight: Tensor, blocks: Sequence[int]) -> dict[str, Tensor]:
    """Return the variation of the energy between the blocks of a grid.

    Parameters
    ----------
    e : torch.Tensor
        ``(rows, *n)``.
    weight : torch.Tensor
        ``(*n)``.
    blocks : sequence of int
        Number of blocks along each axis; they adapt to the size.

    Returns
    -------
    dict of str to torch.Tensor
        Standard deviation over mean of the blocks' energies.
    """
    energy, share = e.square() * weight, weight[None]
    for axis, count in enumerate(blocks):
        energy, share = _sum_blocks(energy, axis + 1, count), _sum_blocks(share, axis + 1, count)
    share = share.flatten()
    used = share > 0
    means = energy.flatten(1)[:, used] / share[used]
    mean = means.mean(dim=1)
    # Divided first: squares of energies leave float32 soon.
    relative = means / torch.where(mean > 0, mean, 1)[:, None]
    spread = (relative - 1).square().mean(dim=1).sqrt()
    return {"block_variation": torch.where(mean > 0, spread, 0)}


def _quantiles(scaled: Tensor, weight: Tensor) -> dict[str, Tensor]:
    flat = scaled.flatten(1)[:, weight.flatten() > 0]
    flat = flat[:, :: max(1, flat.shape[1] // _SORTED)]
    # NumPy's sort of float32 is many times faster than torch's.
    ordered = np.sort(flat.cpu().numpy(), axis=1)
    last = ordered.shape[1] - 1
    if last < 0:
        nothing = torch.full((len(scaled),), torch.nan)
        return {f"quantile_{round(100 * level):02d}": nothing for level in QUANTILES}
    return {
        f"quantile_{round(100 * level):02d}": torch.as_tensor(ordered[:, round(level * last)])
        for level in QUANTILES
    }


def _sum_blocks(x: Tensor, dim: int, count: int) -> Tensor:
    n = x.shape[dim]
    count = min(count, n)
    index = torch.div(torch.arange(n, device=x.device) * count, n, rounding_mode="floor")
    shape = list(x.shape)
    shape[dim] = count
    return x.new_zeros(shape).index_add_(dim, index, x)


def _overlap(
    lag: Sequence[int], size: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    here = tuple(slice(max(-d, 0), n - max(d, 0)) for d, n in zip(lag, size, strict=True))
    there = tuple(slice(max(d, 0), n - max(-d, 0)) for d, n in zip(lag, size, strict=True))
    return here, there


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return x.flatten(1) @ weight.flatten()


def _expand(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1,) * (like.ndim - 1))
