"""Take the pictures of the viewer that README and docs show.

Run it with a display: ``make pictures`` starts a virtual one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("NAPARI_CONFIG", "")

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.kernels.beads import psf_from_beads
from napari_convfact.samples.data import load_sample

IMAGES = Path(__file__).parent / "images"
SIZE = (1440, 860)


def wait_until(done: Callable[[], bool], seconds: float = 300) -> None:
    """Let the viewer work until something is so."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("The viewer did not get there in time.")
        QApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 1.0) -> None:
    """Let the viewer draw."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end)


def open_viewer() -> napari.Viewer:
    """Open a viewer with the confocal grid and the PSF measured from the beads."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    grid, beads = load_sample("confocal_grid"), load_sample("confocal_beads")
    psf, _ = psf_from_beads(beads.data, voxel_size=beads.scale)
    for data, image, name in ((psf, beads, "PSF from beads"), (grid.data, grid, grid.name)):
        viewer.add_image(
            data,
            name=name,
            scale=image.scale,
            units=image.units,
            axis_labels=image.axis_labels,
        )
    viewer.layers["PSF from beads"].visible = False
    viewer.canvas.overlays.scale_bar.visible = True
    return viewer


def dock(viewer: napari.Viewer, name: str) -> OperationWidget:
    """Open one of the plugin's widgets as a user does."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", name)
    return widget


def look(viewer: napari.Viewer) -> None:
    """Bring the middle plane into view."""
    viewer.reset_view()
    viewer.dims.set_current_step(0, int(np.median(range(21))))
    settle()


def save(viewer: napari.Viewer, name: str) -> None:
    """Save the window."""
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / name), canvas_only=False, flash=False)
    print(IMAGES / name)


def deconvolve() -> None:
    """Deconvolve after a run."""
    viewer = open_viewer()
    widget = dock(viewer, "Deconvolve")
    widget.run()
    wait_until(lambda: not widget.runner.busy)
    look(viewer)
    save(viewer, "deconvolve.png")
    viewer.close()


def main() -> None:
    """Take all pictures."""
    deconvolve()


if __name__ == "__main__":
    main()
