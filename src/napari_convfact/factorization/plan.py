"""Every way to apply a kernel to an image, with its error and its measured time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_convfact.execution.chain import Chain
from napari_convfact.factorization.chain import Layout
from napari_convfact.factorization.factorize import factorize_job
from napari_convfact.factorization.layouts import candidate_layouts
from napari_convfact.factorization.result import Factorization
from napari_convfact.factorization.ways import (
    EXACT,
    Kind,
    Way,
    fft_way,
    fused_way,
    retimed,
    separable_ways,
)
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, relay, run
from napari_convfact.foundation.validate import check_kernel

if TYPE_CHECKING:
    import pandas as pd

_STARTS = 96
# What a search may hold: taps times samples of the kernel, for all starts at once.
_MOST_ENTRIES = 2**25
# Ways that take up to so many times as long as the fastest may be faster at another moment.
_RIVAL = 3.0


@dataclass(frozen=True, eq=False)
class FilteringPlan:
    """All ways to apply a kernel to images of one shape.

    Attributes
    ----------
    ways : tuple of Way
        The best first: within the error the fastest first, then the others by their error.
    image_shape : tuple of int
    relative_error : float
        The error that was allowed.
    device : str
        What was measured on.
    """

    ways: tuple[Way, ...]
    image_shape: tuple[int, ...]
    relative_error: float
    device: str

    @property
    def best(self) -> Way:
        """The fastest way within the allowed error."""
        return self.ways[0]

    @property
    def fft(self) -> Way:
        """The way through Fourier transforms, which is exact."""
        return next(way for way in self.ways if way.kind == "fft")

    @property
    def message(self) -> str:
        """What to do, in a sentence for the user."""
        best = self.best
        if best.kind == "fft":
            return (
                "The Fourier transform is exact and faster than every way within an error of "
                f"{100 * self.relative_error:.2g} %: use it."
            )
        gain = self.fft.seconds / best.seconds
        first = f"{best.name[0].upper()}{best.name[1:]}: {gain:.1f} times faster than transforms"
        if best.exact:
            return f"{first}, and exact."
        exact = next(way for way in self.ways if way.exact)
        return (
            f"{first}, with an error of {100 * best.relative_error:.2g} %. "
            f"The fastest exact way ({exact.name}) takes {exact.seconds / best.seconds:.1f} times "
            "as long."
        )

    def table(self) -> pd.DataFrame:
        """Return a row per way, the best first.

        Returns
        -------
        pandas.DataFrame
            Columns ``way``, ``relative error``, ``within error``, ``multiplications (arithmetic
            only)``, ``milliseconds`` and ``times faster than FFT``, the last two measured.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "way": way.name,
                "relative error": way.relative_error,
                "within error": way.relative_error <= max(self.relative_error, EXACT),
                "multiplications (arithmetic only)": way.multiplications,
                "milliseconds": 1e3 * way.seconds,
                "times faster than FFT": self.fft.seconds / way.seconds,
            }
            for way in self.ways
        )


def plan_filtering(
    kernel: Any,
    image_shape: Sequence[int],
    *,
    relative_error: float = 0.01,
    time_limit: float = 10.0,
    device: str = "auto",
) -> FilteringPlan:
    """List every way to apply a kernel, with error, arithmetic and measured time.

    Parameters
    ----------
    kernel : array_like
        Real, one to three axes, origin at ``n // 2``.
    image_shape : sequence of int
        Size of the images along the kernel's axes.
    relative_error : float
        Error of the kernel (norm over norm) that is acceptable.
    time_limit : float
        Seconds for the search of chains, all together.
    device : str
        See `choose_device`. On other devices than the CPU only transforms are measured.

    Returns
    -------
    FilteringPlan

    Raises
    ------
    ValueError
        If the kernel's axes do not match the shape, the kernel is zero, or a number is out of
        range.

    Notes
    -----
    All ways but the transforms run in one fused pass over memory. Times are of float32 images
    with a reflecting boundary; images of more than four million samples are timed on a part.
    """
    return run(
        plan_filtering_job(
            kernel,
            image_shape,
            relative_error=relative_error,
            time_limit=time_limit,
            device=device,
        )
    )


