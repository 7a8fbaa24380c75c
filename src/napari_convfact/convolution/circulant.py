"""Convolution on a torus: the circulant operator that the Fourier transform diagonalizes.

Every other boundary is reached from here by padding and cropping (circulant embedding).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation import fft


def default_origin(kernel_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the index that a kernel's origin has by convention: ``n // 2`` of each axis."""
    return tuple(n // 2 for n in kernel_shape)


def transfer_function(
    kernel: np.ndarray | Tensor,
    shape: Sequence[int],
    *,
    origin: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return the eigenvalues of the circulant convolution with a kernel.

    Parameters
    ----------
    kernel : array
        Real, ``(..., *k)`` with ``len(k) == len(shape)``. A kernel that is larger than the
        torus wraps around, as periodic convolution does.
    shape : sequence of int
        Size of the torus.
    origin : sequence of int, optional
        Index of the kernel's origin; ``k // 2`` by default.
    dtype : torch.dtype
        Real type; the result is of the corresponding complex type.
    device : str or torch.device
        Where the result lies.

    Returns
    -------
    torch.Tensor
        Complex, ``(..., *shape[:-1], shape[-1] // 2 + 1)``.
    """
    # The kernel is placed and transformed in float64: it is done once and used often.
    values = torch.as_tensor(kernel, dtype=torch.float64, device="cpu")
    ndim = len(shape)
    origin = default_origin(values.shape[-ndim:]) if origin is None else origin
    # Placed on one axis after the other: the lines of the others are still as few as the kernel's.
    spectrum = fft.rfftn(_wrap_axis(values, -1, shape[-1], origin[-1]), shape[-1:])
    for axis in reversed(range(ndim - 1)):
        spectrum = _wrap_axis(spectrum, axis - ndim, shape[axis], origin[axis])
        spectrum = fft.fft(spectrum, axis - ndim, overwrite=True)
    complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
    return spectrum.to(device=device, dtype=complex_dtype)


def apply_transfer(
    spectrum: Tensor, transfer: Tensor, ndim: int, *, adjoint: bool = False
) -> Tensor:
    """Multiply a spectrum by a transfer function.

    Parameters
    ----------
    spectrum : torch.Tensor
        ``(..., *f)``, or ``(..., c_in, *f)`` for a transfer function that mixes channels. It
        may be overwritten.
    transfer : torch.Tensor
        ``(*f)`` or ``(c_out, c_in, *f)``, complex or real.
    ndim : int
        ``len(f)``.
    adjoint : bool
        Multiply by the conjugate transpose instead.

    Returns
    -------
    torch.Tensor
        ``(..., *f)`` or ``(..., c_out, *f)``.
    """
    if transfer.ndim == ndim:
        return spectrum.mul_(transfer.conj() if adjoint else transfer)
    channel = spectrum.ndim - ndim - 1
    batch, frequencies = spectrum.shape[:channel], spectrum.shape[channel + 1 :]
    columns = spectrum.reshape(-1, *spectrum.shape[channel:]).movedim((1, 0), (-2, -1))
    mixed = _multiply_matrices(transfer.movedim((0, 1), (-2, -1)), columns, adjoint=adjoint)
    return mixed.movedim((-2, -1), (1, 0)).reshape(*batch, -1, *frequencies)


def _multiply_matrices(matrices: Tensor, columns: Tensor, *, adjoint: bool) -> Tensor:
    if matrices.device.type != "cpu" or columns.requires_grad:
        return (matrices.mH if adjoint else matrices) @ columns
    # NumPy's loop over small matrices measures several times faster than torch's on the CPU,
    # as long as it need not conjugate the matrices.
    left, right = matrices.numpy(), columns.contiguous().numpy()
    if not adjoint:
        return torch.from_numpy(np.matmul(left, right))
    rows = np.matmul(right.conj().swapaxes(-1, -2), left)
    return torch.from_numpy(rows.conj().swapaxes(-1, -2))


def wrap(kernel: Tensor, shape: Sequence[int], origin: Sequence[int] | None = None) -> Tensor:
    """Lay a kernel on a torus with its origin at index 0.

    Parameters
    ----------
    kernel : torch.Tensor
        ``(..., *k)``.
    shape : sequence of int
        Size of the torus; entries that fall on the same place add up.
    origin : sequence of int, optional
        Index of the kernel's origin; ``k // 2`` by default.

    Returns
    -------
    torch.Tensor
        ``(..., *shape)``.
    """
    ndim = len(shape)
    origin = default_origin(kernel.shape[-ndim:]) if origin is None else origin
    for axis, (n, o) in enumerate(zip(shape, origin, strict=True)):
        kernel = _wrap_axis(kernel, axis - ndim, n, o)
    return kernel


def _wrap_axis(kernel: Tensor, dim: int, n: int, origin: int) -> Tensor:
    index = torch.remainder(torch.arange(kernel.shape[dim], device=kernel.device) - origin, n)
    wrapped = kernel.new_zeros([*kernel.shape[:dim], n, *kernel.shape[dim:][1:]])
    return wrapped.index_add_(dim, index, kernel)
