"""Between a layer's units and the viewer's, which are the smallest that its layers have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pint

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


def world_per_unit(viewer: Viewer, units: Sequence[Any]) -> np.ndarray:
    """Return how many of the viewer's units each unit is, by axis.

    All are one where layers have units of different kinds: the viewer ignores them then.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers decide.
    units : sequence of str or pint.Unit
        Of the last axes, as ``layer.units``.
    """
    world = viewer.layers.extent.units
    factors = np.ones(len(units))
    if world is None:
        return factors
    known = pint.get_application_registry()
    n = min(len(units), len(world))
    for axis in range(1, n + 1):
        unit, target = known.Unit(str(units[-axis])), known.Unit(str(world[-axis]))
        if unit.is_compatible_with(target):
            factors[-axis] = known.Quantity(1.0, unit).to(target).magnitude
    return factors


def world_extent(viewer: Viewer, layer: Layer) -> np.ndarray:
    """Return the lowest and the highest corner of a layer in the viewer's units, ``(2, ndim)``."""
    return np.asarray(layer.extent.world * world_per_unit(viewer, layer.units))


def index_in(viewer: Viewer, layer: Layer, position: Sequence[float]) -> np.ndarray:
    """Return where a position in the viewer lies in a layer, in samples.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer.
    layer : Layer
        The layer; axes that the position lacks are at zero.
    position : sequence of float
        Of the last axes, in the viewer's units.
    """
    place = np.zeros(layer.ndim)
    n = min(layer.ndim, len(position))
    place[layer.ndim - n :] = np.asarray(position)[len(position) - n :]
    return np.asarray(layer.world_to_data(place / world_per_unit(viewer, layer.units)))
