"""The preview follows the form on the visible crop and never gets in the way."""

import numpy as np
import pytest
from superqt import QCollapsible
from tests.gui.helpers import is_in_view, open_widget, run_to_end

from napari_convfact.gui.arrange import bring_into_view


@pytest.fixture
def preview(deconvolve, qtbot):
    viewer, widget, _ = deconvolve
    viewer.reset_view()
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=20_000)
    return viewer, widget


def test_it_is_one_layer_that_lies_on_the_image(preview):
    viewer, _ = preview
    layer = viewer.layers["Deconvolve preview"]
    source = viewer.layers["cells"]
    assert layer.data.shape[0] == 1
    np.testing.assert_array_equal(layer.scale, source.scale)
    assert layer.units == source.units
    # The first sample lies where the source's same sample lies.
    first = np.asarray(layer.data_to_world((0, 0, 0)))
    index = np.asarray(source.world_to_data(first))
    np.testing.assert_allclose(index, np.rint(index), atol=1e-6)


def test_it_equals_the_run_where_the_crop_is_all(preview, qtbot):
    viewer, widget = preview
    shown = viewer.layers["Deconvolve preview"].data[0]
    plane = round(viewer.layers["cells"].world_to_data(viewer.dims.point)[0])
    with qtbot.waitSignal(widget.runner.finished, timeout=20_000):
        widget.run()
    whole = viewer.layers["cells deconvolved"].data[plane]
    # The crop holds the planes that the kernel reaches, so only the far reflection differs.
    assert np.abs(shown - whole).max() < 0.05 * np.ptp(whole)


def test_it_follows_the_form(preview, qtbot):
    viewer, widget = preview
    layer = viewer.layers["Deconvolve preview"]
    before = layer.data.copy()
    widget.form.set_values({"strength": 0.5})
    qtbot.waitUntil(lambda: not np.array_equal(layer.data, before), timeout=20_000)
    assert sum("preview" in layer.name for layer in viewer.layers) == 1


def test_it_waits_while_a_run_is_under_way(preview, qtbot):
    _, widget = preview
    widget.form.set_values({"method": "richardson-lucy", "iterations": 10_000})
    widget.run()
    qtbot.waitUntil(lambda: widget.runner.busy, timeout=20_000)
    started = []
    widget.preview._runner.started.connect(lambda: started.append(1))
    widget.preview.update()
    qtbot.wait(600)  # twice the pause after which it would start
    assert not started
    with qtbot.waitSignal(widget.runner.finished, timeout=20_000):
        widget.bar.cancel.click()
    qtbot.waitUntil(lambda: bool(started), timeout=20_000)


def test_there_is_something_to_compare_only_while_it_is_there(deconvolve, qtbot):
    viewer, widget, _ = deconvolve
    assert not widget.bar.compare.isEnabled()
    widget.bar.preview.setChecked(True)
    assert not widget.bar.compare.isEnabled()
    qtbot.waitUntil(widget.bar.compare.isEnabled, timeout=20_000)
    assert widget.preview.layer in viewer.layers
    widget.bar.preview.setChecked(False)
    assert not widget.bar.compare.isEnabled()
    with qtbot.waitSignal(widget.runner.finished, timeout=20_000):
        widget.run()
    assert widget.bar.compare.isEnabled()
    viewer.layers.remove("cells deconvolved")
    widget.reset_choices()  # which the viewer calls where the widget is docked
    assert not widget.bar.compare.isEnabled()


def test_before_and_after_hides_all_that_covers_the_image(viewer, qtbot):
    widget = open_widget(viewer, "Gabor bank")
    energy, colours = run_to_end(widget, qtbot, energy=True, colours=True)
    energy.visible = False
    for seen in (False, True):
        widget.bar.compare.click()
        assert (energy.visible, colours.visible) == (False, seen)


def test_a_residual_does_not_cover_the_result(preview, qtbot):
    _, widget = preview
    shown = widget.preview.layer.data.copy()
    with qtbot.waitSignal(widget.preview.shown, timeout=20_000):
        widget.form.set_values({"residual": True})
    np.testing.assert_allclose(widget.preview.layer.data, shown, atol=1e-3)
    estimate, residual = run_to_end(widget, qtbot)
    assert estimate.visible
    assert not residual.visible


@pytest.mark.parametrize("start", ["preview", "run"])
def test_the_image_comes_into_view_where_something_else_is(deconvolve, qtbot, start):
    viewer, widget, _ = deconvolve
    aside = viewer.add_image(np.zeros((9, 9)), name="new kernel", translate=(40, 40))
    bring_into_view(viewer, [aside])
    viewer.dims.set_point(0, 2.0)  # a plane of the image, which stays
    if start == "run":
        run_to_end(widget, qtbot)
    else:
        widget.bar.preview.setChecked(True)
        qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=20_000)
    assert is_in_view(viewer, viewer.layers["cells"])
    assert viewer.dims.point[0] == 2.0


