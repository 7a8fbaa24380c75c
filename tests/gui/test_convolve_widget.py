"""Convolve in the viewer."""

import threading

import numpy as np
import pytest
import scipy.ndimage
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QFileDialog
from tests.gui.helpers import (
    PLACE,
    assert_same_place,
    open_widget,
    provenance_of,
    run_and_cancel,
    run_and_fail,
    run_to_end,
)

import napari_convfact as cf
from napari_convfact.execution.passes import FusedPass


@pytest.fixture
def convolve(make_napari_viewer):
    """A viewer with a calibrated, shifted volume, and the widget."""
    viewer = make_napari_viewer()
    scene = np.random.default_rng(0).random((4, 48, 56), dtype=np.float32)
    viewer.add_image(scene, name="cells", **PLACE)
    return viewer, open_widget(viewer, "Convolve")


@pytest.fixture
def bank_file(tmp_path):
    kernels = np.random.default_rng(1).normal(size=(3, 5, 5)).astype(np.float32)
    path = tmp_path / "bank.npz"
    cf.KernelBank(kernels).save(path)
    return path


def test_a_kernel_layer_is_applied_in_place(convolve, qtbot):
    viewer, widget = convolve
    source = viewer.layers["cells"]
    before = source.data.copy()
    kernel = np.arange(15, dtype=np.float32).reshape(3, 5)
    viewer.add_image(kernel, name="kernel", scale=(0.1, 0.1), units=("um", "um"))
    widget.choices["kernel"].choose(viewer.layers["kernel"])
    (result,) = run_to_end(widget, qtbot)
    expected = [scipy.ndimage.convolve(plane, kernel, mode="reflect") for plane in before]
    np.testing.assert_allclose(result.data, expected, rtol=1e-5)
    assert_same_place(result, source)
    provenance_of(result, "convolve")
    np.testing.assert_array_equal(source.data, before)


def test_browse_chooses_a_bank_and_gives_a_map_for_each_kernel(
    convolve, bank_file, qtbot, monkeypatch
):
    viewer, widget = convolve
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(bank_file), ""))
    widget.form.set_values({"kind": "file"})
    assert not widget.bar.run.isEnabled()
    assert "Choose the file" in widget.bar.plan.text()
    widget.form.editor("file").browse()
    assert widget.bar.run.isEnabled()
    (result,) = run_to_end(widget, qtbot)
    assert result.data.shape == (3, 4, 48, 56)
    assert result.axis_labels[0] == "kernel"
    assert_same_place(result, viewer.layers["cells"])


def test_browsing_in_vain_keeps_the_path(convolve, monkeypatch):
    _, widget = convolve
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    widget.form.set_values({"kind": "file", "file": "old.npz"})
    widget.form.editor("file").browse()
    assert widget.form.values()["file"] == "old.npz"


def test_a_file_that_holds_no_kernels_is_one_error(convolve, qtbot, tmp_path):
    _, widget = convolve
    path = tmp_path / "notes.safetensors"
    path.write_text("no tensors here")
    widget.form.set_values({"kind": "file", "file": str(path)})
    assert run_and_fail(widget, qtbot).startswith("Convolve: ")


@pytest.mark.parametrize("result", ["filtered", "sharpened"])
def test_the_preview_equals_the_run(convolve, qtbot, result):
    viewer, widget = convolve
    viewer.reset_view()
    widget.form.set_values({"sigma": 1.0, "result": result})
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=30_000)
    shown = widget.preview.layer.data[0].copy()
    plane = round(viewer.layers["cells"].world_to_data(viewer.dims.point)[0])
    (layer,) = run_to_end(widget, qtbot)
    np.testing.assert_allclose(shown, layer.data[plane], rtol=1e-4, atol=1e-5)
    assert "Convolve preview" not in viewer.layers


