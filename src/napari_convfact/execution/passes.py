"""A fused pass over a tensor: padding, boxes, threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from napari_convfact.execution.chain import Chain
from napari_convfact.execution.schedule import as_slabs, make_schedule
from napari_convfact.execution.tiling import Place, block_samples, choose_boxes, ring_strides
from napari_convfact.foundation.edges import source_index
from napari_convfact.foundation.parallel import run_all


class FusedPass:
    """A sum of chains, applied to the last axes of a tensor on the CPU.

    Parameters
    ----------
    chains : sequence of Chain
        Of one, two or three axes.
    origins : sequence of sequence of int, optional
        Index of each chain's origin in the kernel that it stands for; ``n // 2`` by default.
    """

    def __init__(
        self, chains: Sequence[Chain], origins: Sequence[Sequence[int]] | None = None
    ) -> None:
        self.ndim = chains[0].ndim
        self.schedule = make_schedule(chains, origins or [chain.origin for chain in chains])

    @property
    def before(self) -> tuple[int, ...]:
        """Samples before the first output that it needs, per axis."""
        return _from_slabs(self.schedule.before, self.ndim)

    @property
    def after(self) -> tuple[int, ...]:
        """Samples after the last output that it needs, per axis."""
        return _from_slabs(self.schedule.after, self.ndim)

    def __call__(
        self,
        x: Tensor,
        boundary: str,
        *,
        before: Sequence[int] | None = None,
        after: Sequence[int] | None = None,
    ) -> Tensor:
        """Pad as the boundary says and apply the chains.

        Parameters
        ----------
        x : torch.Tensor
            float32 or float64 on the CPU, ``(..., *n)``.
        boundary : {"periodic", "reflect", "zero"}
            How the image goes on; it is never padded in memory.
        before, after : sequence of int, optional
            Samples to pad with. By default as many as are needed for the output to have the
            shape of `x`; zeros give the part that needs no padding.

        Returns
        -------
        torch.Tensor
            ``(..., *(before + n + after - reach))``.
        """
        low = as_slabs(self.before if before is None else before, 0)
        high = as_slabs(self.after if after is None else after, 0)
        n = as_slabs(x.shape[-self.ndim :], 1)
        reach = self.schedule.reach
        shape = tuple(a + b + c - r for a, b, c, r in zip(low, n, high, reach, strict=True))
        if min(shape) < 1:
            raise ValueError("The image is smaller than the kernel, and there is no padding.")
        sources = tuple(
            source_index(size, a, b, boundary) for size, a, b in zip(n, low, high, strict=True)
        )
        images = np.ascontiguousarray(x.detach().numpy()).reshape(-1, *n)
        out = _aligned((len(images), *shape), images.dtype)
        self._run(images, out, sources, low[2])
        return torch.as_tensor(out).reshape(*x.shape[: -self.ndim], *_from_slabs(shape, self.ndim))

    def _run(
        self,
        images: np.ndarray,
        outs: np.ndarray,
        sources: tuple[np.ndarray, ...],
        inside: int,
    ) -> None:
        from napari_convfact.execution.fused import run_tile

        plan = self.schedule
        weights = plan.weights.astype(images.dtype)
        block = block_samples(images.itemsize)

        def run_box(image: np.ndarray, out: np.ndarray, low: Place, high: Place) -> None:
            rows, columns = (high[i] - low[i] + plan.reach[i] for i in (1, 2))
            strides = ring_strides(rows, columns, image.itemsize)
            work = _aligned((plan.slots * strides[1] + 2 * block,), image.dtype)
            run_tile(
                image, out, sources, inside, low, high, plan.reach,
                plan.rings, plan.stages, plan.taps, weights, block, strides, work,
            )  # fmt: skip

        boxes = choose_boxes(outs.shape[1:], plan.reach, plan.slots, outs.itemsize)
        run_all(
            [
                partial(run_box, image, out, low, high)
                for image, out in zip(images, outs, strict=True)
                for low, high in boxes
            ]
        )


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return memory that begins with a cache line: a tenth faster than as malloc gives it."""
    size = math.prod(shape)
    buffer = np.empty(size + 64 // dtype.itemsize, dtype)
    first = -buffer.ctypes.data % 64 // dtype.itemsize
    return buffer[first : first + size].reshape(shape)


def _from_slabs(values: Sequence[int], ndim: int) -> tuple[int, ...]:
    slabs, rows, columns = values
    return {1: (columns,), 2: (slabs, columns), 3: (slabs, rows, columns)}[ndim]
