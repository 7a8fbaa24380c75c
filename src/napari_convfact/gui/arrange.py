"""Where results go that have a grid of their own, and how they get into view.

Positions are in the viewer's units unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.gui.world import world_extent, world_per_unit

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_GAP = 0.05  # of the width of what is there
_FILLED = 0.95  # of the canvas
_SMALLEST = 1e-9


def beside_everything(
    viewer: Viewer, scale: Sequence[float], units: Sequence[Any]
) -> tuple[float, ...]:
    """Return a translation to the right of all layers, for a layer with its pixel size and units.

    The translation is in these units.
    """
    place = np.zeros(len(scale))
    if viewer.layers:
        per_unit = world_per_unit(viewer, units)
        n = min(len(scale), viewer.layers.ndim)
        low, high = viewer.layers.extent.world[:, -n:] / per_unit[-n:]
        place[-n:] = low
        place[-1] = high[-1] + _GAP * (high[-1] - low[-1])
        # A layer lies where the middle of its first pixel is; planes stay on their grid.
        place[-2:] += np.asarray(scale)[-2:] / 2
    return tuple(float(p) for p in place)


def bounds(viewer: Viewer, layers: Sequence[Layer], axes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest corner of layers along the last axes."""
    corners = np.array([world_extent(viewer, layer)[:, -axes:] for layer in layers])
    return corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)


def is_free(viewer: Viewer, low: np.ndarray, high: np.ndarray, *, apart_from: Layer) -> bool:
    """Whether no visible layer reaches into a box of the last axes."""
    for layer in viewer.layers:
        if layer is apart_from or not layer.visible:
            continue
        n = min(layer.ndim, len(low))
        begin, end = world_extent(viewer, layer)[:, -n:]
        if np.all(begin < high[-n:]) and np.all(end > low[-n:]):
            return False
    return True


def bring_into_view(viewer: Viewer, layers: Sequence[Layer]) -> None:
    """Step to the middle plane of the last layer and fit the view to all of them."""
    low, high = world_extent(viewer, layers[-1])
    first = viewer.dims.ndim - len(low)
    for axis in range(len(low)):
        viewer.dims.set_point(first + axis, (low[axis] + high[axis]) / 2)
    _fit(viewer, layers)


def look_at(viewer: Viewer, layer: Layer) -> None:
    """Bring a layer into view unless the middle of the view lies on it.

    Who has zoomed in on a detail, or stepped to a plane, stays there.
    """
    axes = range(viewer.dims.ndim - layer.ndim, viewer.dims.ndim)
    low, high = world_extent(viewer, layer)
    centre = np.array(viewer.dims.point)
    shown = list(viewer.dims.displayed)
    centre[shown] = viewer.scene.camera.center[-len(shown) :]
    outside = [
        axis for axis, a, b in zip(axes, low, high, strict=True) if not a <= centre[axis] <= b
    ]
    for axis in outside:
        if axis not in shown:
            viewer.dims.set_point(axis, (low[axis - axes[0]] + high[axis - axes[0]]) / 2)
    if set(outside) & set(shown):
        _fit(viewer, [layer])


def _fit(viewer: Viewer, layers: Sequence[Layer]) -> None:
    """Zoom to layers; napari's own way fails where they have fewer axes than the viewer."""
    if viewer.dims.ndisplay != 2:
        viewer.reset_view()
        return
    low, high = np.full((2, viewer.dims.ndim), np.nan)
    for layer in layers:
        begin, end = world_extent(viewer, layer)
        low[-layer.ndim :] = np.fmin(low[-layer.ndim :], begin)
        high[-layer.ndim :] = np.fmax(high[-layer.ndim :], end)
    shown = list(viewer.dims.displayed)
    low, high = np.nan_to_num(low[shown]), np.nan_to_num(high[shown])
    size = np.maximum(high - low, _SMALLEST)
    viewer.scene.camera.center = tuple((low + high) / 2)
    viewer.scene.camera.zoom = _FILLED * float(np.min(viewer.canvas.size / size))
