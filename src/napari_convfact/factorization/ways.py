"""One way to apply a kernel: what it convolves with, its error and its measured time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from napari_convfact.convolution.apply import apply_chains
from napari_convfact.convolution.engines import fused_seconds
from napari_convfact.convolution.operator import Convolution
from napari_convfact.execution import measure
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.passes import FusedPass
from napari_convfact.execution.separable import separable_terms
from napari_convfact.foundation.fft import fast_shape

Kind = Literal["direct", "fft", "separable", "rank", "chain", "a-trous"]

# An error below this is the rounding of float32.
EXACT = 1e-6
# More multiplications a pixel are not worth timing: transforms have won long before.
_MOST_MULTIPLICATIONS = 4096
_TURNS = 6


@dataclass(frozen=True, eq=False)
class Way:
    """One way to apply a kernel.

    Attributes
    ----------
    name : str
        For the user, as ``"rank 3"`` or ``"chain of 4 a-trous, dilations 1, 2, 4, 8"``.
    kind : {"direct", "fft", "separable", "rank", "chain", "a-trous"}
    relative_error : float
        Norm of the kernel's error over the kernel's norm.
    multiplications : int
        Per pixel: arithmetic only, which does not predict the time.
    seconds : float
        Measured on this device for the plan's image shape, boundary included; NaN where it
        was not measured.
    chains : tuple of Chain
        What is convolved with, as a sum of chains.
    """

    name: str
    kind: Kind
    relative_error: float
    multiplications: int
    seconds: float
    chains: tuple[Chain, ...]

    @property
    def exact(self) -> bool:
        """Whether the error is the rounding of float32."""
        return self.relative_error <= EXACT

    def apply(self, image: Any, *, boundary: str = "reflect", device: str = "auto") -> Any:
        """Convolve an image in this way.

        Parameters
        ----------
        image : array_like
            ``(..., *n)``.
        boundary, device
            As for `apply_chains`.

        Returns
        -------
        numpy.ndarray
            float32, of the image's shape.
        """
        engine = "fft" if self.kind == "fft" else "fused"
        return apply_chains(image, self.chains, boundary=boundary, engine=engine, device=device)

    def prepared(self, image: torch.Tensor) -> Callable[[], object]:
        """Return what applies the way to an image, a float32 tensor on the CPU, all set up."""
        if self.kind != "fft":
            return partial(FusedPass(self.chains), image, "reflect")
        (chain,) = self.chains
        operator = Convolution(chain.kernel(), image.shape, boundary="reflect", engine="fft")
        return partial(operator.apply, image)


def retimed(ways: Sequence[Way], shape: Sequence[int]) -> list[Way]:
    """Time ways on the CPU again, by turns: what was measured one by one saw different loads."""
    part, parts = measure.probe_shape(shape)
    image = torch.ones(part)
    calls = {str(number): way.prepared(image) for number, way in enumerate(ways)}
    times = measure.take_turns(calls, _TURNS)
    return [
        replace(way, seconds=parts * seconds)
        for way, seconds in zip(ways, times.values(), strict=True)
    ]


def fft_way(kernel: np.ndarray, shape: Sequence[int], device: torch.device) -> Way:
    """Measure the way through Fourier transforms."""
    torus = fast_shape([n + k - 1 for n, k in zip(shape, kernel.shape, strict=True)])
    # Two real transforms of n log2(n) multiplications each, and a complex product.
    padded = math.prod(torus) / math.prod(shape)
    multiplications = round((2 * math.log2(math.prod(torus)) + 2) * padded)
    seconds = transform_seconds(kernel, shape, device)
    return Way("Fourier transform", "fft", 0.0, multiplications, seconds, (Chain.of([kernel]),))


def transform_seconds(kernel: np.ndarray, shape: Sequence[int], device: torch.device) -> float:
    """Return the time of a convolution through transforms, the kernel's spectrum known."""
    part, parts = measure.probe_shape(shape)

    def prepare() -> Callable[[], object]:
        operator = Convolution(kernel, part, boundary="reflect", engine="fft", device=str(device))
        image = torch.ones(part, device=device)

        def convolve() -> None:
            operator.apply(image)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return convolve

    return parts * measure.remembered(("operator", kernel.shape, part, device), prepare)


def fused_way(
    name: str,
    kind: Kind,
    chains: Sequence[Chain],
    relative_error: float,
    shape: Sequence[int],
    device: torch.device,
) -> Way:
    """Measure a way by one fused pass."""
    multiplications = sum(chain.multiplications for chain in chains)
    timed = device.type == "cpu" and multiplications <= _MOST_MULTIPLICATIONS
    seconds = fused_seconds(chains, shape, torch.float32) if timed else math.nan
    return Way(name, kind, relative_error, multiplications, seconds, tuple(chains))


def separable_ways(
    kernel: np.ndarray, relative_error: float, shape: Sequence[int], device: torch.device
) -> list[Way]:
    """Measure the best separable kernel, and the fewest separable terms within an error."""
    if sum(n > 1 for n in kernel.shape) < 2:
        return []
    terms = separable_terms(kernel)
    ways = [fused_way("separable", "separable", terms.chains(1), terms.errors[1], shape, device)]
    rank = terms.rank(relative_error)
    if rank > 1:
        chains = terms.chains(rank)
        ways.append(fused_way(f"rank {rank}", "rank", chains, terms.errors[rank], shape, device))
    return ways