def plan_filtering_job(
    kernel: Any,
    image_shape: Sequence[int],
    *,
    relative_error: float = 0.01,
    time_limit: float = 10.0,
    device: str = "auto",
) -> Job[FilteringPlan]:
    """`plan_filtering` as a generator of steps; closing it cancels."""
    values = check_kernel(kernel)
    shape = tuple(int(n) for n in image_shape)
    _check(values, shape, relative_error, time_limit)
    place = torch.device(choose_device(device).name)
    layouts = [layout for layout in candidate_layouts(values.shape) if _fits(values, layout)]
    total = len(layouts) + 4
    yield Step(0, total, "Measure the Fourier transform")
    ways = [fft_way(values, shape, place)]
    yield Step(1, total, "Measure the kernel as it is")
    ways.append(fused_way("direct", "direct", [Chain.of([values])], 0.0, shape, place))
    yield Step(2, total, "Separate the kernel")
    ways += separable_ways(values, relative_error, shape, place)
    for number, layout in enumerate(layouts, start=3):
        yield Step(number, total, f"Search: {_name(layout)}")
        found = yield from _search(values, layout, time_limit / len(layouts), number, total)
        chains = [Chain.of(factors, found.dilations) for factors in found.terms]
        error = _error(found)
        ways.append(fused_way(_name(layout), _kind(layout), chains, error, shape, place))
    if place.type == "cpu":
        yield Step(total - 1, total, "Time the fastest by turns")
        ways = _retime_rivals(ways, shape, relative_error)
    ways.sort(key=lambda way: _order(way, relative_error))
    return FilteringPlan(tuple(ways), shape, relative_error, str(place))


def _retime_rivals(ways: Sequence[Way], shape: tuple[int, ...], relative_error: float) -> list[Way]:
    """Time those again that may be the fastest."""
    orders = {way: _order(way, relative_error) for way in ways}
    fastest = min(orders.values())[1]
    rivals = [
        way
        for way, (wrong, seconds, _) in orders.items()
        if not wrong and seconds <= _RIVAL * fastest
    ]
    if len(rivals) == 1:
        return list(ways)
    return [way for way in ways if way not in rivals] + retimed(rivals, shape)


def _check(
    kernel: np.ndarray, shape: tuple[int, ...], relative_error: float, time_limit: float
) -> None:
    if not 1 <= kernel.ndim <= 3 or len(shape) != kernel.ndim or min(shape) < 1:
        raise ValueError(
            f"A kernel of shape {kernel.shape} does not fit images of shape {shape}: both need "
            "the same one to three axes."
        )
    if not kernel.any():
        raise ValueError("The kernel is zero everywhere: choose the layer that holds the kernel.")
    if not relative_error >= 0 or not time_limit > 0:
        raise ValueError("relative_error must be at least 0 and time_limit above 0.")


def _fits(kernel: np.ndarray, layout: Layout) -> bool:
    """Whether a search for the chain fits in memory."""
    return _STARTS * layout.taps * max(kernel.size, math.prod(layout.support)) <= _MOST_ENTRIES


def _search(
    kernel: np.ndarray, layout: Layout, seconds: float, number: int, total: int
) -> Job[Factorization]:
    """Search for a chain, with the plan's own count of steps."""
    job = factorize_job(
        kernel, layout.shapes, dilations=layout.dilations, starts=_STARTS, time_limit=seconds
    )
    change = partial(_within_plan, layout, number, total)
    return (yield from relay(job, change))


def _within_plan(layout: Layout, number: int, total: int, step: Step) -> Step:
    return Step(number, total, f"{_name(layout)}: {step.message}")


def _error(found: Factorization) -> float:
    # A chain that falls apart in float32 is as wrong as its result, not as its kernel.
    return math.hypot(found.relative_error, found.float32_error)


def _kind(layout: Layout) -> Kind:
    return "a-trous" if max(layout.dilations) > 1 else "chain"


def _name(layout: Layout) -> str:
    size = "x".join(str(max(along)) for along in zip(*layout.shapes, strict=True))
    if _kind(layout) == "chain":
        return f"chain of {len(layout.shapes)} factors {size}"
    return f"a-trous {size}, dilations {', '.join(map(str, layout.dilations))}"


def _order(way: Way, relative_error: float) -> tuple[bool, float, float]:
    """Sort by time within the error, by error beyond it, and what was not timed last."""
    seconds = math.inf if math.isnan(way.seconds) else way.seconds
    if way.relative_error <= max(relative_error, EXACT):
        return False, seconds, way.relative_error
    return True, way.relative_error, seconds
