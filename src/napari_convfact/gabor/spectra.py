"""Spectra of Gabor and log-Gabor kernels in closed form.

Frequencies are in cycles per pixel. A spectrum is close to zero over most of the plane, so a
`Band` keeps only the box of bins where it is not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_convfact.gabor.torus import spread

#: Copies of the spectrum that sampling adds, on each side, where it is not cut to a box.
_PERIODS = 2


@dataclass(frozen=True)
class Band:
    """A spectrum on the box of bins where it is not negligible.

    Attributes
    ----------
    values : torch.Tensor
        Real, ``(*h)`` with ``h <= n``.
    start : tuple of int
        Bin of the box's first sample along each axis, modulo ``n``; negative ones are
        negative frequencies.
    """

    values: Tensor
    start: tuple[int, ...]


@dataclass(frozen=True)
class Wave:
    """One Gabor kernel: a plane wave under a Gaussian.

    Attributes
    ----------
    frequency : float
        Cycles per pixel.
    direction : tuple of float
        Unit wave vector in the order of the image's axes.
    along, across : float
        Standard deviations of the Gaussian in pixels, along the wave vector and across it.
    """

    frequency: float
    direction: tuple[float, ...]
    along: float
    across: float


def gaussian(
    frequencies: Sequence[Tensor],
    center: Sequence[float | Tensor],
    direction: Sequence[float | Tensor],
    along: float | Tensor,
    across: float | Tensor,
) -> Tensor:
    """Return the transform of a Gaussian of sum 1 that is modulated to a frequency.

    Parameters
    ----------
    frequencies : sequence of torch.Tensor
        Lattice of each axis, shaped to broadcast.
    center : sequence of float
        The frequency that it is modulated to.
    direction : sequence of float
        Unit vector of its first principal axis.
    along, across : float
        Standard deviations in pixels along and across `direction`.

    Returns
    -------
    torch.Tensor
        Real and positive, at most 1. Gradients flow to all tensors among the arguments.
    """
    offsets = [w - c for w, c in zip(frequencies, center, strict=True)]
    projection = sum(d * offset for d, offset in zip(direction, offsets, strict=True))
    square = sum(offset**2 for offset in offsets)
    quadratic = across**2 * square + (along**2 - across**2) * projection**2
    return torch.exp(torch.as_tensor(-2 * math.pi**2 * quadratic))


def gabor_spectrum(
    shape: Sequence[int],
    frequency: Tensor,
    direction: Sequence[Tensor],
    along: Tensor,
    across: Tensor,
    *,
    dc_free: bool,
) -> Tensor:
    """Return the whole spectrum of a sampled Gabor kernel, differentiable in its parameters.

    Parameters
    ----------
    shape : sequence of int
        Size of the torus.
    frequency, along, across : torch.Tensor
        Scalars as in `Wave`; `direction` has one for each axis.
    direction : sequence of torch.Tensor
        Unit wave vector.
    dc_free : bool
        Subtract the multiple of the Gaussian that makes the kernel sum to zero.

    Returns
    -------
    torch.Tensor
        Real, `shape`, in the order of ``numpy.fft.fftfreq``.
    """
    axes = [torch.arange(n, dtype=frequency.dtype, device=frequency.device) / n for n in shape]
    center = [frequency * d for d in direction]

    def periodic(center: Sequence[float | Tensor]) -> Tensor:
        total = torch.zeros(tuple(shape), dtype=frequency.dtype, device=frequency.device)
        for periods in itertools.product(range(-_PERIODS, _PERIODS + 1), repeat=len(axes)):
            lattice = _mesh([w + period for w, period in zip(axes, periods, strict=True)])
            total = total + gaussian(lattice, center, direction, along, across)
        return total

    wave = periodic(center)
    if not dc_free:
        return wave
    envelope = periodic([0.0] * len(axes))
    zero = (0,) * len(axes)
    return wave - wave[zero] / envelope[zero] * envelope


def gabor_band(
    shape: Sequence[int], wave: Wave, *, dc_free: bool, tolerance: float, dtype: torch.dtype
) -> Band:
    """Return the spectrum of a sampled Gabor kernel with peak 1.

    It has the copies that sampling adds, so it is the transform of the kernel's samples.

    Parameters
    ----------
    shape : sequence of int
        Size of the torus.
    wave : Wave
        The kernel.
    dc_free : bool
        Subtract the multiple of the Gaussian that makes the kernel sum to zero.
    tolerance : float
        Values below it are left out.
    dtype : torch.dtype
        Type of the values.

    Returns
    -------
    Band
    """
    ndim = len(shape)
    center = [wave.frequency * d for d in wave.direction]
    offset = zero_sum_share(wave) if dc_free else 0.0
    low, high = _extent(wave, center, offset, tolerance)
    start = [math.floor(a * n) for a, n in zip(low, shape, strict=True)]
    size = [math.ceil(b * n) - a + 1 for a, b, n in zip(start, high, shape, strict=True)]
    axes = _mesh(
        [
            torch.arange(a, a + h, dtype=dtype) / n
            for a, h, n in zip(start, size, shape, strict=True)
        ]
    )
    values = gaussian(axes, center, wave.direction, wave.along, wave.across)
    if offset:
        values -= offset * gaussian(axes, [0.0] * ndim, wave.direction, wave.along, wave.across)
    for axis, n in enumerate(shape):
        if values.shape[axis] > n:
            values, start[axis] = spread(values, axis, start[axis], n), 0
    zero = tuple(-a % n for a, n in zip(start, shape, strict=True))
    if dc_free and all(i < h for i, h in zip(zero, values.shape, strict=True)):
        # What is left there is rounding, and would answer to a constant.
        values[zero] = 0
    return Band(values, tuple(start))


def log_gabor_band(
    shape: Sequence[int],
    wave: Wave,
    log_width: float,
    *,
    tolerance: float,
    dtype: torch.dtype,
) -> Band:
    """Return the spectrum of a log-Gabor kernel with peak 1.

    A Gaussian of the logarithm of the frequency's magnitude times a Gaussian of the angle to
    the wave vector, of standard deviation ``1 / (2 pi across frequency)`` as a Gabor
    kernel's is at its frequency. It has no value at zero.

    Parameters
    ----------
    shape : sequence of int
        Size of the torus.
    wave : Wave
        Frequency and direction; `across` sets the angular width.
    log_width : float
        Standard deviation of the natural logarithm of the frequency.
    tolerance, dtype
        As in `gabor_band`.

    Returns
    -------
    Band
    """
    reach = wave.frequency * math.exp(log_width * math.sqrt(-2 * math.log(tolerance)))
    half = [min(math.ceil(reach * n), (n - 1) // 2) for n in shape]
    start = [-h for h in half]
    size = [n if 2 * h + 2 >= n else 2 * h + 1 for h, n in zip(half, shape, strict=True)]
    axes = _mesh(
        [
            torch.arange(a, a + h, dtype=dtype) / n
            for a, h, n in zip(start, size, shape, strict=True)
        ]
    )
    projection = sum(d * w for d, w in zip(wave.direction, axes, strict=True))
    radius = torch.as_tensor(sum(w**2 for w in axes)).sqrt()
    cosine = (projection / radius.clamp_min(1e-30)).clamp(-1, 1)
    angle = torch.acos(cosine) * (2 * math.pi * wave.across * wave.frequency)
    logarithm = torch.log(radius.clamp_min(1e-30) / wave.frequency) / log_width
    values = torch.exp(-0.5 * (angle**2 + logarithm**2))
    values[values < tolerance] = 0
    return _trim(Band(values, tuple(start)))


def zero_sum_share(wave: Wave) -> float:
    """Return which share of the Gaussian has the same sum as the wave under it."""
    center = [wave.frequency * d for d in wave.direction]
    periods = torch.arange(-_PERIODS, _PERIODS + 1, dtype=torch.float64)
    axes = _mesh([periods] * len(center))
    envelope = (wave.direction, wave.along, wave.across)
    wave_sum = gaussian(axes, center, *envelope).sum()
    return float(wave_sum / gaussian(axes, [0.0] * len(center), *envelope).sum())


def _extent(
    wave: Wave, center: Sequence[float], offset: float, tolerance: float
) -> tuple[list[float], list[float]]:
    """Return the box of frequencies outside of which the spectrum is below `tolerance`."""
    along, across = 1 / (2 * math.pi * wave.along), 1 / (2 * math.pi * wave.across)
    deviation = [math.sqrt((d * along) ** 2 + (1 - d**2) * across**2) for d in wave.direction]
    reach = math.sqrt(-2 * math.log(tolerance))
    low = [c - reach * s for c, s in zip(center, deviation, strict=True)]
    high = [c + reach * s for c, s in zip(center, deviation, strict=True)]
    if offset > tolerance:
        reach = math.sqrt(2 * math.log(offset / tolerance))
        low = [min(a, -reach * s) for a, s in zip(low, deviation, strict=True)]
        high = [max(b, reach * s) for b, s in zip(high, deviation, strict=True)]
    return low, high


def _trim(band: Band) -> Band:
    """Cut the zero margins of a box."""
    values, start = band.values, list(band.start)
    for axis in range(values.ndim):
        others = [other for other in range(values.ndim) if other != axis]
        kept = torch.nonzero(values.amax(others))
        # A small torus may have no frequency that the kernel sees: a zero stands for it.
        first, last = (int(kept[0]), int(kept[-1])) if len(kept) else (0, 0)
        values = values.narrow(axis, first, last - first + 1)
        start[axis] += first
    return Band(values.contiguous(), tuple(start))


def _mesh(axes: Sequence[Tensor]) -> list[Tensor]:
    """Shape the lattice of each axis so that together they broadcast to the whole."""
    ndim = len(axes)
    return [w.reshape([-1 if i == axis else 1 for i in range(ndim)]) for axis, w in enumerate(axes)]
