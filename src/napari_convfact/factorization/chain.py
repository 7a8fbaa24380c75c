"""The geometry of a chain of small kernels, and its product.

A chain convolves its factors one after the other; a factor with dilation ``d`` has ``d - 1``
zeros between its taps. Along an axis a factor of ``s`` taps therefore spans ``1 + d (s - 1)``
samples and the chain spans ``K = 1 + sum d (s - 1)``. Origins are at ``n // 2`` as everywhere:
the chain's at ``K // 2``, the target's at half its own size, and they coincide. The chain's is
not the sum of its factors' where several factors span an even number of samples: two factors
of two taps make three, with the origin in the middle, at 1 and not at 2. A chain is therefore
always applied as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Shapes and dilations of the factors of a chain.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Taps of each factor along each axis.
    dilations : tuple of int
        Dilation of each factor.
    """

    shapes: tuple[Shape, ...]
    dilations: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shapes[0])

    @property
    def extents(self) -> tuple[Shape, ...]:
        """Samples that each dilated factor spans along each axis."""
        return tuple(
            tuple(1 + d * (s - 1) for s in shape)
            for shape, d in zip(self.shapes, self.dilations, strict=True)
        )

    @property
    def support(self) -> Shape:
        """Samples that the whole chain spans along each axis."""
        return tuple(1 + sum(e - 1 for e in axis) for axis in zip(*self.extents, strict=True))

    @property
    def taps(self) -> int:
        """Multiplications per sample of one chain."""
        return sum(math.prod(shape) for shape in self.shapes)

    def along(self, axis: int) -> Layout:
        """Return the one-dimensional chain along an axis."""
        return Layout(tuple((shape[axis],) for shape in self.shapes), self.dilations)


def dilate(factor: np.ndarray, dilation: int) -> np.ndarray:
    """Return a factor with ``dilation - 1`` zeros between its taps."""
    if dilation == 1:
        return factor
    spread = np.zeros([1 + dilation * (s - 1) for s in factor.shape], factor.dtype)
    spread[(slice(None, None, dilation),) * factor.ndim] = factor
    return spread


def multiply(factors: Sequence[np.ndarray], dilations: Sequence[int]) -> np.ndarray:
    """Return the kernel that a chain amounts to.

    Parameters
    ----------
    factors : sequence of numpy.ndarray
        Real or complex, all of the same number of axes.
    dilations : sequence of int
        One per factor.

    Returns
    -------
    numpy.ndarray
        Of the chain's support, in the factors' precision.
    """
    product = dilate(factors[0], dilations[0])
    for factor, dilation in zip(factors[1:], dilations[1:], strict=True):
        product = _convolve(product, dilate(factor, dilation))
    return product


def _convolve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Convolve two kernels; small ones in a few microseconds and, unlike an FFT, exact in zeros."""
    shape = [n + m - 1 for n, m in zip(a.shape, b.shape, strict=True)]
    product = np.convolve(_in_rows(a, shape), _in_rows(b, shape))
    return product.reshape(shape)


def _in_rows(kernel: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Lay a kernel out as a one-dimensional filter for flattened arrays of a shape."""
    if kernel.ndim == 1:
        return kernel
    frame = np.zeros((kernel.shape[0], *shape[1:]), kernel.dtype)
    frame[tuple(map(slice, kernel.shape))] = kernel
    beyond = sum((n - k) * math.prod(shape[i + 1 :]) for i, (n, k) in _inner(shape, kernel.shape))
    return frame.ravel()[: frame.size - beyond]


def _inner(shape: Sequence[int], kernel: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(zip(shape, kernel, strict=True)))[1:]


def apply_valid(
    image: np.ndarray, factors: Sequence[np.ndarray], dilations: Sequence[int]
) -> np.ndarray:
    """Run a chain factor by factor over a small image, keeping what needs no boundary.

    It is there to measure rounding, not to filter images.
    """
    flat = image.ravel()
    shape = list(image.shape)
    for factor, dilation in zip(factors, dilations, strict=True):
        spread = dilate(factor, dilation)
        flat = np.convolve(flat, _in_rows(spread, image.shape), "valid")
        shape = [n - k + 1 for n, k in zip(shape, spread.shape, strict=True)]
    strides = [math.prod(image.shape[i + 1 :]) * flat.itemsize for i in range(image.ndim)]
    return np.lib.stride_tricks.as_strided(flat, shape, strides)


def add_chains(terms: Sequence[Sequence[np.ndarray]], dilations: Sequence[int]) -> np.ndarray:
    """Return the kernel that a sum of chains amounts to."""
    kernels = [multiply(factors, dilations) for factors in terms]
    return np.sum(kernels, axis=0) if len(kernels) > 1 else kernels[0]


def overlap(inner: Sequence[int], outer: Sequence[int]) -> tuple[slice, ...]:
    """Return where a kernel lies in a larger one when their origins, ``n // 2``, coincide."""
    return tuple(
        slice(m // 2 - n // 2, m // 2 - n // 2 + n) for n, m in zip(inner, outer, strict=True)
    )


def embed(kernel: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return a kernel in a larger frame, origin on origin, with zeros around it."""
    frame = np.zeros(shape, kernel.dtype)
    frame[overlap(kernel.shape, shape)] = kernel
    return frame


def balance(factors: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Give all factors of a chain the same norm; their product stays."""
    norms = [float(np.linalg.norm(factor)) for factor in factors]
    if min(norms) == 0:
        return tuple(factors)
    mean = math.exp(sum(map(math.log, norms)) / len(norms))
    return tuple(factor * (mean / norm) for factor, norm in zip(factors, norms, strict=True))
