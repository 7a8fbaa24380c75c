"""Colour images: what filters make of them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_convfact.operations.operation import SpatialImage

#: ITU-R BT.709, as scikit-image's rgb2gray.
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def colours_first(image: SpatialImage, ndim: int = 2) -> Any:
    """Return the data with red, green, blue (not alpha) before the last `ndim` spatial axes."""
    if not image.rgb:
        return image.data
    return np.moveaxis(np.asarray(image.data)[..., :3], -1, -1 - ndim)


def luminance(image: SpatialImage) -> Any:
    """Return the data, and of a colour image its luminance."""
    return luminance_of(np.asarray(image.data)) if image.rgb else image.data


def luminance_of(colours: np.ndarray) -> np.ndarray:
    """Return the luminance of ``(..., 3)``, or 4 with alpha, in float32."""
    return np.asarray(colours[..., :3] @ np.array(_LUMINANCE), dtype=np.float32)


def colours_last(
    values: np.ndarray, image: SpatialImage, ndim: int = 2
) -> tuple[np.ndarray, list[str]]:
    """Undo `colours_first` for a filtered image; other images are returned as they are.

    Parameters
    ----------
    values : numpy.ndarray
        ``(..., 3, *spatial)`` with `ndim` spatial axes.
    image : SpatialImage
        The colour image that it comes from. Viewers show colour in its own integer type
        only, so values are rounded and clipped to it.

    Returns
    -------
    values : numpy.ndarray
        ``(..., y, x, 3)``, with the alpha of `image` if it has one.
    notes : list of str
        What was changed, in sentences for the user.
    """
    if not image.rgb:
        return values, []
    colours, source = np.moveaxis(values, -1 - ndim, -1), np.asarray(image.data)
    notes = []
    if source.dtype.kind == "u":
        top = np.iinfo(source.dtype).max
        clipped = float(np.mean((colours < 0) | (colours > top)))
        colours = np.rint(colours.clip(0, top)).astype(source.dtype)
        notes.append(f"Colours were rounded to {source.dtype}; {100 * clipped:.2f} % were clipped.")
    if source.shape[-1] == 3:
        return colours, notes
    alpha = np.broadcast_to(source[..., 3:], (*colours.shape[:-1], 1))
    return np.concatenate([colours, alpha.astype(colours.dtype)], axis=-1), notes
