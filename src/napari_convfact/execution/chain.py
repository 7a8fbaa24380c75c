"""A kernel written as successive convolutions with small factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Chain:
    """Factors that are convolved one after the other.

    Attributes
    ----------
    factors : tuple of numpy.ndarray
        float64, all of one number of axes; convolution convention.
    dilations : tuple of int
        Distance between a factor's taps, the same along all axes.
    """

    factors: tuple[np.ndarray, ...]
    dilations: tuple[int, ...]

    @classmethod
    def of(cls, factors: Sequence[np.ndarray], dilations: Sequence[int] | None = None) -> Chain:
        """Check the factors and make a chain of them."""
        arrays = tuple(np.asarray(factor, dtype=np.float64) for factor in factors)
        steps = (1,) * len(arrays) if dilations is None else tuple(int(d) for d in dilations)
        if not arrays or len({factor.ndim for factor in arrays}) != 1:
            raise ValueError("A chain needs at least one factor, all of one number of axes.")
        if len(steps) != len(arrays) or min(steps) < 1:
            raise ValueError(f"{len(arrays)} factors need as many dilations of at least 1.")
        return cls(arrays, steps)

    @classmethod
    def separable(cls, taps: Sequence[np.ndarray]) -> Chain:
        """Return the chain that applies `taps[i]` along axis i."""
        ndim = len(taps)
        shapes = [(1,) * axis + (-1,) + (1,) * (ndim - 1 - axis) for axis in range(ndim)]
        return cls.of([np.reshape(t, shape) for t, shape in zip(taps, shapes, strict=True)])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.factors[0].ndim

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the kernel that the chain stands for."""
        return tuple(1 + sum(reach) for reach in zip(*self._reaches(), strict=True))

    @property
    def origin(self) -> tuple[int, ...]:
        """Origin of the kernel that the chain stands for: ``n // 2`` of its shape."""
        return tuple(n // 2 for n in self.shape)

    @property
    def multiplications(self) -> int:
        """Multiplications a pixel."""
        return sum(int(np.count_nonzero(factor)) for factor in self.factors)

    def flipped(self) -> Chain:
        """Return the chain of the kernel mirrored along every axis."""
        return Chain(tuple(np.flip(factor) for factor in self.factors), self.dilations)

    def kernel(self) -> np.ndarray:
        """Return the kernel that the chain stands for, float64."""
        total = np.ones((1,) * self.ndim)
        for factor, dilation in zip(self.factors, self.dilations, strict=True):
            shape = [n + dilation * (k - 1) for n, k in zip(total.shape, factor.shape, strict=True)]
            grown = np.zeros(shape)
            for index in np.argwhere(factor):
                window = tuple(
                    slice(dilation * i, dilation * i + n)
                    for i, n in zip(index, total.shape, strict=True)
                )
                grown[window] += factor[tuple(index)] * total
            total = grown
        return total

    def _reaches(self) -> list[tuple[int, ...]]:
        return [
            tuple(d * (n - 1) for n in factor.shape)
            for factor, d in zip(self.factors, self.dilations, strict=True)
        ]
