"""Where an image lies on a torus, and inverse transforms of boxes of its spectrum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_convfact.convolution.boundary import PADDINGS, pad
from napari_convfact.foundation import fft
from napari_convfact.foundation.blocks import map_blocks


@dataclass(frozen=True)
class Layout:
    """An image on a torus that is large enough for its boundary.

    Attributes
    ----------
    shape : tuple of int
        Spatial shape of the image.
    before : tuple of int
        Samples between the torus's origin and the image's.
    torus : tuple of int
        Size of the torus.
    boundary : {"reflect", "periodic", "zero"}
        How the torus is filled outside of the image.
    """

    shape: tuple[int, ...]
    before: tuple[int, ...]
    torus: tuple[int, ...]
    boundary: str

    def pad(self, x: Tensor) -> Tensor:
        """Fill the torus: ``(..., *shape)`` to ``(..., *torus)``."""
        after = [t - b - n for t, b, n in zip(self.torus, self.before, self.shape, strict=True)]
        return pad(x, self.before, after, self.boundary)

    def pad_weights(self, x: Tensor) -> Tensor:
        """Fill the torus with weights: where the image is zero, with those of its nearest edge."""
        if self.boundary != "zero":
            return self.pad(x)
        for axis, (n, size) in enumerate(zip(self.shape, self.torus, strict=True), start=-x.ndim):
            position = torch.arange(size, device=x.device)
            behind = (position >= n) & (position < (n + size + 1) // 2)
            index = torch.where(position < n, position, torch.where(behind, n - 1, 0))
            x = x.index_select(axis, index)
        return x

    def stride(self, widest: float) -> int:
        """Return the largest power of two up to `widest` that samples torus and image alike."""
        common = math.gcd(*self.torus, *self.before)
        power = common & -common
        return max(1, min(power, 2 ** math.floor(math.log2(max(widest, 1)))))


def lay_out(shape: Sequence[int], reach: int, boundary: str, stride: int) -> Layout:
    """Choose a torus.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the image.
    reach : int
        Pixels that kernels extend from their origin.
    boundary : {"reflect", "periodic", "zero"}
        What lies beyond the edges.
    stride : int
        A power of two that should divide the torus and the image's place on it.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If the boundary is unknown.
    """
    if boundary not in PADDINGS:
        raise ValueError(f"boundary must be one of {', '.join(PADDINGS)}, not {boundary!r}.")
    if boundary == "periodic":
        return Layout(tuple(shape), (0,) * len(shape), tuple(shape), boundary)
    margin = stride * math.ceil(reach / stride)
    axes = [_lay_out_axis(n, margin, boundary, stride) for n in shape]
    before, torus = zip(*axes, strict=True)
    return Layout(tuple(shape), before, torus, boundary)


def _lay_out_axis(n: int, margin: int, boundary: str, stride: int) -> tuple[int, int]:
    before, needed = (margin, n + 2 * margin) if boundary == "reflect" else (0, n + margin)
    torus = stride * fft.fast_length(math.ceil(needed / stride))
    # A mirrored image repeats after 2n: that torus is exact at any reach.
    return (0, 2 * n) if boundary == "reflect" and 2 * n <= torus else (before, torus)


def add_box(total: Tensor, values: Tensor, start: Sequence[int]) -> None:
    """Add values on a box of bins, which may cross the torus's seam, to all bins in place."""
    axes = [_pieces(a, h, n) for a, h, n in zip(start, values.shape, total.shape, strict=True)]
    for pieces in itertools.product(*axes):
        target = tuple(slice(to, to + length) for to, _, length in pieces)
        source = tuple(slice(first, first + length) for _, first, length in pieces)
        total[target] += values[source]


def weighted_box(spectrum: Tensor, gain: Tensor, start: Sequence[int]) -> Tensor:
    """Return a box of a spectrum's bins, which may cross the torus's seam, times gains."""
    product = spectrum.new_empty(gain.shape)
    axes = [_pieces(a, h, n) for a, h, n in zip(start, gain.shape, spectrum.shape, strict=True)]
    for pieces in itertools.product(*axes):
        source = tuple(slice(at, at + length) for at, _, length in pieces)
        target = tuple(slice(first, first + length) for _, first, length in pieces)
        map_blocks(_multiply, spectrum[source], gain[target], product[target])
    return product


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    torch.mul(a, b, out=out)


def invert_box(
    values: Tensor,
    start: Sequence[int],
    torus: Sequence[int],
    window_start: Sequence[int],
    window: Sequence[int],
) -> Tensor:
    """Transform a spectrum that is zero outside of a box back, and return a window of it.

    Axis by axis, so that no pass works on lines that are zero or that are not wanted.

    Parameters
    ----------
    values : torch.Tensor
        Complex, ``(..., *h)``.
    start : sequence of int
        Bin of the box's first sample along each axis.
    torus : sequence of int
        Number of bins along each axis. Where it is less than ``h`` the bins fold, and
        the result is a coarser sampling.
    window_start, window : sequence of int
        The part of the result that is wanted.

    Returns
    -------
    torch.Tensor
        Complex, ``(..., *window)``; it may be a view.
    """
    ndim = len(torus)
    for axis, n in enumerate(torus):
        dim = axis - ndim
        lines = fft.ifft(spread(values, dim, start[axis], n), dim, overwrite=True)
        values = lines.narrow(dim, window_start[axis], window[axis])
    return values


def mirror_frequencies(spectrum: Tensor) -> Tensor:
    """Return the value at each frequency's negative."""
    axes = tuple(range(spectrum.ndim))
    return torch.roll(spectrum.flip(axes), (1,) * spectrum.ndim, axes)


def spread(values: Tensor, dim: int, start: int, n: int) -> Tensor:
    """Lay the samples of an axis on a torus of `n` bins; those that coincide add up."""
    shape = list(values.shape)
    if shape[dim] == n and start % n == 0:
        return values.contiguous()
    size, shape[dim] = shape[dim], n
    total = values.new_zeros(shape)
    for to, first, length in _pieces(start, size, n):
        target, source = (x.narrow(dim, i, length) for x, i in ((total, to), (values, first)))
        map_blocks(Tensor.add_, target, source)
    return total


def _pieces(start: int, size: int, n: int) -> list[tuple[int, int, int]]:
    """Split a box where it crosses the seam: (bin, index in the box, length) of each piece."""
    pieces, done = [], 0
    while done < size:
        to = (start + done) % n
        length = min(size - done, n - to)
        pieces.append((to, done, length))
        done += length
    return pieces
