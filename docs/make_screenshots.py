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
import skimage.data
from qtpy.QtWidgets import QApplication

from napari_convfact.gui.arrange import bring_into_view
from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.kernels.beads import psf_from_beads
from napari_convfact.samples import data as samples
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


def new_viewer(*layers: tuple) -> napari.Viewer:
    """Open a viewer with layers that a sample gives."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    for data, attributes, kind in layers:
        viewer.add_layer(napari.layers.Layer.create(data, attributes, kind))
    viewer.reset_view()
    return viewer


def run(widget: OperationWidget, **values: object) -> None:
    """Run a widget with form values and wait for the result."""
    widget.form.set_values(values)
    widget.run()
    wait_until(lambda: not widget.runner.busy)
    settle()


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


def deconvolve_preview() -> None:
    """Deconvolve while its preview follows the form."""
    viewer = new_viewer(*samples.blurred_camera())
    widget = dock(viewer, "Deconvolve")
    widget.bar.preview.setChecked(True)
    wait_until(lambda: widget.preview.layer is not None)
    settle()
    save(viewer, "deconvolve-widget.png")
    viewer.close()


def make_kernel() -> None:
    """Make a theoretical PSF for the voxels of an image."""
    viewer = new_viewer(*samples.confocal_grid())
    widget = dock(viewer, "Make kernel")
    run(widget, modality="confocal", na=1.3, refractive_index=1.515, emission=525.0)
    save(viewer, "make-kernel-widget.png")
    viewer.close()


def factorize() -> None:
    """Factorize the low-pass wavelet kernel and a disk, one below the other."""
    wavelet, *_ = samples.wavelet_kernels()
    (disk,) = samples.disk_kernel()
    disk[1]["translate"] = (12, 0)
    photograph, _ = samples.blurred_camera()
    photograph[1]["visible"] = False
    viewer = new_viewer(photograph, wavelet, disk)
    widget = dock(viewer, "Factorize kernel")
    for name, shapes in (("Wavelet LL", "3x3, 3x3"), ("Defocus PSF", "auto for 1 %")):
        widget.choices["kernel"].choose(viewer.layers[name])
        run(widget, shapes=shapes)
    shown = [layer for layer in viewer.layers if layer.visible]
    bring_into_view(viewer, shown)
    settle()
    save(viewer, "factorize-widget.png")
    viewer.close()


def gabor() -> None:
    """Colour a picture by the orientation of its texture."""
    viewer = new_viewer((skimage.data.brick(), {"name": "brick"}, "image"))
    widget = dock(viewer, "Gabor bank")
    run(widget)
    save(viewer, "gabor-widget.png")
    viewer.close()


def convolve() -> None:
    """Sharpen a photograph while the preview follows the form."""
    viewer = new_viewer((skimage.data.camera(), {"name": "camera"}, "image"))
    widget = dock(viewer, "Convolve")
    widget.form.set_values({"result": "sharpened", "amount": 1.0})
    widget.bar.preview.setChecked(True)
    wait_until(lambda: widget.preview.layer is not None)
    settle()
    save(viewer, "convolve-widget.png")
    viewer.close()


def texture() -> None:
    """Learn a bank, then extend three strokes of paint to the whole picture."""
    brick, grass, gravel = (
        picture[:192, :384]
        for picture in (skimage.data.brick(), skimage.data.grass(), skimage.data.gravel())
    )
    wall = np.concatenate([brick, grass, gravel])
    viewer = new_viewer((wall, {"name": "wall"}, "image"))
    widget = dock(viewer, "Texture features")
    run(widget.features, table=False)
    widget.setCurrentWidget(widget.classify)
    widget.classify.add_paint_layer()
    paint = viewer.layers["wall paint"]
    for label, row in enumerate((96, 288, 480), 1):
        paint.data[row - 6 : row + 6, 120:260] = label
    paint.refresh()
    run(widget.classify)
    for name in ("wall assignment", "wall energies"):
        viewer.layers[name].visible = False
    viewer.layers["wall novelty"].visible = False
    save(viewer, "texture-widget.png")
    viewer.close()


def main() -> None:
    """Take all pictures."""
    for picture in (
        deconvolve,
        deconvolve_preview,
        make_kernel,
        factorize,
        gabor,
        convolve,
        texture,
    ):
        picture()


if __name__ == "__main__":
    main()
