"""A bank of Gabor kernels and its spectra."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from napari_convfact.foundation import fft
from napari_convfact.foundation.memory import memory_budget
from napari_convfact.gabor.cache import BandCache
from napari_convfact.gabor.spatial import band_kernel, envelope_sum, gabor_kernel
from napari_convfact.gabor.spectra import Band, Wave, gabor_band, log_gabor_band
from napari_convfact.gabor.torus import add_box, mirror_frequencies

Radial = Literal["gabor", "log-gabor"]
Normalization = Literal["peak", "l2", "envelope"]

#: Standard deviations after which a kernel's envelope is taken to have ended.
REACH = 4.0
#: Of a kernel's sample.
_BYTES = 8
_TOLERANCE = {torch.float32: 1e-7, torch.float64: 1e-16}


@dataclass(frozen=True, eq=False)
class GaborBank:
    """Complex Gabor kernels by scale and orientation; make one with `gabor_bank`.

    Attributes
    ----------
    frequencies : tuple of float
        Cycles per pixel, one for each scale.
    directions : numpy.ndarray
        Unit wave vectors ``(n_orientations, ndim)`` in the order of the image's axes.
    along, across : tuple of float
        Standard deviations of each scale's Gaussian in pixels, along the wave vector and
        across it.
    radial : {"gabor", "log-gabor"}
        Profile over the magnitude of the frequency.
    log_width : float
        Standard deviation of the logarithm of the frequency (log-Gabor only).
    dc_free : bool
        Whether every kernel sums to zero.
    phase : float
        Phase of the wave at the origin, in radians.
    normalize : {"peak", "l2", "envelope"}
        What is 1: the largest gain, the kernel's energy, or the envelope's height.
    """

    frequencies: tuple[float, ...]
    directions: np.ndarray
    along: tuple[float, ...]
    across: tuple[float, ...]
    radial: Radial = "gabor"
    log_width: float = 0.0
    dc_free: bool = True
    phase: float = 0.0
    normalize: Normalization = "peak"
    _cache: BandCache = field(default_factory=BandCache, repr=False)
    _energies: dict[Wave, float] = field(default_factory=dict, repr=False)

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return int(self.directions.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_scales, n_orientations)``."""
        return len(self.frequencies), len(self.directions)

    @property
    def wavelengths(self) -> tuple[float, ...]:
        """Pixels per cycle of each scale."""
        return tuple(1 / f for f in self.frequencies)

    @cached_property
    def orientations(self) -> np.ndarray:
        """Angles of the wave vectors in the plane of the last two axes, from +x towards +y."""
        return np.arctan2(self.directions[:, -2], self.directions[:, -1])

    @property
    def factor(self) -> complex:
        """``exp(i phase)``."""
        return cmath.exp(1j * self.phase)

    @property
    def reach(self) -> int:
        """Pixels that the largest kernel extends from its origin."""
        return math.ceil(REACH * max(*self.along, *self.across))

    @property
    def angular_width(self) -> float:
        """Standard deviation of a kernel's gain over the angle to its wave vector (radians)."""
        cycles = max(a * f for a, f in zip(self.across, self.frequencies, strict=True))
        return 1 / (2 * math.pi * cycles)

    @property
    def strides(self) -> tuple[float, ...]:
        """Largest sampling step of each scale that its spectrum fits, to 1 % of its peak."""
        reach = 2 * math.sqrt(2 * math.log(100)) / (2 * math.pi)
        return tuple(min(a, b) / reach for a, b in zip(self.along, self.across, strict=True))

    def kernels(self, size: int | Sequence[int] | None = None) -> np.ndarray:
        """Return the kernels in space, origin at ``size // 2``.

        Parameters
        ----------
        size : int or sequence of int, optional
            Size of all kernels; by default odd, and large enough for the largest one. A
            smaller size cuts them, and what is cut no longer sums to zero.

        Returns
        -------
        numpy.ndarray
            complex64, ``(n_scales, n_orientations, *size)``: a quadrature pair in the real
            and the imaginary part.

        Raises
        ------
        ValueError
            If they do not fit in memory.
        """
        sizes = self._sizes(2 * self.reach + 1 if size is None else size)
        if _BYTES * math.prod(self.shape) * math.prod(sizes) > memory_budget():
            raise ValueError(
                f"{math.prod(self.shape)} kernels of {' x '.join(map(str, sizes))} do not fit in "
                "memory: use fewer scales, or a smaller size."
            )
        kernels = np.empty((*self.shape, *sizes), dtype=np.complex64)
        for scale, orientation in np.ndindex(*self.shape):
            kernels[scale, orientation] = self._kernel(sizes, scale, orientation)
        return kernels

    def spectrum(self, shape: Sequence[int]) -> np.ndarray:
        """Return all transfer functions.

        Parameters
        ----------
        shape : sequence of int
            Size of the torus.

        Returns
        -------
        numpy.ndarray
            float32 ``(n_scales, n_orientations, *shape)`` in the order of
            ``numpy.fft.fftfreq``; complex64 if `phase` is not zero.
        """
        shape = self._check_shape(shape)
        values = np.zeros((*self.shape, *shape), dtype=np.float32)
        for scale, orientation, band in self.bands(shape, torch.float32):
            add_box(torch.from_numpy(values[scale, orientation]), band.values, band.start)
        return values * np.complex64(self.factor) if self.phase else values

    def coverage(self, shape: Sequence[int]) -> np.ndarray:
        """Return the gain of the bank's energy: how well it sees each frequency.

        Parameters
        ----------
        shape : sequence of int
            Size of the torus.

        Returns
        -------
        numpy.ndarray
            float32, `shape`, in the order of ``numpy.fft.fftfreq``: the sum of the squared
            gains, averaged over a frequency and its negative, which real images have both.
        """
        total = torch.zeros(self._check_shape(shape))
        for _, _, band in self.bands(tuple(total.shape), torch.float32):
            add_box(total, band.values.square(), band.start)
        coverage: np.ndarray = ((total + mirror_frequencies(total)) / 2).numpy()
        return coverage

    def bands(
        self, shape: Sequence[int], dtype: torch.dtype, device: str | torch.device = "cpu"
    ) -> Iterator[tuple[int, int, Band]]:
        """Yield scale, orientation and spectrum of each kernel on a torus.

        Spectra are kept for the shapes that were asked for last.
        """
        for scale, orientation in np.ndindex(*self.shape):
            yield scale, orientation, self.band(shape, scale, orientation, dtype, device)

    def band(
        self,
        shape: Sequence[int],
        scale: int,
        orientation: int,
        dtype: torch.dtype,
        device: str | torch.device = "cpu",
    ) -> Band:
        """Return the spectrum of one kernel where it is not negligible."""

        def make() -> Band:
            band = self._make_band(shape, self.wave(scale, orientation), dtype)
            return Band(band.values.to(device), band.start)

        return self._cache.get((tuple(shape), dtype, str(device)), (scale, orientation), make)

    def release(self) -> None:
        """Free the spectra that are kept for the next image."""
        self._cache.clear()

    def wave(self, scale: int, orientation: int) -> Wave:
        """Return the parameters of one kernel."""
        direction = tuple(map(float, self.directions[orientation]))
        return Wave(self.frequencies[scale], direction, self.along[scale], self.across[scale])

    def _make_band(self, shape: Sequence[int], wave: Wave, dtype: torch.dtype) -> Band:
        band = self._unit_band(shape, wave, dtype, _TOLERANCE[dtype])
        return Band(band.values * self._height(wave), band.start)

    def _unit_band(
        self, shape: Sequence[int], wave: Wave, dtype: torch.dtype, tolerance: float
    ) -> Band:
        """Return a spectrum of peak 1."""
        if self.radial == "log-gabor":
            return log_gabor_band(shape, wave, self.log_width, tolerance=tolerance, dtype=dtype)
        return gabor_band(shape, wave, dc_free=self.dc_free, tolerance=tolerance, dtype=dtype)

    def _kernel(self, size: Sequence[int], scale: int, orientation: int) -> np.ndarray:
        wave = self.wave(scale, orientation)
        if self.radial == "gabor" and self.normalize != "l2":
            kernel = gabor_kernel(size, wave, dc_free=self.dc_free)
            height = envelope_sum(wave) if self.normalize == "envelope" else 1.0
            return kernel * (height * self.factor)
        torus = fft.fast_shape([max(n, _room(wave)) for n in size])
        band = self._make_band(torus, wave, torch.float64)
        return band_kernel(size, band, torus) * self.factor

    def _height(self, wave: Wave) -> float:
        if self.normalize == "peak":
            return 1.0
        if self.normalize == "envelope":
            return envelope_sum(wave)
        return self._energy(wave) ** -0.5

    def _energy(self, wave: Wave) -> float:
        """Return the energy of a kernel of peak 1, which is no matter of the image's size."""
        if wave not in self._energies:
            torus = fft.fast_shape([_room(wave)] * self.ndim)
            band = self._unit_band(torus, wave, torch.float64, _TOLERANCE[torch.float32])
            self._energies[wave] = float(band.values.square().sum() / math.prod(torus))
        return self._energies[wave]

    def _sizes(self, size: int | Sequence[int]) -> tuple[int, ...]:
        sizes = (int(size),) * self.ndim if np.ndim(size) == 0 else tuple(size)  # type: ignore[arg-type]
        return self._check_shape(sizes)

    def _check_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        shape = tuple(int(n) for n in shape)
        if len(shape) != self.ndim or min(shape) < 1:
            raise ValueError(f"The bank has {self.ndim} axes: the shape {shape} does not fit it.")
        return shape


def _room(wave: Wave) -> int:
    """Return the size of a torus on which twice its reach lies between a kernel and its copy."""
    return math.ceil(4 * REACH * max(wave.along, wave.across))
