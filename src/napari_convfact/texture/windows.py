"""Moments as sums over windows: for masks, labels, and edges that do not wrap around."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import crop, pad
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.texture.images import TextureImage
from napari_convfact.texture.moments import Moments, concatenate, without_rounding
from napari_convfact.texture.support import Support

# Windows are gathered in blocks of about this many values.
_BLOCK = 2**22


def masked_moments_job(
    image: TextureImage, support: Support, boundary: str, device: str
) -> Job[Moments]:
    """Generate the moments of one image over the windows that touch no pixel of weight zero."""
    windows = Windows(image, support, boundary, device)
    if image.weight is None:
        return (yield from windows.moments_job())
    outside = "zero" if boundary in ("valid", "zero") else boundary
    padded = pad(torch.as_tensor(image.weight), support.reach, support.reach, outside).numpy()
    weight = _interior(padded, np.zeros(support.ndim, int), support.reach).copy()
    for offset in support.offsets:
        present = _interior(padded, offset, support.reach) > 0
        if boundary == "zero":
            present |= _outside(image.shape, offset)
        weight *= present
    if boundary == "valid":
        weight = _interior(weight, np.zeros(support.ndim, int), support.reach)
    targets = np.flatnonzero(weight)
    return (yield from windows.moments_job(targets, weight.ravel()[targets]))


def _outside(shape: Sequence[int], offset: np.ndarray) -> np.ndarray:
    """Whether the neighbour at `offset` of each pixel lies beyond the image's edges."""
    outside = np.zeros(tuple(shape), dtype=bool)
    for axis, (n, d) in enumerate(zip(shape, offset, strict=True)):
        place = np.arange(n) + d
        beyond = (place < 0) | (place >= n)
        outside |= beyond.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return outside


def label_moments(
    image: TextureImage, labels: np.ndarray, values: Sequence[int], support: Support
) -> Moments:
    """Return the moments of each label, over the windows that lie inside it.

    Parameters
    ----------
    image : TextureImage
        The image.
    labels : numpy.ndarray
        Whole numbers, ``(*n)``.
    values : sequence of int
        The labels that are wanted, one entry of the result each. One whose windows all cross
        its border has the weight zero.
    support : Support
        The neighbours.

    Returns
    -------
    Moments
    """
    windows = Windows(image, support, "valid", "cpu")
    inside = _same_label(labels, image.weight, support)
    core = tuple(slice(r, n - r) for r, n in zip(support.reach, labels.shape, strict=True))
    flat = np.where(inside, labels[core], 0).ravel()
    order = np.argsort(flat, kind="stable")
    first = np.searchsorted(flat[order], values, side="left")
    last = np.searchsorted(flat[order], values, side="right")
    weight = None if image.weight is None else image.weight[core].ravel()
    parts = []
    for low, high in zip(first, last, strict=True):
        targets = order[low:high]
        own = None if weight is None else weight[targets]
        parts.append(run(windows.moments_job(targets, own)))
    return concatenate(parts)


def _same_label(labels: np.ndarray, weight: np.ndarray | None, support: Support) -> np.ndarray:
    """Whether all neighbours of each interior pixel have its label and a weight."""
    labels = labels if weight is None else np.where(weight > 0, labels, 0)
    core = _interior(labels, np.zeros(support.ndim, int), support.reach)
    inside = core != 0
    for offset in support.offsets:
        inside &= _interior(labels, offset, support.reach) == core
    return inside


def _interior(x: np.ndarray, offset: np.ndarray, reach: Sequence[int]) -> np.ndarray:
    """Return the neighbour at `offset` of each pixel whose neighbours are inside (a view)."""
    window = tuple(slice(r + d, n - r + d) for r, d, n in zip(reach, offset, x.shape, strict=True))
    return x[window]


class Windows:
    """The neighbourhoods of an image as rows of a matrix, gathered block by block."""

    def __init__(self, image: TextureImage, support: Support, boundary: str, device: str) -> None:
        self.support = support
        x = torch.as_tensor(image.data, device=device).double()
        # Large values that have no weight would cost the others their digits.
        present = image.data if image.weight is None else image.data[:, image.weight > 0]
        total = present.reshape(support.channels, -1).sum(axis=1, dtype=np.float64)
        self.pivot = torch.as_tensor(total / max(present[0].size, 1), device=device)
        x = x - self.pivot.reshape(-1, *(1,) * (x.ndim - 1))
        if boundary != "valid":
            x = pad(x, support.reach, support.reach, boundary)
        self._x = x
        self._inner = [n - 2 * r for n, r in zip(x.shape[1:], support.reach, strict=True)]
        self._steps = np.concatenate([np.zeros((1, support.ndim), int), support.offsets])

    def moments_job(
        self, targets: np.ndarray | None = None, weight: np.ndarray | None = None
    ) -> Job[Moments]:
        """Generate the moments of the windows around interior pixels (all by default)."""
        count = math.prod(self._inner) if targets is None else len(targets)
        total = float(count) if weight is None else float(weight.sum())
        size = len(self._steps) * self.support.channels
        first = self._x.new_zeros(size)
        second = self._x.new_zeros(size, size)
        for start, rows in self._blocks(targets, max(1, _BLOCK // size)):
            yield Step(start, count, "Neighbours")
            weighted = rows
            if weight is not None:
                own = weight[start : start + rows.shape[1]]
                weighted = rows * torch.as_tensor(own, device=rows.device)
            first += weighted.sum(dim=1)
            second += weighted @ rows.T
        mean = first / (total or 1)
        scatter = second - torch.outer(first, mean)
        pivot = self.pivot.repeat(len(self._steps))
        moments = Moments(
            self.support,
            np.array([total]),
            (mean + pivot)[None].cpu().numpy(),
            scatter[None].cpu().numpy(),
        )
        return without_rounding(moments)

    def _blocks(self, targets: np.ndarray | None, length: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the first window's number and the variables ``(size, windows)`` of each block."""
        if targets is not None:
            yield from self._gathered(targets, length)
            return
        plane = math.prod(self._inner[1:])
        planes = max(1, length // plane)
        for first in range(0, self._inner[0], planes):
            extent = [min(planes, self._inner[0] - first), *self._inner[1:]]
            corner = [first, *(0,) * (self.support.ndim - 1)]
            views = []
            for step in self._steps:
                start = [
                    c + r + int(d) for c, r, d in zip(corner, self.support.reach, step, strict=True)
                ]
                views.append(crop(self._x, start, extent))
            yield first * plane, torch.stack(views).reshape(-1, math.prod(extent))

    def _gathered(self, targets: np.ndarray, length: int) -> Iterator[tuple[int, Tensor]]:
        strides = np.array([math.prod(self._x.shape[i + 2 :]) for i in range(self.support.ndim)])
        values = self._x.reshape(self.support.channels, -1)
        jumps = torch.as_tensor(self._steps @ strides, device=values.device)
        for start in range(0, len(targets), length):
            place = np.stack(
                np.unravel_index(targets[start : start + length], self._inner), axis=-1
            )
            flat = (place + np.array(self.support.reach)) @ strides
            rows = values[:, jumps[:, None] + torch.as_tensor(flat, device=values.device)]
            yield start, rows.movedim(0, 1).reshape(-1, len(flat))
