"""Measure a factorization beside the exact ways to apply its kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from napari_convfact.execution.chain import Chain
from napari_convfact.factorization.result import Factorization
from napari_convfact.factorization.ways import EXACT, fft_way, fused_way, separable_ways


def measure_ways(factorization: Factorization, shape: Sequence[int]) -> dict[str, float]:
    """Time the chain and the exact ways beside it, on the CPU and in float32.

    Parameters
    ----------
    factorization : Factorization
        Of a real kernel of up to three axes.
    shape : sequence of int
        Of the image along the kernel's axes.

    Returns
    -------
    dict of str to float
        Seconds by ``"chain"``, ``"FFT"`` and, where they make sense, ``"direct"`` and
        ``"separable"``. Large images are probed on a part.
    """
    kernel, cpu = _without_zeros_around(factorization.kernel), torch.device("cpu")
    chains = [Chain.of(factors, factorization.dilations) for factors in factorization.terms]
    error = factorization.relative_error
    ways = {
        "chain": fused_way("chain", "chain", chains, error, shape, cpu),
        "FFT": fft_way(kernel, shape, cpu),
        "direct": fused_way("direct", "direct", [Chain.of([kernel])], 0.0, shape, cpu),
    }
    if factorization.macs_separable is not None and kernel.ndim > 1:
        ways["separable"] = separable_ways(kernel, EXACT, shape, cpu)[0]
    seconds = {name: way.seconds for name, way in ways.items()}
    return {name: value for name, value in seconds.items() if math.isfinite(value)}


def _without_zeros_around(kernel: np.ndarray) -> np.ndarray:
    taps = np.nonzero(kernel)
    return kernel[tuple(slice(int(i.min()), int(i.max()) + 1) for i in taps)]
