"""Measure every way to apply a factorized kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from napari_convfact.convolution.engines import MOST_MULTIPLICATIONS, fused_seconds
from napari_convfact.execution import measure
from napari_convfact.execution.chain import Chain
from napari_convfact.factorization.certificates import separate
from napari_convfact.factorization.result import Factorization
from napari_convfact.foundation import fft


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
    kernel = factorization.kernel
    box = _box(kernel)
    chains = [Chain.of(factors, factorization.dilations) for factors in factorization.terms]
    torus = fft.fast_shape([n + k - 1 for n, k in zip(shape, box.shape, strict=True)])
    times = {
        "chain": fused_seconds(chains, shape, torch.float32),
        "FFT": measure.fft_seconds(torus, torch.float32, torch.device("cpu")),
    }
    if math.prod(box.shape) <= MOST_MULTIPLICATIONS:
        times["direct"] = fused_seconds([Chain.of([box])], shape, torch.float32)
    if factorization.macs_separable is not None and kernel.ndim > 1:
        times["separable"] = fused_seconds(
            [Chain.separable(separate(box)[0])], shape, torch.float32
        )
    return times


def _box(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel's taps without zeros around them."""
    taps = np.nonzero(kernel)
    return kernel[tuple(slice(int(i.min()), int(i.max()) + 1) for i in taps)]
