"""Open the viewer on the layers of ``convfact demo``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import napari

from napari_convfact.gui.layers import add_result
from napari_convfact.gui.preferences import PLUGIN
from napari_convfact.operations.operation import Result, SpatialImage


def show_demo(
    beads: SpatialImage,
    inputs: Mapping[str, SpatialImage],
    result: Result,
    record: dict[str, Any],
) -> None:
    """Show beads, PSF, image and result, with the Deconvolve widget, until it is closed."""
    viewer = napari.Viewer(title="napari-convfact demo")
    _add(viewer, beads).visible = False
    sources = {name: _add(viewer, image) for name, image in inputs.items()}
    sources["psf"].visible = False
    add_result(viewer, result, sources, record)
    viewer.dims.set_point(0, inputs["image"].data.shape[0] // 2 * inputs["image"].scale[0])
    viewer.window.add_plugin_dock_widget(PLUGIN, "Deconvolve")
    napari.run()


def _add(viewer: napari.Viewer, image: SpatialImage) -> Any:
    return viewer.add_image(
        image.data,
        name=image.name,
        scale=image.scale,
        units=image.units,
        axis_labels=image.axis_labels,
    )
