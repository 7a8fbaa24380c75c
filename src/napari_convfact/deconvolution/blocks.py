"""Elementwise work in pieces that fit the cache, so that several operations cost one pass."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Samples per thread: torch gives no thread fewer.
_BLOCK = 2**15


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield matching views of tensors of one shape, split along the first axis.

    On devices other than the CPU there is one piece: launching many kernels costs more.
    """
    first = tensors[0]
    if first.device.type != "cpu":
        yield tensors
        return
    samples = _BLOCK * torch.get_num_threads()
    rows = max(1, samples * len(first) // max(1, first.numel()))
    yield from zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def total(x: Tensor) -> float:
    """Return the sum of a tensor, accumulated in float64 where the device has it."""
    return float(x.sum(dtype=None if x.device.type == "mps" else torch.float64))
