"""The part of a layer that is on the screen, with the margin that a kernel needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.gui.layers import linear_matrix, placement, spatial_image
from napari_convfact.gui.world import index_in
from napari_convfact.operations.operation import Result, SpatialImage

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

# A preview is to follow the hand; more than this is cut down around the middle.
_MOST_PIXELS = 512


@dataclass(frozen=True)
class VisibleCrop:
    """A crop around what is visible.

    Attributes
    ----------
    image : SpatialImage
        The crop with its margin; nothing is computed or copied yet.
    inner : tuple of slice
        The visible part within the crop; its hidden axes have one sample.
    start : numpy.ndarray
        Index of the visible part's first sample in the layer.
    """

    image: SpatialImage
    inner: tuple[slice, ...]
    start: np.ndarray


def visible_crop(viewer: Viewer, layer: Image, margin: tuple[int, ...]) -> VisibleCrop:
    """Return the visible part of a layer with a margin around it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Says which plane is shown.
    layer : Image
        The layer.
    margin : tuple of int
        Samples on either side along the last axes; other hidden axes get none.

    Raises
    ------
    ValueError
        If the layer is out of sight or the view is three-dimensional.
    """
    if viewer.dims.ndisplay != 2:
        raise ValueError("The preview needs the 2-D view: switch to it below the layer list.")
    image = spatial_image(layer)
    shape = np.array(image.data.shape[: image.ndim])
    low, high = _visible_box(viewer, layer, shape)
    around = np.zeros(image.ndim, dtype=int)
    around[image.ndim - len(margin) :] = margin
    outer_low = np.maximum(low - around, 0)
    outer_high = np.minimum(high + around, shape)
    box = tuple(slice(a, b) for a, b in zip(outer_low, outer_high, strict=True))
    inner = tuple(slice(a, b) for a, b in zip(low - outer_low, high - outer_low, strict=True))
    return VisibleCrop(replace(image, data=image.data[box], path=None), inner, low)


def crop_placement(layer: Image, crop: VisibleCrop, result: Result) -> dict[str, Any]:
    """Return where a result lies that was made of the crop and cut to the visible part."""
    where = placement(layer, result.data.ndim - result.rgb, result.leading_axes)
    where["translate"][-layer.ndim :] += linear_matrix(layer) @ crop.start
    return where


def _visible_box(viewer: Viewer, layer: Image, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    position = index_in(viewer, layer, viewer.dims.point)
    low = np.clip(np.rint(position).astype(int), 0, shape - 1)
    high = low + 1
    displayed = [axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.displayed]
    corners = layer.corner_pixels * (
        layer.downsample_factors[layer.data_level] if layer.multiscale else 1
    )
    for axis in displayed:
        first, last = int(corners[0, axis]), int(corners[1, axis]) + 1
        first, last = max(first, 0), min(last, shape[axis])
        if last <= first:
            raise ValueError(f"The layer {layer.name} is not in sight: move the view to it.")
        excess = max(last - first - _MOST_PIXELS, 0)
        low[axis], high[axis] = first + excess // 2, last - (excess + 1) // 2
    return low, high
