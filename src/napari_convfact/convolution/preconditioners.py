"""Fast approximations of ``(A* A + strength L* L)^-1`` for conjugate gradients.

Three are circulant and differ in the torus that the operator is thought to live on:

- ``"embedding"``: one with room for the kernel around x. The residual is laid on it among
  zeros, divided by ``|H|^2 + strength |L|^2`` and cropped. The best general choice.
- ``"strang"``: the image itself, with the Toeplitz matrix's central diagonals wrapped around.
- ``"chan"``: the image itself, with the circulant matrix nearest in the Frobenius norm.

``"cosine"`` is for a reflecting boundary: the image itself, mirrored, with the kernel's power
spectrum averaged over the directions that mirroring mixes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.signal
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import crop
from napari_convfact.convolution.circulant import apply_transfer, transfer_function
from napari_convfact.convolution.cosine import apply_in_cosine_basis, cosine_eigenvalues
from napari_convfact.convolution.forward_model import ForwardModel
from napari_convfact.convolution.prior import cosine_prior_symbol, prior_symbol
from napari_convfact.foundation import fft
from napari_convfact.foundation.fft import fast_shape

PRECONDITIONERS = ("embedding", "strang", "chan", "cosine", "none")

Map = Callable[[Tensor], Tensor]


def make_preconditioner(
    operator: ForwardModel, strength: float, prior: str, kind: str = "embedding"
) -> Map | None:
    """Return a symmetric positive definite approximation of ``(A* A + strength L* L)^-1``.

    Parameters
    ----------
    operator : ForwardModel
        The operator A.
    strength : float
        At least 0. Eigenvalues that vanish are replaced by a small positive one.
    prior : {"identity", "gradient"}
        See `prior_symbol`.
    kind : {"embedding", "strang", "chan", "cosine", "none"}
        Which approximation.

    Returns
    -------
    callable or None
        A map of tensors ``(..., *input_shape)``; None for ``"none"``.

    Raises
    ------
    ValueError
        If there is no such preconditioner, or it does not fit the operator.

    References
    ----------
    G. Strang, "A proposal for Toeplitz matrix calculations", Stud. Appl. Math. 74 (1986).
    T. F. Chan, "An optimal circulant preconditioner for Toeplitz systems", SIAM J. Sci. Stat.
    Comput. 9 (1988).
    R. H. Chan and M. K. Ng, "Conjugate gradient methods for Toeplitz systems", SIAM Review 38
    (1996), for these three.
    M. K. Ng, R. H. Chan and W.-C. Tang, "A fast algorithm for deblurring models with Neumann
    boundary conditions", SIAM J. Sci. Comput. 21 (1999), for cosines.
    """
    if kind not in PRECONDITIONERS:
        raise ValueError(f"preconditioner must be one of {', '.join(PRECONDITIONERS)}: {kind!r}.")
    if kind == "none":
        return None
    if kind == "cosine":
        return _cosine_preconditioner(operator, strength, prior)
    torus, transfer = _circulant(operator, kind)
    symbol = prior_symbol(prior, torus, dtype=operator.dtype, device=operator.device)
    inverse = inverse_normal_symbol(transfer, symbol, strength)
    return circulant_preconditioner(inverse, torus, operator.geometry.input)


def circulant_preconditioner(inverse: Tensor, torus: Sequence[int], shape: Sequence[int]) -> Map:
    """Return the map that lays x among zeros on a torus, multiplies its spectrum, and crops.

    Parameters
    ----------
    inverse : torch.Tensor
        As `inverse_normal_symbol` returns it.
    torus, shape : sequence of int
        Spatial sizes of the torus and of x.

    Returns
    -------
    callable
        A map of tensors ``(..., *shape)``, or ``(..., c_in, *shape)`` where channels mix.
    """
    ndim = len(shape)

    def precondition(r: Tensor) -> Tensor:
        spectrum = apply_transfer(fft.rfftn(r, torus), inverse, ndim)
        return crop(fft.irfftn(spectrum, torus, overwrite=True), (0,) * ndim, shape)

    return precondition


def chan_eigenvalues(
    kernel: np.ndarray,
    shape: Sequence[int],
    *,
    origin: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return the spectrum of T. Chan's circulant, the nearest to the Toeplitz matrix.

    The mean of the Toeplitz matrix along each wrapped diagonal: a diagonal at offset j has
    ``n - |j|`` of its n entries inside the matrix.

    Parameters
    ----------
    kernel : numpy.ndarray
        ``(..., *k)``.
    shape : sequence of int
        Size of the image.
    origin : sequence of int
        Index of the kernel's origin.
    dtype, device
        As for `transfer_function`.

    Returns
    -------
    torch.Tensor
        Complex, laid out as by `transfer_function`.
    """
    ndim = len(shape)
    for axis, (n, o) in enumerate(zip(shape, origin, strict=True)):
        k = kernel.shape[axis - ndim]
        share = np.clip(n - np.abs(np.arange(k) - o), 0, None) / n
        kernel = kernel * share.reshape([k if a == axis else 1 for a in range(ndim)])
    return transfer_function(kernel, shape, origin=origin, dtype=dtype, device=device)


