"""Inverses of periodic convolutions, which the Fourier transform turns into small matrices."""

from __future__ import annotations

import torch
from torch import Tensor

# Above this condition of a single frequency, explicit inverses lose too many digits.
_WELL_CONDITIONED = 1e6


def inverse_transfer(
    transfer: Tensor, symbol: Tensor, *, rcond: float, strength: float = 0.0
) -> Tensor:
    """Return the (regularized) pseudo-inverse of a transfer function, frequency by frequency.

    Parameters
    ----------
    transfer : torch.Tensor
        complex128, ``(*f)`` or ``(c_out, c_in, *f)``.
    symbol : torch.Tensor
        float64, ``(*f)``: eigenvalues of ``L^T L``.
    rcond : float
        Singular values up to `rcond` times the largest of all frequencies count as zero. A
        threshold relative to each frequency's own largest would divide by round-off.
    strength : float
        Weight of ``|L x|^2``; 0 gives the pseudo-inverse.

    Returns
    -------
    torch.Tensor
        complex128, ``(*f)`` or ``(c_in, c_out, *f)``.
    """
    if transfer.ndim == symbol.ndim:
        magnitude = transfer.abs()
        kept = magnitude > rcond * magnitude.max()
        power = torch.where(kept, magnitude.square() + strength * symbol, 1.0)
        return torch.where(kept, transfer.conj() / power, 0.0)
    matrices = transfer.movedim((0, 1), (-2, -1))
    inverse = _inverse_by_elimination(matrices, rcond) if strength == 0 else None
    if inverse is None:
        inverse = _inverse_by_singular_values(matrices, symbol, rcond, strength)
    return inverse.movedim((-2, -1), (0, 1))


def singular_values(transfer: Tensor, ndim: int) -> Tensor:
    """Return the singular values of a transfer function.

    Parameters
    ----------
    transfer : torch.Tensor
        ``(*f)`` or ``(c_out, c_in, *f)``.
    ndim : int
        ``len(f)``.

    Returns
    -------
    torch.Tensor
        ``(*f)`` or ``(*f, min(c_out, c_in))``.
    """
    if transfer.ndim == ndim:
        return transfer.abs()
    matrices = transfer.movedim((0, 1), (-2, -1)).to("cpu", torch.complex128)
    values: Tensor = torch.linalg.svdvals(matrices)
    return values


def _inverse_by_elimination(matrices: Tensor, rcond: float) -> Tensor | None:
    """Return the inverses if every matrix is square and well conditioned, else None.

    The Frobenius norms bound the singular values: where they are good, nothing is cut.
    """
    if matrices.shape[-1] != matrices.shape[-2]:
        return None
    inverse, failed = torch.linalg.inv_ex(matrices)
    if bool(failed.any()):
        return None
    largest = torch.linalg.matrix_norm(matrices).max()
    smallest = 1 / torch.linalg.matrix_norm(inverse).max()
    least = max(rcond, 1 / _WELL_CONDITIONED)
    return inverse if smallest > least * largest else None


def _inverse_by_singular_values(
    matrices: Tensor, symbol: Tensor, rcond: float, strength: float
) -> Tensor:
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    kept = values > rcond * values.max()
    power = torch.where(kept, values.square() + strength * symbol[..., None], 1.0)
    gain = torch.where(kept, values / power, 0.0).to(matrices.dtype)
    return (right.mH * gain[..., None, :]) @ left.mH