def test_who_zoomed_in_stays_there(deconvolve, qtbot):
    viewer, widget, _ = deconvolve
    camera = viewer.scene.camera
    camera.center, camera.zoom = (3.0, 4.5), 300.0
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=20_000)
    run_to_end(widget, qtbot)
    np.testing.assert_allclose(camera.center[-2:], (3.0, 4.5))
    assert camera.zoom == 300.0


def test_it_leaves_what_a_run_that_failed_has_said(preview, qtbot):
    _, widget = preview
    widget._report_error(ValueError("Not enough photons."))
    with qtbot.waitSignal(widget.preview.shown, timeout=20_000):
        widget.form.set_values({"strength": 0.5})
    assert "Not enough photons." in widget._findings.text()


def test_what_stood_in_its_way_is_forgotten_with_it(deconvolve):
    viewer, widget, _ = deconvolve
    viewer.dims.ndisplay = 3
    widget.bar.preview.setChecked(True)
    assert "2-D view" in widget._findings.text()
    widget.bar.preview.setChecked(False)
    assert not widget._findings.text()


def test_it_draws_each_result_once(preview, qtbot):
    viewer, widget = preview
    layer = viewer.layers["Deconvolve preview"]
    drawn = []
    layer.events.set_data.connect(drawn.append)
    widget.form.set_values({"strength": 0.5})
    qtbot.waitUntil(lambda: bool(drawn), timeout=20_000)
    qtbot.wait(50)
    assert len(drawn) == 1


def test_it_leaves_the_form_where_it_was_scrolled(preview, qtbot):
    viewer, widget = preview
    window = viewer.window._qt_window
    window.resize(1000, 500)
    window.show()
    widget.findChild(QCollapsible).expand(animate=False)
    bar = widget._scroll.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0, timeout=10_000)
    bar.setValue(0)
    with qtbot.waitSignal(widget.preview.shown, timeout=20_000):
        widget.form.set_values({"strength": 0.5})
    assert bar.value() == 0


def test_it_follows_the_plane(preview, qtbot):
    viewer, _ = preview
    layer = viewer.layers["Deconvolve preview"]
    before = layer.translate[0]
    viewer.dims.set_current_step(0, 3 if viewer.dims.current_step[0] != 3 else 0)
    qtbot.waitUntil(lambda: layer.translate[0] != before, timeout=20_000)


def test_turning_it_off_removes_the_layer(preview):
    viewer, widget = preview
    widget.bar.preview.setChecked(False)
    assert "Deconvolve preview" not in viewer.layers
    assert widget.preview.layer is None


def test_before_and_after_is_one_click(preview):
    viewer, widget = preview
    widget.bar.compare.click()
    assert not viewer.layers["Deconvolve preview"].visible
    widget.bar.compare.click()
    assert viewer.layers["Deconvolve preview"].visible


def test_the_3d_view_says_why_there_is_none(preview, qtbot):
    viewer, widget = preview
    viewer.dims.ndisplay = 3
    widget.preview.update()
    qtbot.waitUntil(lambda: "2-D view" in widget._findings.text(), timeout=10_000)


def test_the_switch_to_3d_is_enough_to_say_so(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).random((40, 50)), name="cells")
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Convolve")
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=20_000)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: "2-D view" in widget._findings.text(), timeout=10_000)
    viewer.dims.ndisplay = 2
    qtbot.waitUntil(lambda: not widget._findings.text(), timeout=10_000)


@pytest.mark.parametrize("name", ["cells", "PSF"])
def test_it_ends_with_the_layers_that_it_was_made_from(preview, name):
    viewer, widget = preview
    viewer.layers.remove(name)
    assert not widget.bar.preview.isChecked()
    assert len(viewer.layers) == 1


def test_what_the_form_says_is_not_said_twice(make_napari_viewer):
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Convolve")
    widget.bar.preview.setChecked(True)
    assert "choose a layer" in widget.bar.plan.text()
    assert not widget._findings.text()


def test_closing_the_widget_removes_the_layer(preview):
    viewer, widget = preview
    viewer.window.remove_dock_widget(widget)  # as its button does
    assert "Deconvolve preview" not in viewer.layers


def test_it_follows_the_image(preview, qtbot):
    viewer, _ = preview
    source = viewer.layers["cells"]
    before = viewer.layers["Deconvolve preview"].data.copy()
    source.data = source.data[:, ::-1]
    qtbot.waitUntil(
        lambda: not np.array_equal(viewer.layers["Deconvolve preview"].data, before),
        timeout=20_000,
    )


def test_it_lies_on_an_image_that_was_turned_and_scaled(preview, qtbot):
    viewer, _ = preview
    source = viewer.layers["cells"]
    source.scale = (0.5, 0.3, 0.2)
    source.rotate = (0, 0, 30)
    qtbot.waitUntil(
        lambda: np.allclose(viewer.layers["Deconvolve preview"].scale, source.scale), timeout=20_000
    )
    layer = viewer.layers["Deconvolve preview"]
    np.testing.assert_allclose(layer.rotate, source.rotate)
    index = np.asarray(source.world_to_data(layer.data_to_world((0, 0, 0))))
    np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