def test_the_preview_of_a_bank_is_a_stack(convolve, bank_file, qtbot):
    viewer, widget = convolve
    viewer.reset_view()
    widget.form.set_values({"kind": "file", "file": str(bank_file)})
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=30_000)
    layer = widget.preview.layer
    assert layer.data.shape == (3, 1, 48, 56)
    np.testing.assert_allclose(layer.scale, (1, *PLACE["scale"]))


def test_the_preview_of_a_part_knows_what_lies_around_it(convolve, qtbot):
    viewer, widget = convolve
    # What drawing a window that is zoomed in would say.
    viewer.layers["cells"].corner_pixels = np.array([[0, 10, 12], [3, 34, 40]])
    widget.form.set_values({"sigma": 3.0})
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=30_000)
    preview = widget.preview.layer
    shown = preview.data[0].copy()
    assert shown.shape == (25, 29)
    first = viewer.layers["cells"].world_to_data(preview.data_to_world((0, 0, 0)))
    plane, row, column = np.rint(first).astype(int)
    (layer,) = run_to_end(widget, qtbot)
    part = layer.data[plane, row : row + shown.shape[0], column : column + shown.shape[1]]
    np.testing.assert_allclose(shown, part, rtol=2e-3)  # the Gaussian beyond four sigma


@pytest.mark.skipif(
    QThreadPool.globalInstance().maxThreadCount() < 2,
    reason="on one processor the viewer runs one job after the other",
)
def test_a_run_and_a_preview_may_use_the_fused_pass_at_once(convolve, qtbot, monkeypatch):
    viewer, widget = convolve
    threads = set()
    apply = FusedPass.__call__

    def spied(*arguments, **keywords):
        threads.add(threading.get_ident())
        return apply(*arguments, **keywords)

    monkeypatch.setattr(FusedPass, "__call__", spied)
    rng = np.random.default_rng(3)
    viewer.add_image(rng.random((8, 512, 512), dtype=np.float32), name="large")
    widget.choices["image"].choose(viewer.layers["large"])
    viewer.reset_view()
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=30_000)
    threads.clear()
    widget.preview._start()
    run_to_end(widget, qtbot)
    assert len(threads) >= 2


def test_cancel_answers(convolve, qtbot):
    viewer, widget = convolve
    rng = np.random.default_rng(2)
    viewer.add_image(rng.random((8, 512, 512), dtype=np.float32), name="large")
    viewer.add_image(rng.random((64, 31, 31), dtype=np.float32), name="kernel stack")
    widget.choices["image"].choose(viewer.layers["large"])
    widget.choices["kernel"].choose(viewer.layers["kernel stack"])
    run_and_cancel(widget, qtbot, stack=True)


@pytest.mark.parametrize(
    ("values", "colours"),
    [
        ({"kind": "gaussian"}, "green"),
        ({"kind": "gaussian", "result": "sharpened"}, "green"),
        ({"kind": "sobel", "result": "magnitude"}, "green"),
        ({"kind": "sobel"}, "gray"),
        ({"kind": "laplacian"}, "gray"),
        ({"kind": "gaussian", "result": "difference"}, "gray"),
    ],
)
def test_zero_is_the_middle_gray_of_signed_results(convolve, qtbot, values, colours):
    viewer, widget = convolve
    viewer.layers["cells"].colormap = "green"
    (result,) = run_to_end(widget, qtbot, **values)
    assert result.colormap.name == colours
    if colours == "gray":
        assert result.contrast_limits[0] == -result.contrast_limits[1]


def test_a_kernel_layer_with_negative_taps_gives_gray(convolve, qtbot):
    viewer, widget = convolve
    viewer.layers["cells"].colormap = "green"
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=np.float32)
    viewer.add_image(kernel, name="kernel", scale=(0.1, 0.1), units=("um", "um"))
    widget.choices["kernel"].choose(viewer.layers["kernel"])
    (edges,) = run_to_end(widget, qtbot)
    viewer.layers["kernel"].data = np.abs(kernel)
    (blurred,) = run_to_end(widget, qtbot)
    assert (edges.colormap.name, blurred.colormap.name) == ("gray", "green")
