"""Elementwise work in pieces that fit the cache, so that several operations cost one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from napari_convfact.foundation.device import cpu_count
from napari_convfact.foundation.parallel import run_all
from napari_convfact.foundation.threads import one_torch_thread

# Samples of a piece: a few tensors of them fit a core's second-level cache.
_BLOCK = 2**16

T = TypeVar("T")


def map_blocks(function: Callable[..., T], *tensors: Tensor) -> list[T]:
    """Call a function with matching pieces of tensors, on all processors.

    The pieces do not depend on the number of processors, so that sums over them do not either.
    On devices other than the CPU there is one piece: launching many kernels costs more.

    Parameters
    ----------
    function : callable
        Gets a view of each tensor.
    *tensors : torch.Tensor
        Of one shape; they are split along the first axis.

    Returns
    -------
    list
        What the function returns, piece after piece.
    """
    first = tensors[0]
    if first.device.type != "cpu":
        return [function(*tensors)]
    if first.numel() <= _BLOCK:
        return _call_each(function, [tensors])
    rows = max(1, _BLOCK * len(first) // max(1, first.numel()))
    pieces = list(zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True))
    share = -(-len(pieces) // cpu_count())
    shares = [pieces[i : i + share] for i in range(0, len(pieces), share)]
    results = run_all([partial(_call_each, function, own) for own in shares])
    return [result for share_results in results for result in share_results]


def _call_each(function: Callable[..., T], pieces: Sequence[Sequence[Tensor]]) -> list[T]:
    with one_torch_thread():
        return [function(*piece) for piece in pieces]


def total(x: Tensor) -> float:
    """Return the sum of a tensor, accumulated in float64 where the device has it."""
    return float(x.sum(dtype=None if x.device.type == "mps" else torch.float64))
