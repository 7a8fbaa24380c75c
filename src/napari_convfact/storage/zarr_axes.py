"""Axes of an image in an OME-Zarr file: time, then channels, then space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_SPACE = ("z", "y", "x")
_TIME = ("t", "time")
_LONG_UNITS = {
    "nm": "nanometer",
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "s": "second",
    "ms": "millisecond",
}
_SHORT_UNITS = {"micrometer": "um"} | {
    word: unit for unit, word in _LONG_UNITS.items() if word != "micrometer"
}


@dataclass(frozen=True)
class StoredAxes:
    """Which axes of an image become which of the file's.

    The format has at most one time axis, one channel axis and three axes of space, in this
    order. Several channel-like axes (scale, orientation, channel) are merged into one.

    Attributes
    ----------
    time : int or None
        Index of the image's time axis.
    channels : tuple of int
        Indices of the axes that are merged, the slowest first; empty for none.
    space : tuple of int
        Indices of two or three axes of space.
    """

    time: int | None
    channels: tuple[int, ...]
    space: tuple[int, ...]

    @classmethod
    def of(cls, labels: Sequence[str], *, spatial: int = 2, name: str = "image") -> StoredAxes:
        """Sort axes by their labels.

        Parameters
        ----------
        labels : sequence of str
            Of the image's axes. The last two are space, and the one before if it is called z.
        spatial : int
            So many of the last axes are space, whatever they are called.
        name : str
            What to call the image in a message.

        Raises
        ------
        ValueError
            If there are fewer than two axes.
        """
        ndim = len(labels)
        if ndim < 2:
            raise ValueError(
                f"{name} has one axis, and OME-Zarr stores planes and volumes: write .npy."
            )
        n_space = max(spatial, 2)
        if ndim >= 3 and labels[-3].lower() in ("z", "axis -3"):
            n_space = 3
        leading = range(ndim - n_space)
        time = next((axis for axis in leading if labels[axis].lower() in _TIME), None)
        if time is None and ndim == 5 and labels[0] == "axis -5":
            time = 0  # five axes without names are time, channel, z, y, x
        channels = tuple(axis for axis in leading if axis != time)
        return cls(time, channels, tuple(range(ndim - n_space, ndim)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the file's axes."""
        time = ("t",) if self.time is not None else ()
        channel = ("c",) if self.channels else ()
        return time + channel + _SPACE[-len(self.space) :]

    def shape(self, image_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the file's shape for an image's."""
        time = () if self.time is None else (image_shape[self.time],)
        channel = (math.prod(image_shape[a] for a in self.channels),) if self.channels else ()
        return (*time, *channel, *(image_shape[axis] for axis in self.space))

    def per_axis(self, values: Sequence[Any], channel: Any) -> tuple[Any, ...]:
        """Return for each of the file's axes the image's value, or `channel`."""
        time = () if self.time is None else (values[self.time],)
        merged = (channel,) if self.channels else ()
        return (*time, *merged, *(values[axis] for axis in self.space))

    def index(self, leading: Sequence[int], image_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the file's index for an index of the image's leading axes.

        Parameters
        ----------
        leading : sequence of int
            One for each of the image's first axes, at least for all that are not space.
        image_shape : sequence of int
            The image's shape.
        """
        time = () if self.time is None else (leading[self.time],)
        channel: tuple[int, ...] = ()
        if self.channels:
            where = tuple(leading[axis] for axis in self.channels)
            sizes = tuple(image_shape[axis] for axis in self.channels)
            channel = (int(np.ravel_multi_index(where, sizes)),)
        return (*time, *channel, *(leading[axis] for axis in self.space if axis < len(leading)))


def long_unit(unit: str) -> str | None:
    """Return a unit as the format spells it; None for pixels and what it does not know."""
    return _LONG_UNITS.get(unit, unit if unit in _SHORT_UNITS else None)


def short_unit(unit: str | None) -> str:
    """Return a unit as the viewer spells it, ``"pixel"`` for none."""
    return _SHORT_UNITS.get(unit or "", unit or "pixel")
