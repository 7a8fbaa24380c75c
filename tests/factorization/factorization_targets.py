"""The kernels that the tests factorize, made from their definitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.signal

LOW = np.array([-3, -15, 73, 170, 73, -15, -3]) / 280  # near_sym_a, synthesis low-pass
HIGH = np.array([-1, -5, 12, -5, -1]) / 20  # and high-pass
LAPLACIAN = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16
SOBEL = np.outer([1, 2, 1], [1.0, 0, -1])


def wavelet(band: str) -> np.ndarray:
    """Return an impulse response on the 16 x 16 canvas of the original problem."""
    rows, columns = {
        "ll": (LOW, LOW),
        "lh": (HIGH, LOW),
        "hl": (LOW, HIGH),
        "hh": (HIGH, HIGH),
    }[band]
    canvas = np.zeros((16, 16))
    a, b = len(rows) // 2, len(columns) // 2
    canvas[8 - a : 9 + a, 8 - b : 9 + b] = np.outer(rows, columns)
    return canvas


def normal_kernels() -> tuple[np.ndarray, np.ndarray]:
    """Return the 5x5 and then the 7x7 that ``default_rng(0)`` draws."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 5)), rng.standard_normal((7, 7))


def disk(radius: float, size: int) -> np.ndarray:
    """Return a disk of unit sum, every pixel the mean of 4 x 4 points."""
    points = (np.arange(4 * size) + 0.5) / 4 - size / 2
    inside = (points[:, None] ** 2 + points**2 <= radius**2).astype(float)
    pixels = inside.reshape(size, 4, size, 4).mean((1, 3))
    return pixels / pixels.sum()


def product(factors: Sequence[np.ndarray], dilations: Sequence[int] | None = None) -> np.ndarray:
    """Convolve factors with SciPy: independent of the package."""
    result = np.ones((1,) * factors[0].ndim)
    for factor, d in zip(factors, dilations or [1] * len(factors), strict=True):
        spread = np.zeros([1 + d * (s - 1) for s in factor.shape], factor.dtype)
        spread[(slice(None, None, d),) * factor.ndim] = factor
        result = scipy.signal.convolve(result, spread, method="direct")
    return result


def nmse(kernel: np.ndarray, reconstruction: np.ndarray) -> float:
    """Squared error over the kernel's energy."""
    return float(np.sum(np.abs(kernel - reconstruction) ** 2) / np.sum(np.abs(kernel) ** 2))
