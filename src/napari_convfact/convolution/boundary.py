"""How an image goes on beyond its edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_convfact.foundation import edges

PADDINGS = ("periodic", "reflect", "zero")


def pad(x: Tensor, before: Sequence[int], after: Sequence[int], boundary: str) -> Tensor:
    """Continue an image beyond its edges along its last axes.

    Parameters
    ----------
    x : torch.Tensor
        ``(..., *n)``.
    before, after : sequence of int
        Samples to add on each side of the last ``len(before)`` axes; they may exceed the image.
    boundary : {"periodic", "reflect", "zero"}
        ``"reflect"`` repeats the edge sample (``scipy.ndimage``'s "reflect").

    Returns
    -------
    torch.Tensor
        ``(..., *(before + n + after))``.
    """
    if boundary not in PADDINGS:
        raise ValueError(f"boundary must be one of {', '.join(PADDINGS)}, not {boundary!r}.")
    ndim = len(before)
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if low or high:
            x = _pad_axis(x, axis - ndim, low, high, boundary)
    return x


def _pad_axis(x: Tensor, dim: int, low: int, high: int, boundary: str) -> Tensor:
    n = x.shape[dim]
    if boundary == "zero":
        shape = list(x.shape)
        shape[dim] = low + n + high
        padded = x.new_zeros(shape)
        padded.narrow(dim, low, n).copy_(x)
        return padded
    return x.index_select(dim, source_index(n, low, high, boundary).to(x.device))


def source_index(n: int, low: int, high: int, boundary: str) -> Tensor:
    """Return which of `n` samples each sample of the padded axis repeats."""
    return torch.as_tensor(edges.source_index(n, low, high, boundary))


def crop(x: Tensor, start: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return the window of the last axes that begins at `start` and has `shape` (a view)."""
    ndim = len(start)
    for axis, (first, n) in enumerate(zip(start, shape, strict=True)):
        x = x.narrow(axis - ndim, first, n)
    return x


def pad_adjoint(y: Tensor, before: Sequence[int], after: Sequence[int], boundary: str) -> Tensor:
    """Apply the adjoint of `pad`: add every padded sample back to the sample it repeats.

    Parameters
    ----------
    y : torch.Tensor
        ``(..., *(before + n + after))``.
    before, after : sequence of int
        As they were given to `pad`.
    boundary : {"periodic", "reflect", "zero"}
        As it was given to `pad`.

    Returns
    -------
    torch.Tensor
        ``(..., *n)``.
    """
    if boundary not in PADDINGS:
        raise ValueError(f"boundary must be one of {', '.join(PADDINGS)}, not {boundary!r}.")
    ndim = len(before)
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if low or high:
            y = _fold_axis(y, axis - ndim, low, high, boundary)
    return y


def _fold_axis(y: Tensor, dim: int, low: int, high: int, boundary: str) -> Tensor:
    n = y.shape[dim] - low - high
    inner = y.narrow(dim, low, n)
    if boundary == "zero":
        return inner
    inner = inner.clone()
    source = source_index(n, low, high, boundary).to(y.device)
    inner.index_add_(dim, source[:low], y.narrow(dim, 0, low))
    inner.index_add_(dim, source[low + n :], y.narrow(dim, low + n, high))
    return inner
