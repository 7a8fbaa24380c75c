"""Pseudo-inverses without iterating, where the operator is diagonal in a fast basis or small."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.circulant import apply_transfer, transfer_function
from napari_convfact.convolution.cosine import apply_in_cosine_basis, cosine_eigenvalues
from napari_convfact.convolution.dense import dense_matrix
from napari_convfact.convolution.forward_model import ForwardModel
from napari_convfact.convolution.prior import cosine_prior_symbol, prior_symbol
from napari_convfact.convolution.solution import Solution
from napari_convfact.convolution.spectral import inverse_transfer
from napari_convfact.foundation import fft
from napari_convfact.foundation.job import Job, Step


def by_fourier(
    operator: ForwardModel, data: Tensor, rcond: float | None, strength: float, prior: str
) -> Job[Solution]:
    """Return the job that solves a periodic problem, one small matrix per frequency.

    Parameters
    ----------
    operator : ForwardModel
        With `conditioning.diagonalized_by_fourier`.
    data : torch.Tensor
        ``(..., *output_shape)``.
    rcond, strength, prior
        See `Convolution.pinv`.
    """
    yield Step(0, 1, "Inverting each frequency")
    torus, ndim = operator.torus_shape, operator.ndim

    def invert_spectrum() -> Tensor:
        transfer = transfer_function(
            operator.kernel, torus, origin=operator.geometry.origin, dtype=torch.float64
        )
        inverse = inverse_transfer(
            transfer,
            prior_symbol(prior, torus, dtype=torch.float64),
            rcond=_threshold(operator, rcond),
            strength=strength,
        )
        return inverse.to(device=operator.device, dtype=operator.dtype.to_complex())

    inverse = operator.remember(("fourier", rcond, strength, prior), invert_spectrum)
    spectrum = apply_transfer(fft.rfftn(data, torus), inverse, ndim)
    x = fft.irfftn(spectrum, torus, overwrite=True)
    yield Step(1, 1, "Inverted each frequency")
    return Solution.direct(operator.to_numpy(x), "fourier", strength)


def by_cosines(
    operator: ForwardModel, data: Tensor, rcond: float | None, strength: float, prior: str
) -> Job[Solution]:
    """Return the job that solves a problem with reflecting edges, cosine by cosine.

    Parameters
    ----------
    operator : ForwardModel
        With `conditioning.diagonalized_by_cosines`.
    data : torch.Tensor
        ``(..., *output_shape)``.
    rcond, strength, prior
        See `Convolution.pinv`.
    """
    yield Step(0, 1, "Inverting each cosine")
    shape = operator.geometry.input

    def gain() -> np.ndarray:
        values = cosine_eigenvalues(operator.kernel, shape, operator.geometry.kernel_origin)
        inverse = inverse_transfer(
            torch.from_numpy(values),
            cosine_prior_symbol(prior, shape),
            rcond=_threshold(operator, rcond),
            strength=strength,
        )
        return inverse.numpy()

    x = apply_in_cosine_basis(data, operator.remember(("cosine", rcond, strength, prior), gain))
    yield Step(1, 1, "Inverted each cosine")
    return Solution.direct(operator.to_numpy(x), "cosine", strength)


def by_dense_matrix(operator: ForwardModel, data: Tensor, rcond: float | None) -> Job[Solution]:
    """Return the job that solves a small problem by the singular values of its matrix.

    Parameters
    ----------
    operator : ForwardModel
        Of few inputs and outputs.
    data : torch.Tensor
        ``(..., *output_shape)``.
    rcond
        See `Convolution.pinv`.
    """
    yield Step(0, 1, "Decomposing the matrix")
    threshold = _threshold(operator, rcond)
    inverse = operator.remember(
        ("dense", rcond), lambda: np.linalg.pinv(dense_matrix(operator), rcond=threshold)
    )
    frames = operator.to_numpy(data).reshape(-1, prod(operator.output_shape))
    batch = data.shape[: data.ndim - len(operator.output_shape)]
    x = (frames @ inverse.T).reshape(*batch, *operator.input_shape)
    yield Step(1, 1, "Decomposed the matrix")
    return Solution.direct(x, "dense")


def _threshold(operator: ForwardModel, rcond: float | None) -> float:
    """Return `rcond`, by default the round-off of the transform and of the small matrices."""
    if rcond is not None:
        return rcond
    channels = max(operator.kernel.shape[:2]) if operator.mixes else 1
    return float(torch.finfo(operator.dtype).eps) * max(operator.torus_shape) * channels
