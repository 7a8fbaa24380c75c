"""Correlation in one, two or three dimensions by torch, in full single precision."""

from __future__ import annotations

import torch
from torch import Tensor


def correlate(x: Tensor, weight: Tensor) -> Tensor:
    """Correlate images with kernels where both overlap fully.

    Parameters
    ----------
    x : torch.Tensor
        ``(batch, 1, *n)``.
    weight : torch.Tensor
        ``(kernels, 1, *k)``.

    Returns
    -------
    torch.Tensor
        ``(batch, kernels, *(n - k + 1))``.
    """
    convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[x.ndim - 3]
    # TF32, a default on recent GPUs, keeps three digits.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return convolve(x, weight)
