"""Colour images on tiles: their colours as one more axis, or their luminance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np

from napari_convfact.operations.colours import luminance_of
from napari_convfact.operations.operation import Result, SpatialImage
from napari_convfact.operations.placement import placed

# Alpha is no colour.
_COLOURS = 3


def colours_apart(image: SpatialImage) -> SpatialImage:
    """Return a colour image with a leading axis ``colour``; others as they are.

    The axis comes before all others, so that every method takes it for one of separate images.
    """
    return _placed(ColoursFirst(image.data), image, ("colour",)) if image.rgb else image


def luminance_only(image: SpatialImage) -> SpatialImage:
    """Return the luminance of a colour image; others as they are."""
    return _placed(Luminance(image.data), image, ()) if image.rgb else image


def _placed(data: LazyColours, image: SpatialImage, axes: tuple[str, ...]) -> SpatialImage:
    result = Result(data, image.name, leading_axes=axes)
    return replace(placed(result, {"image": image}), path=image.path)


class LazyColours(ABC):
    """An array that is made of a colour image where it is sliced.

    Parameters
    ----------
    data : array_like
        ``(..., y, x, 3)``, or 4 with alpha: anything with shape, dtype and slicing.

    Attributes
    ----------
    shape : tuple of int
        Without the last axis.
    dtype : numpy.dtype
        Of what slicing returns.
    chunks : tuple of int or None
        The largest chunk's size, where the data have chunks.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self.shape: tuple[int, ...] = tuple(data.shape[:-1])
        self.dtype = np.dtype(data.dtype)
        chunks = getattr(data, "chunks", None)
        self.chunks: tuple[int, ...] | None = None
        if chunks:  # dask lists the sizes of all
            self.chunks = tuple(c if isinstance(c, int) else max(c) for c in chunks[:-1])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @abstractmethod
    def __getitem__(self, where: tuple[int | slice, ...]) -> np.ndarray:
        """Read a part; `where` has an entry for each axis."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        del copy  # what is read is nobody else's
        return np.asarray(self[(slice(None),) * self.ndim], dtype)


class ColoursFirst(LazyColours):
    """``(3, ..., y, x)``, of the image's own dtype."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.shape = (_COLOURS, *self.shape)
        if self.chunks is not None:
            # Colours of one pixel lie together in files: they are worth reading together.
            self.chunks = (_COLOURS, *self.chunks)

    def __getitem__(self, where: tuple[int | slice, ...]) -> np.ndarray:
        """Read a part; `where` has an entry for each axis."""
        colour, *rest = where
        if not isinstance(colour, slice):
            return np.asarray(self._data[(*rest, colour)])
        colour = slice(*colour.indices(_COLOURS))
        return np.moveaxis(np.asarray(self._data[(*rest, colour)]), -1, 0)


class Luminance(LazyColours):
    """``(..., y, x)``, float32."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, where: tuple[int | slice, ...]) -> np.ndarray:
        """Read a part; `where` has an entry for each axis."""
        colours = np.asarray(self._data[(*where, slice(_COLOURS))])
        return luminance_of(colours)
