"""What every widget of the plugin promises, checked in one place."""

import json

import numpy as np
import scipy.ndimage
from napari.utils.notifications import notification_manager

from napari_convfact.operations.provenance import METADATA_KEY

PLACE = {
    "scale": (0.5, 0.1, 0.1),
    "translate": (1.0, 2.0, 3.0),
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}
PLANE = {name: value[1:] for name, value in PLACE.items()}


def gaussian_psf(size=(3, 9, 9)):
    """Return a PSF that has its peak in the middle."""
    psf = np.zeros(size)
    psf[tuple(n // 2 for n in size)] = 1
    return scipy.ndimage.gaussian_filter(psf, (0.5, 1.5, 1.5)).astype(np.float32)


def open_widget(viewer, name):
    """Open a widget as a user does: through the manifest."""
    return viewer.window.add_plugin_dock_widget("napari-convfact", name)[1]


def run_to_end(widget, qtbot, **values):
    """Run with form values; nothing may fail. Return the layers that were added."""
    widget.form.set_values(values)
    before = list(widget.viewer.layers)
    with qtbot.waitSignal(widget.runner.finished, timeout=120_000) as blocker:
        widget.run()
    assert blocker.args[0].error is None
    assert_idle(widget, qtbot)
    return [layer for layer in widget.viewer.layers if layer not in before]


def finish(menu, qtbot):
    """Wait for what a menu does with files."""
    qtbot.waitUntil(lambda: not menu.busy, timeout=20_000)


def run_and_cancel(widget, qtbot, **values):
    """Cancel after the first step; it must answer, and add nothing."""
    widget.form.set_values(values)
    before = list(widget.viewer.layers)
    with qtbot.waitSignal(widget.runner.finished, timeout=60_000) as blocker:
        with qtbot.waitSignal(widget.runner.stepped, timeout=60_000):
            widget.run()
        widget.bar.cancel.click()
    assert blocker.args[0].cancelled
    assert list(widget.viewer.layers) == before
    assert_idle(widget, qtbot)


def run_and_fail(widget, qtbot):
    """Run; return the one error notification. Nothing may be added."""
    before = list(widget.viewer.layers)
    notification_manager.records.clear()
    with qtbot.waitSignal(widget.runner.finished, timeout=60_000):
        widget.run()
    errors = [r.message for r in notification_manager.records if r.severity == "error"]
    assert len(errors) == 1
    assert list(widget.viewer.layers) == before
    assert_idle(widget, qtbot)
    return errors[0]


def assert_idle(widget, qtbot):
    """Nothing runs, in the form or, once a picture in the form is drawn, in the viewer."""
    assert not widget.runner.busy
    assert not widget.bar.cancel.isEnabled()
    manager = widget.viewer.window._task_status_manager
    qtbot.waitUntil(lambda: not manager.is_busy(), timeout=20_000)


def assert_same_place(layer, source):
    """The last axes of a layer lie where those of its source lie."""
    n = source.ndim
    np.testing.assert_array_equal(layer.scale[-n:], source.scale)
    np.testing.assert_array_equal(layer.translate[-n:], source.translate)
    assert layer.units[-n:] == source.units
    assert layer.axis_labels[-n:] == source.axis_labels


def provenance_of(layer, operation):
    """Return a layer's record, which must be JSON and name the operation."""
    record = layer.metadata[METADATA_KEY]
    json.dumps(record)
    assert record["operation"] == operation
    return record


def is_in_view(viewer, layer):
    """Whether a layer is wholly on the canvas, and not tiny."""
    low, high = layer.extent.world[:, -2:]
    centre, camera = np.array(viewer.scene.camera.center)[-2:], viewer.scene.camera
    half = np.array(viewer.canvas.size) / camera.zoom / 2
    inside = np.all(low >= centre - half) and np.all(high <= centre + half)
    return inside and np.all((high - low).max() * camera.zoom > 40)
