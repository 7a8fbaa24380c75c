"""Moments as sums over windows: for masks, labels, and edges that do not wrap around."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import pad
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
        return (yield from windows.moments_job(np.arange(windows.count), None))
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
        self.shape = tuple(x.shape[1:])
        inner = [n - 2 * r for n, r in zip(self.shape, support.reach, strict=True)]
        self.count = int(np.prod(inner))
        self._inner = inner
        self._values = x.reshape(support.channels, -1)
        strides = [int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape))]
        self._strides = np.array(strides)
        steps = np.concatenate([np.zeros((1, support.ndim), int), support.offsets])
        self._jumps = torch.as_tensor(steps @ self._strides, device=device)

    def moments_job(self, targets: np.ndarray, weight: np.ndarray | None) -> Job[Moments]:
        """Generate the moments of the windows around some interior pixels."""
        total = len(targets) if weight is None else float(weight.sum())
        size = len(self._jumps) * self.support.channels
        first = self._values.new_zeros(size)
        second = self._values.new_zeros(size, size)
        length = max(1, _BLOCK // size)
        for start in range(0, len(targets), length):
            yield Step(start, len(targets), "Neighbours")
            block = slice(start, start + length)
            rows = self._rows(targets[block])
            weighted = rows
            if weight is not None:
                weighted = rows * torch.as_tensor(weight[block], device=rows.device)
            first += weighted.sum(dim=1)
            second += weighted @ rows.T
        mean = first / (total or 1)
        scatter = second - torch.outer(first, mean)
        pivot = self.pivot.repeat(len(self._jumps))
        moments = Moments(
            self.support,
            np.array([float(total)]),
            (mean + pivot)[None].cpu().numpy(),
            scatter[None].cpu().numpy(),
        )
        return without_rounding(moments)

    def _rows(self, targets: np.ndarray) -> Tensor:
        place = np.stack(np.unravel_index(targets, self._inner), axis=-1)
        flat = torch.as_tensor(
            (place + np.array(self.support.reach)) @ self._strides, device=self._values.device
        )
        rows = self._values[:, self._jumps[:, None] + flat[None, :]]
        return rows.movedim(0, 1).reshape(-1, len(targets))
