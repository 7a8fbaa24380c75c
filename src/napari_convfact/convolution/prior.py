"""What a regularized solution is assumed to be: the operators L of ``|L x|^2``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

PRIORS = ("identity", "gradient")


def check_prior(prior: str) -> str:
    """Return `prior`, or raise ValueError if there is no such prior."""
    if prior not in PRIORS:
        raise ValueError(f"prior must be {' or '.join(PRIORS)}, not {prior!r}.")
    return prior


def prior_symbol(
    prior: str,
    torus_shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return the eigenvalues of ``L^T L`` on a torus.

    Parameters
    ----------
    prior : {"identity", "gradient"}
        ``"gradient"`` stacks the forward differences along all axes.
    torus_shape : sequence of int
        Size of the torus.
    dtype : torch.dtype
        Real type of the result.
    device : str or torch.device
        Where the result lies.

    Returns
    -------
    torch.Tensor
        Real, ``(*torus_shape[:-1], torus_shape[-1] // 2 + 1)`` as the spectra of `fft.rfftn`.
    """
    stored = (*torus_shape[:-1], torus_shape[-1] // 2 + 1)
    steps = [2 * np.pi / n for n in torus_shape]
    return _on_grid(prior, stored, steps, dtype).to(device)


def cosine_prior_symbol(
    prior: str, shape: Sequence[int], *, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Return the eigenvalues of ``L^T L`` on a bounded grid, in the basis of cosines (DCT-II)."""
    return _on_grid(prior, shape, [np.pi / n for n in shape], dtype)


def difference_power(frequency: np.ndarray) -> np.ndarray:
    """Return ``|exp(i w) - 1|^2`` of a forward difference at angular frequencies w."""
    power: np.ndarray = 4 * np.sin(frequency / 2) ** 2
    return power


def apply_prior_normal(prior: str, x: Tensor, ndim: int, *, periodic: bool = False) -> Tensor:
    """Return ``L^T L x``.

    Parameters
    ----------
    prior : {"identity", "gradient"}
        See `prior_symbol`.
    x : torch.Tensor
        ``(..., *n)``.
    ndim : int
        Number of spatial axes, the last ones.
    periodic : bool
        Whether the differences go around the edges of the grid or end there.

    Returns
    -------
    torch.Tensor
        Of the shape of `x`.
    """
    if prior == "identity":
        return x.clone()
    result = torch.zeros_like(x)
    for dim in range(-ndim, 0):
        if periodic:
            result.add_(x, alpha=2).sub_(x.roll(1, dim)).sub_(x.roll(-1, dim))
            continue
        difference = x.diff(dim=dim)
        count = difference.shape[dim]
        result.narrow(dim, 0, count).sub_(difference)
        result.narrow(dim, 1, count).add_(difference)
    return result


def _on_grid(
    prior: str, shape: Sequence[int], steps: Sequence[float], dtype: torch.dtype
) -> Tensor:
    if check_prior(prior) == "identity":
        return torch.ones(tuple(shape), dtype=dtype)
    symbol = torch.zeros(tuple(shape), dtype=dtype)
    for axis, (n, step) in enumerate(zip(shape, steps, strict=True)):
        along = torch.as_tensor(difference_power(step * np.arange(n)), dtype=dtype)
        symbol += along.reshape([n if a == axis else 1 for a in range(len(shape))])
    return symbol
