"""Which neighbours predict a pixel, and which of their weights are tied to each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

TIES = ("full", "symmetric", "ring", "causal")


@dataclass(frozen=True)
class Support:
    """The neighbours of a pixel: a box around it without its centre.

    Pixel p is predicted as the sum over the offsets d of ``w(d) x(p + d)``. With several
    channels the variables run through the channels first: (offset 0, channel 0),
    (offset 0, channel 1), ...

    Attributes
    ----------
    radius : tuple of int
        Neighbours to each side, for each axis.
    dilation : int
        Distance between neighbours in pixels.
    channels : int
        Number of the image's channels.
    """

    radius: tuple[int, ...]
    dilation: int = 1
    channels: int = 1

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.radius)

    @property
    def reach(self) -> tuple[int, ...]:
        """How far the neighbours extend to each side, in pixels."""
        return tuple(r * self.dilation for r in self.radius)

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of the box in pixels."""
        return tuple(2 * r + 1 for r in self.reach)

    @cached_property
    def steps(self) -> np.ndarray:
        """Offsets in units of the dilation, ``(m, ndim)``, in the order of a raster scan."""
        box = itertools.product(*(range(-r, r + 1) for r in self.radius))
        return np.array([step for step in box if any(step)]).reshape(-1, self.ndim)

    @property
    def offsets(self) -> np.ndarray:
        """Offsets in pixels, ``(m, ndim)``."""
        return self.steps * self.dilation

    @property
    def size(self) -> int:
        """Number of variables that predict a channel: offsets times channels."""
        return len(self.steps) * self.channels

    def check_fits(self, shape: Sequence[int]) -> None:
        """Raise a ValueError if the box is larger than an image of the given shape."""
        if any(k > n for k, n in zip(self.extent, shape, strict=True)):
            raise ValueError(
                f"Neighbours up to {max(self.reach)} pixels away do not fit into an image of shape "
                f"{tuple(shape)}: use a smaller radius or dilation, or larger images."
            )

    def groups(self, tie: str) -> list[np.ndarray]:
        """Return the rows of `steps` that share each free weight.

        Parameters
        ----------
        tie : {"full", "symmetric", "ring", "causal"}
            A weight of its own for each neighbour; one for each pair of opposite
            neighbours; one for each distance; only for neighbours that precede the pixel
            in a raster scan.
        """
        steps = self.steps
        if tie == "full":
            keys = list(range(len(steps)))
        elif tie == "symmetric":
            keys = [min(i, len(steps) - 1 - i) for i in range(len(steps))]
        elif tie == "ring":
            keys = [int(square) for square in (steps**2).sum(axis=1)]
        elif tie == "causal":
            # In raster order the first half precedes the centre.
            return [np.array([i]) for i in range(len(steps) // 2)]
        else:
            raise ValueError(f"tie must be one of {', '.join(TIES)}, not {tie!r}.")
        array = np.array(keys)
        return [np.flatnonzero(array == key) for key in sorted(set(keys))]

    def tie_matrix(self, tie: str) -> np.ndarray:
        """Return T, ``(size, free)``, that turns free weights into the variables' weights."""
        groups = self.groups(tie)
        one = np.zeros((len(self.steps), len(groups)))
        for column, group in enumerate(groups):
            one[group, column] = 1
        return np.kron(one, np.eye(self.channels))

    def kernels(self, weights: np.ndarray, reach: Sequence[int] | None = None) -> np.ndarray:
        """Lay weights out as convolution kernels.

        Parameters
        ----------
        weights : numpy.ndarray
            ``(..., size)`` for one predicted channel each.
        reach : sequence of int, optional
            Half size of the kernels, for banks of several dilations.

        Returns
        -------
        numpy.ndarray
            ``(..., channels, *k)``; a convolution with it predicts the image.
        """
        reach = self.reach if reach is None else reach
        lead = weights.shape[:-1]
        kernels = np.zeros((*lead, self.channels, *(2 * r + 1 for r in reach)), weights.dtype)
        values = weights.reshape(*lead, len(self.steps), self.channels)
        for index, offset in enumerate(self.offsets):
            # Convolution reads x(p - d) with the weight at d.
            place = tuple(r - d for r, d in zip(reach, offset, strict=True))
            kernels[(..., *place)] = values[..., index, :]
        return kernels

    def weights(self, kernels: np.ndarray) -> np.ndarray:
        """Read the weights out of kernels: the inverse of `kernels` on the support.

        Parameters
        ----------
        kernels : numpy.ndarray
            ``(..., channels, *k)``, odd sizes.

        Returns
        -------
        numpy.ndarray
            ``(..., size)``
        """
        reach = [n // 2 for n in kernels.shape[-self.ndim :]]
        places = [
            tuple(r - d for r, d in zip(reach, offset, strict=True)) for offset in self.offsets
        ]
        values = np.stack([kernels[(..., *place)] for place in places], axis=-2)
        return values.reshape(*values.shape[:-2], self.size)


def make_supports(
    radius: int | Sequence[int], dilations: Sequence[int], ndim: int, channels: int = 1
) -> tuple[Support, ...]:
    """Return a `Support` for each dilation, or a ValueError; see `make_support`."""
    if np.ndim(dilations) != 1 or len(dilations) == 0:
        raise ValueError(
            f"dilations must be a sequence of whole numbers, as (1, 2), not {dilations!r}."
        )
    return tuple(make_support(radius, dilation, ndim, channels) for dilation in dilations)


def make_support(
    radius: int | Sequence[int], dilation: int, ndim: int, channels: int = 1
) -> Support:
    """Return a `Support`, or a ValueError about radius or dilation.

    Parameters
    ----------
    radius : int or sequence of int
        For all axes or for each; at least one must be positive.
    dilation : int
        At least 1.
    ndim : int
        Number of spatial axes.
    channels : int
        Number of channels.
    """
    radii = tuple(radius) if isinstance(radius, (Sequence, np.ndarray)) else (radius,) * ndim
    if len(radii) != ndim or any(r != int(r) or r < 0 for r in radii) or not any(radii):
        raise ValueError(
            f"radius must be a positive whole number, or one for each of {ndim} axes, "
            f"not {radius!r}."
        )
    if dilation != int(dilation) or dilation < 1:
        raise ValueError(f"A dilation must be a whole number of at least 1, not {dilation!r}.")
    return Support(tuple(int(r) for r in radii), int(dilation), channels)