def inverse_normal_symbol(transfer: Tensor, symbol: Tensor, strength: float) -> Tensor:
    """Return ``(H* H + strength |L|^2)^-1`` per frequency, kept away from division by zero.

    Parameters
    ----------
    transfer : torch.Tensor
        ``(*f)`` or ``(c_out, c_in, *f)``.
    symbol : torch.Tensor
        ``(*f)``, real: eigenvalues of ``L^T L``.
    strength : float
        At least 0.

    Returns
    -------
    torch.Tensor
        ``(*f)``, real, or ``(c_in, c_in, *f)``.
    """
    if transfer.ndim == symbol.ndim:
        power = transfer.real.square().addcmul_(transfer.imag, transfer.imag)
        power.add_(symbol, alpha=strength)
        return _inverse_above_round_off(power, power.dtype)
    matrices = transfer.movedim((0, 1), (-2, -1)).to(torch.complex128)
    gram = matrices.mH @ matrices
    floor = float(gram.abs().max()) * torch.finfo(symbol.dtype).eps
    gram.diagonal(dim1=-2, dim2=-1).add_((strength * symbol.double() + (floor or 1.0))[..., None])
    inverse = torch.linalg.inv(gram).to(transfer.dtype)
    return inverse.movedim((-2, -1), (0, 1))


def _cosine_preconditioner(operator: ForwardModel, strength: float, prior: str) -> Map:
    if operator.mixes or operator.boundary != "reflect":
        raise ValueError(
            "preconditioner='cosine' needs boundary 'reflect' and a kernel that does not mix "
            "channels: use 'embedding'."
        )
    shape = operator.geometry.input
    power = scipy.signal.correlate(operator.kernel, operator.kernel)
    for axis in range(power.ndim):
        power = (power + np.flip(power, axis)) / 2
    centre = [k - 1 for k in operator.kernel.shape]
    values = torch.from_numpy(cosine_eigenvalues(power, shape, centre).clip(min=0))
    values.add_(cosine_prior_symbol(prior, shape), alpha=strength)
    gain = _inverse_above_round_off(values, operator.dtype).numpy()
    return lambda r: apply_in_cosine_basis(r, gain)


def _inverse_above_round_off(power: Tensor, dtype: torch.dtype) -> Tensor:
    floor = float(power.max()) * torch.finfo(dtype).eps
    return power.clamp_(min=floor or 1.0).reciprocal_()


def _circulant(operator: ForwardModel, kind: str) -> tuple[Sequence[int], Tensor]:
    """Return the torus and the transfer function that a preconditioner is made from."""
    geometry = operator.geometry
    torus = geometry.input
    eigenvalues: Callable[..., Tensor] = transfer_function
    if kind == "chan":
        eigenvalues = chan_eigenvalues
    elif kind == "embedding":
        torus = fast_shape(
            [n + k - 1 for n, k in zip(geometry.input, geometry.kernel, strict=True)]
        )
        if torus == operator.torus_shape:
            return torus, operator.transfer
    transfer = eigenvalues(
        operator.kernel,
        torus,
        origin=geometry.origin,
        dtype=operator.dtype,
        device=operator.device,
    )
    return torus, transfer
