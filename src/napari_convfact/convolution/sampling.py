"""Every so-many-th sample along the last axes: strides, dilations, and their adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor


def every(steps: Sequence[int]) -> tuple[Any, ...]:
    """Return the index that takes every step-th sample along the last axes."""
    return (..., *(slice(None, None, step) for step in steps))


def dilate(kernel: np.ndarray, shape: Sequence[int], dilation: Sequence[int]) -> np.ndarray:
    """Spread a kernel's samples over a larger `shape`, among zeros.

    Parameters
    ----------
    kernel : numpy.ndarray
        ``(..., *k)``.
    shape : sequence of int
        ``(k - 1) * dilation + 1``.
    dilation : sequence of int
        Step between the samples.

    Returns
    -------
    numpy.ndarray
        ``(..., *shape)``.
    """
    dilated = np.zeros((*kernel.shape[: -len(shape)], *shape), kernel.dtype)
    dilated[every(dilation)] = kernel
    return dilated


def subsample_adjoint(y: Tensor, stride: Sequence[int], window: Sequence[int]) -> Tensor:
    """Put samples back where a stride took them from, among zeros.

    Parameters
    ----------
    y : torch.Tensor
        ``(..., *m)``.
    stride : sequence of int
        Step between the samples that were taken.
    window : sequence of int
        Size before the stride.

    Returns
    -------
    torch.Tensor
        ``(..., *window)``; `y` itself where every step is 1.
    """
    if all(step == 1 for step in stride):
        return y
    spread = y.new_zeros((*y.shape[: -len(window)], *window))
    spread[every(stride)] = y
    return spread
