"""How badly a convolution is conditioned, and whether its inverse is hopeless."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.circulant import transfer_function, wrap
from napari_convfact.convolution.cosine import cosine_eigenvalues, is_symmetric
from napari_convfact.convolution.dense import dense_matrix
from napari_convfact.convolution.forward_model import ForwardModel
from napari_convfact.convolution.spectral import singular_values
from napari_convfact.foundation import fft

_LARGEST_DENSE = 2**20
_LANCZOS_STEPS = 60
_FINE_SAMPLES = 2**20
# A zero of the spectrum is harmless on a grid of finite size; a band of zeros is not.
_HOPELESS_SHARE = 0.05


def condition_number(operator: ForwardModel) -> float:
    """Return the ratio of an operator's largest to its smallest singular value.

    It is exact for periodic convolutions, for symmetric kernels with a reflecting boundary,
    and for matrices of up to 2**20 entries. Else it is an estimate: from the kernel's
    spectrum (where Toeplitz theory gives the limit for large images) or, for the other
    boundaries, a lower bound by Golub-Kahan bidiagonalization.

    Parameters
    ----------
    operator : ForwardModel
        The operator.

    Returns
    -------
    float
        ``inf`` for an operator that is singular as far as float64 can tell, and for one whose
        condition grows exponentially with the size of the image.

    References
    ----------
    A. Böttcher and B. Silbermann, "Introduction to Large Truncated Toeplitz Matrices"
    (1999), for the limits and the role of the winding number.
    """
    if diagonalized_by_fourier(operator):
        return _ratio(*_extremes(operator.transfer, operator.ndim), max(operator.torus_shape))
    if diagonalized_by_cosines(operator):
        values = np.abs(
            cosine_eigenvalues(
                operator.kernel, operator.geometry.input, operator.geometry.kernel_origin
            )
        )
        return _ratio(values.max(), values.min(), max(values.shape))
    if np.prod(operator.input_shape) * np.prod(operator.output_shape) <= _LARGEST_DENSE:
        # Whatever the operator's precision: round-off of float32 would pass for singular values.
        matrix = dense_matrix(operator.variant(dtype="float64"))
        values = np.linalg.svd(matrix, compute_uv=False)
        return _ratio(values[0], values[-1], max(matrix.shape))
    if winding_axes(operator):
        return np.inf
    if _has_toeplitz_gram(operator):
        return _ratio(*_extremes(_fine_transfer(operator), operator.ndim))
    return _bidiagonal_condition(operator)


def why_hopeless(operator: ForwardModel) -> str | None:
    """Return why no solver can invert an operator, in one sentence, or None.

    Cheap: it looks at the kernel's spectrum only.
    """
    axes = winding_axes(operator)
    if axes:
        where = "axis " + " and ".join(map(str, axes))
        return (
            "This inverse is hopeless: with a zero boundary its condition grows exponentially "
            f"with the image's size, because the kernel's spectrum winds around zero along {where}"
            "; use strength > 0, or boundary 'periodic', 'full' or 'valid'."
        )
    if operator.boundary == "periodic":
        return None
    lost = _lost_share(operator)
    if lost < _HOPELESS_SHARE:
        return None
    return (
        f"This inverse is hopeless: the kernel erases {100 * lost:.0f} % of the frequencies below "
        "what the computation resolves; use strength > 0."
    )


def winding_axes(operator: ForwardModel) -> tuple[int, ...]:
    """Return the axes along which the kernel's spectrum winds around zero.

    A square (block) Toeplitz matrix, that is a zero boundary, is then exponentially badly
    conditioned although its spectrum may stay far away from zero, as for ``[0.2, 0, 1]``.

    Parameters
    ----------
    operator : ForwardModel
        The operator; a boundary other than "zero" gives none.

    Returns
    -------
    tuple of int
        Spatial axes.
    """
    square = not operator.mixes or operator.kernel.shape[0] == operator.kernel.shape[1]
    if operator.boundary != "zero" or not square or not operator.has_unit_grid:
        return ()
    torus = _fine_torus(operator)
    values = wrap(torch.as_tensor(operator.kernel), torus, operator.geometry.origin)
    symbol = fft.fftn(values, torus)
    if operator.mixes:
        symbol = torch.linalg.det(symbol.movedim((0, 1), (-2, -1)))
    return tuple(axis for axis in range(operator.ndim) if _winds(symbol, axis))


def diagonalized_by_fourier(operator: ForwardModel) -> bool:
    """Whether the operator is one small matrix per frequency."""
    return operator.boundary == "periodic" and operator.has_unit_grid


def diagonalized_by_cosines(operator: ForwardModel) -> bool:
    """Whether the operator is one number per cosine."""
    return (
        operator.boundary == "reflect"
        and operator.has_unit_grid
        and not operator.mixes
        and is_symmetric(operator.kernel, operator.geometry.kernel_origin)
    )


def _extremes(transfer: Tensor, ndim: int) -> tuple[float, float]:
    values = singular_values(transfer, ndim)
    return float(values.max()), float(values.min())


def _ratio(largest: float, smallest: float, size: int = 0) -> float:
    """Return a condition, infinite where float64 cannot tell a matrix of a size from singular."""
    singular = smallest <= size * np.finfo(np.float64).eps * largest
    return np.inf if singular else float(largest / smallest)


def _winds(symbol: Tensor, axis: int) -> bool:
    """Whether the phase makes at least one turn along some line of an axis."""
    magnitude = symbol.abs()
    if magnitude.min() <= 1e-6 * magnitude.max():
        return False  # near a zero of the spectrum the phase means nothing
    turn = torch.angle(symbol.roll(-1, axis) / symbol).sum(axis)
    return bool((turn.abs() > np.pi).any())


def _has_toeplitz_gram(operator: ForwardModel) -> bool:
    """Whether ``A* A`` or ``A A*`` is a section of one convolution, which bounds the condition."""
    outputs, inputs = operator.kernel.shape[:2] if operator.mixes else (1, 1)
    if not operator.has_unit_grid:
        return False
    if operator.boundary == "full":
        return outputs >= inputs
    if operator.boundary in ("valid", "extended"):
        return outputs <= inputs
    return False


def _fine_torus(operator: ForwardModel) -> tuple[int, ...]:
    """Return a torus that samples the kernel's spectrum finely, within reason.

    Its sizes are odd, so that the zeros of common kernels fall between the samples.
    """
    matrix = operator.kernel.shape[0] * operator.kernel.shape[1] if operator.mixes else 1
    most = int((_FINE_SAMPLES / matrix) ** (1 / operator.ndim))
    return tuple(max(k, min(max(8 * k, 509), most)) | 1 for k in operator.geometry.kernel)


def _fine_transfer(operator: ForwardModel) -> Tensor:
    return transfer_function(operator.kernel, _fine_torus(operator), dtype=torch.float64)


def _lost_share(operator: ForwardModel) -> float:
    """Return the share of singular values that the normal equations cannot resolve."""
    values = singular_values(_fine_transfer(operator), operator.ndim)
    resolved = float(torch.finfo(operator.dtype).eps) ** 0.5 * values.max()
    return float((values < resolved).double().mean())


def _bidiagonal_condition(operator: ForwardModel) -> float:
    """Return a lower bound of the condition by Golub-Kahan bidiagonalization.

    The singular values of the bidiagonal matrix lie between the operator's extremes. The
    vectors are orthogonalized against all earlier ones, else ghosts of the largest appear.
    """
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(operator.output_shape, generator=generator, dtype=operator.dtype)
    u = u.to(operator.device)
    lefts: list[Tensor] = [u / u.norm()]
    rights: list[Tensor] = []
    steps = min(_LANCZOS_STEPS, u.numel(), int(np.prod(operator.input_shape)))
    matrix = np.zeros((steps + 1, steps))
    for step in range(steps):
        v = _orthogonalize(operator.apply_adjoint(lefts[-1]), rights)
        matrix[step, step] = float(v.norm())
        if matrix[step, step] == 0:
            return np.inf
        rights.append(v / v.norm())
        u = _orthogonalize(operator.apply(rights[-1]), lefts)
        matrix[step + 1, step] = float(u.norm())
        if matrix[step + 1, step] == 0:
            break
        lefts.append(u / u.norm())
    values = np.linalg.svd(matrix[: len(rights) + 1, : len(rights)], compute_uv=False)
    return _ratio(values[0], values[-1])


def _orthogonalize(vector: Tensor, basis: list[Tensor]) -> Tensor:
    vector = vector.clone()
    for _ in range(2):
        for other in basis:
            vector.sub_(other, alpha=float((vector * other).sum()))
    return vector
