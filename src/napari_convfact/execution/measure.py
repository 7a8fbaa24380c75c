"""Time ways of applying a kernel, and remember what was measured."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence

import torch

from napari_convfact.foundation import fft
from napari_convfact.foundation.device import cpu_count

# Larger images are probed on a part of this many samples.
_PROBE_SAMPLES = 2**22
_BUDGET_SECONDS = 0.1
# Short runs are repeated over some milliseconds, in which other work comes and goes.
_MOST_RUNS = 25
# What takes longer is timed once.
_LONG_SECONDS = 0.5

_known: dict[Hashable, float] = {}
_lock = threading.Lock()


def seconds(call: Callable[[], object], *, budget: float = _BUDGET_SECONDS) -> float:
    """Return the shortest time of a few runs of `call`, after one that is not counted.

    Parameters
    ----------
    call : callable
        Without arguments.
    budget : float
        No further run is begun after so many seconds; there are one to twenty-five.
    """
    call()
    begin = time.perf_counter()
    times: list[float] = []
    while len(times) < _MOST_RUNS and (not times or time.perf_counter() - begin < budget):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def remembered(key: Hashable, prepare: Callable[[], Callable[[], object]]) -> float:
    """Return `seconds` of what `prepare` returns, measured once per key and thread count."""
    key = (key, cpu_count())
    # Held while measuring: two probes at once would slow each other down.
    with _lock:
        if key not in _known:
            _known[key] = seconds(prepare())
        return _known[key]


def take_turns(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median time of each contender, measured in turns, so that all see the same load.

    An untimed call goes before each timed one, so that each contender finds its own memory
    and caches and not what the one before it left.

    Parameters
    ----------
    contenders : dict of callable
        Without arguments.
    rounds : int
        Turns after the first. A contender that takes long has no others.

    Returns
    -------
    dict of float
        Seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, call in contenders.items():
            if turn and times[name][0] > _LONG_SECONDS:
                continue
            call()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def probe_shape(shape: Sequence[int]) -> tuple[tuple[int, ...], float]:
    """Return a part of a shape that is quickly measured, and how many such parts it has."""
    part = [int(n) for n in shape]
    while math.prod(part) > _PROBE_SAMPLES:
        longest = part.index(max(part))
        part[longest] = -(-part[longest] // 2)
    return tuple(part), math.prod(shape) / math.prod(part)


def fft_seconds(torus: Sequence[int], dtype: torch.dtype, device: torch.device) -> float:
    """Return the time of a convolution by real transforms of size `torus`.

    It counts the forward transform, the product with a known spectrum and the inverse. The
    time of a large torus is extrapolated from a part of it.
    """
    part, parts = probe_shape(torus)
    part = fft.fast_shape(part)

    def prepare() -> Callable[[], object]:
        image = torch.ones(part, dtype=dtype, device=device)
        transfer = fft.rfftn(image, part)

        def convolve() -> None:
            spectrum = fft.rfftn(image, part).mul_(transfer)
            fft.irfftn(spectrum, part, overwrite=True)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return convolve

    growth = math.log2(math.prod(torus) + 1) / math.log2(math.prod(part) + 1)
    return parts * growth * remembered(("fft", part, dtype, device), prepare)
