"""Complex kernels that are a real kernel times a plane wave, such as Gabor filters.

``exp(i w.x)`` passes through convolution: if ``f * g = h`` then the modulated f and g convolve
to the modulated h. So the real envelope is factorized and the wave goes onto each factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_convfact.factorization.certificates import SAME


@dataclass(frozen=True)
class Wave:
    """A plane wave ``exp(i (frequency . x + phase))``, x counted from the origin.

    Attributes
    ----------
    frequency : tuple of float
        Radians per sample along each axis.
    phase : float
        At the origin, in radians.
    """

    frequency: tuple[float, ...]
    phase: float

    def sample(
        self, shape: Sequence[int], origin: Sequence[int], dilation: int = 1, phase: float = 0.0
    ) -> np.ndarray:
        """Return the wave's values on a grid."""
        angle: np.ndarray = np.array(phase)
        for n, o, w in zip(shape, origin, self.frequency, strict=True):
            angle = angle[..., None] + w * (dilation * np.arange(n) - o)
        return np.exp(1j * angle)


def demodulate(kernel: np.ndarray) -> tuple[np.ndarray, Wave]:
    """Split a complex kernel into a real envelope and a plane wave.

    Parameters
    ----------
    kernel : numpy.ndarray
        complex128, origin at ``n // 2``.

    Returns
    -------
    envelope : numpy.ndarray
        float64.
    wave : Wave

    Raises
    ------
    ValueError
        If the kernel is not of this form.
    """
    frequency = []
    for axis in range(kernel.ndim):
        ahead, behind = (
            np.take(kernel, range(start, kernel.shape[axis] - 1 + start), axis) for start in (1, 0)
        )
        # Squared, because the envelope may change sign; a wave of w + pi is one of w then.
        turn = np.sum((ahead * behind.conj()) ** 2)
        frequency.append(float(np.angle(turn)) / 2)
    wave = Wave(tuple(frequency), 0.0)
    origin = [n // 2 for n in kernel.shape]
    flat = kernel * wave.sample(kernel.shape, origin).conj()
    phase = float(np.angle(np.sum(flat**2))) / 2
    envelope = flat * np.exp(-1j * phase)
    if np.linalg.norm(envelope.imag) > 10 * SAME * np.linalg.norm(kernel):
        raise ValueError(
            "The kernel is complex and not a real kernel times a plane wave: factorize its "
            "real and its imaginary part separately."
        )
    return np.ascontiguousarray(envelope.real), Wave(wave.frequency, phase)


def modulate(
    factors: Sequence[np.ndarray], dilations: Sequence[int], support: Sequence[int], wave: Wave
) -> tuple[np.ndarray, ...]:
    """Put a wave onto the factors of a chain, whose origin is at half its support."""
    zero = (0,) * len(support)
    modulated = [
        factor * wave.sample(factor.shape, zero, dilation)
        for factor, dilation in zip(factors, dilations, strict=True)
    ]
    lag = sum(w * (n // 2) for w, n in zip(wave.frequency, support, strict=True))
    modulated[0] = modulated[0] * np.exp(1j * (wave.phase - lag))
    return tuple(modulated)
