"""The Deconvolve widget, reached as users reach it: through the manifest."""

import json

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from tests.gui.helpers import finish

import napari_convfact as cf
from napari_convfact.cli import main
from napari_convfact.gui import remembered
from napari_convfact.gui.recipe_menu import RecipeMenu
from napari_convfact.operations.provenance import METADATA_KEY


def run_to_end(widget, qtbot):
    with qtbot.waitSignal(widget.runner.finished, timeout=60_000) as blocker:
        widget.run()
    assert blocker.args[0].error is None
    return blocker.args[0]


def test_it_guesses_image_and_psf(deconvolve):
    _, widget, _ = deconvolve
    assert widget.choices["image"].layer.name == "cells"
    assert widget.choices["psf"].layer.name == "PSF"
    assert "4 × 48 × 56" in widget.bar.plan.text()


def test_a_run_sharpens_and_keeps_the_place(deconvolve, qtbot):
    viewer, widget, scene = deconvolve
    source = viewer.layers["cells"]
    before = source.data.copy()
    source.colormap = "green"
    run_to_end(widget, qtbot)
    result = viewer.layers["cells deconvolved"]
    assert result.colormap.name == "green"
    assert np.square(result.data - scene).mean() < 0.5 * np.square(before - scene).mean()
    assert result.data.dtype == np.float32
    for name in ("scale", "translate"):
        np.testing.assert_array_equal(getattr(result, name), getattr(source, name))
    assert result.units == source.units
    assert result.axis_labels == source.axis_labels
    np.testing.assert_array_equal(source.data, before)
    json.dumps(result.metadata[METADATA_KEY])
    assert not viewer.window._task_status_manager.is_busy()


def test_widget_function_and_command_line_give_the_same_numbers(deconvolve, qtbot, tmp_path):
    viewer, widget, _ = deconvolve
    run_to_end(widget, qtbot)
    in_viewer = viewer.layers["cells deconvolved"].data
    psf, _ = cf.prepare_kernel(viewer.layers["PSF"].data)
    by_function = cf.deconvolve(
        viewer.layers["cells"].data, psf, strength=1e-4, boundary="reflect"
    ).estimate
    np.testing.assert_array_equal(by_function, in_viewer)
    for name, layer in (("image", "cells"), ("psf", "PSF")):
        np.save(tmp_path / f"{name}.npy", viewer.layers[layer].data)
    arguments = ["deconvolve", f"{tmp_path}/image.npy", "--psf", f"{tmp_path}/psf.npy"]
    arguments += ["-o", f"{tmp_path}/out.npy", "--strength", "1e-4", "--boundary", "reflect"]
    assert main(arguments) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), in_viewer)


def test_a_recipe_reproduces_the_layer(deconvolve, qtbot, tmp_path):
    viewer, widget, _ = deconvolve
    run_to_end(widget, qtbot)
    menu = widget.findChild(RecipeMenu)
    menu.save(tmp_path / "recipe.json")
    finish(menu, qtbot)
    assert main(["run", str(tmp_path / "recipe.json"), "-o", str(tmp_path / "again.tif")]) == 0
    again = cf.read_image(tmp_path / "again.tif")
    np.testing.assert_array_equal(again.data, viewer.layers["cells deconvolved"].data)
    assert again.scale == tuple(viewer.layers["cells"].scale)


def test_copy_as_python_runs(deconvolve, qtbot, monkeypatch, tmp_path):
    from qtpy.QtWidgets import QApplication

    viewer, widget, _ = deconvolve
    run_to_end(widget, qtbot)
    menu = widget.findChild(RecipeMenu)
    menu.copy_as_python()
    finish(menu, qtbot)
    source = QApplication.clipboard().text()
    monkeypatch.chdir(tmp_path)
    scope = {"viewer": viewer}
    exec(source, scope)
    np.testing.assert_array_equal(scope["results"][0].data, viewer.layers["cells deconvolved"].data)


def test_a_recipe_of_something_else_is_refused(deconvolve, tmp_path):
    _, widget, _ = deconvolve
    (tmp_path / "other.json").write_text('{"operation": "bake a cake"}')
    with pytest.raises(ValueError, match="no operation 'bake a cake'"):
        widget.findChild(RecipeMenu).load(tmp_path / "other.json")


def test_the_form_remembers(deconvolve, make_napari_viewer, monkeypatch, tmp_path):
    monkeypatch.setattr(remembered, "settings_file", lambda: tmp_path / "forms.json")
    viewer, widget, _ = deconvolve
    widget.form.set_values({"method": "richardson-lucy", "iterations": 17})
    widget.memory.keep()
    viewer.window.remove_dock_widget(widget)
    other = make_napari_viewer()
    _, again = other.window.add_plugin_dock_widget("napari-convfact", "Deconvolve")
    assert again.form.values()["method"] == "richardson-lucy"
    assert again.form.values()["iterations"] == 17


def test_a_spoiled_memory_does_no_harm(make_napari_viewer, monkeypatch, tmp_path):
    path = tmp_path / "forms.json"
    path.write_text('{"deconvolve": {"method": 5, "gone": 1, "strength": "a lot"}}')
    monkeypatch.setattr(remembered, "settings_file", lambda: path)
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Deconvolve")
    assert widget.form.values()["method"] == "tikhonov"
    widget.form.parameters()


def test_a_zero_psf_is_one_error_and_nothing_else(deconvolve, qtbot):
    viewer, widget, _ = deconvolve
    viewer.layers["PSF"].data = np.zeros((3, 9, 9))
    notification_manager.records.clear()
    with qtbot.waitSignal(widget.runner.finished, timeout=60_000):
        widget.run()
    errors = [r.message for r in notification_manager.records if r.severity == "error"]
    assert len(errors) == 1
    assert "zero everywhere" in errors[0]
    assert len(viewer.layers) == 2
    assert widget.bar.run.isEnabled()


def test_a_psf_with_too_many_axes_disables_run(deconvolve):
    viewer, widget, _ = deconvolve
    viewer.add_image(np.ones((20, 20)), name="flat")
    widget.choices["image"].choose(viewer.layers["flat"])
    assert not widget.bar.run.isEnabled()
    assert "3 axes" in widget.bar.plan.text()


def test_colours_are_deconvolved_apart_and_alpha_is_left_alone(make_napari_viewer, qtbot, flat_psf):
    viewer = make_napari_viewer()
    rng = np.random.default_rng(1)
    rgba = rng.integers(60, 200, (40, 44, 4), dtype=np.uint8)
    viewer.add_image(rgba, name="colour", rgb=True)
    viewer.add_image(flat_psf, name="PSF")
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Deconvolve")
    widget.form.set_values({"strength": 0.1, "boundary": "reflect"})
    run_to_end(widget, qtbot)
    result = viewer.layers["colour deconvolved"]
    assert result.rgb
    assert result.data.dtype == np.uint8
    np.testing.assert_array_equal(result.data[..., 3], rgba[..., 3])
    psf, _ = cf.prepare_kernel(viewer.layers["PSF"].data)
    green = cf.deconvolve(rgba[..., :3], psf, strength=0.1, boundary="reflect", channel_axis=-1)
    expected = np.rint(green.estimate[..., 1].clip(0, 255))
    np.testing.assert_array_equal(result.data[..., 1], expected)


def test_a_multiscale_layer_gives_its_full_resolution(make_napari_viewer, qtbot, flat_psf):
    viewer = make_napari_viewer()
    levels = [np.random.default_rng(0).random((64, 64)).astype(np.float32), np.ones((32, 32))]
    viewer.add_image(levels, name="pyramid", multiscale=True, scale=(2, 2))
    viewer.add_image(flat_psf, name="PSF", scale=(2, 2))
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Deconvolve")
    widget.form.set_values({"strength": 0.1, "boundary": "reflect"})
    run_to_end(widget, qtbot)
    result = viewer.layers["pyramid deconvolved"]
    assert result.data.shape == (64, 64)
    np.testing.assert_array_equal(result.scale, (2, 2))


def test_cancel_keeps_the_estimate_that_was_reached(deconvolve, qtbot):
    viewer, widget, _ = deconvolve
    values = {"method": "richardson-lucy", "iterations": 100_000, "boundary": "periodic"}
    widget.form.set_values(values)
    with qtbot.waitSignal(widget.runner.finished, timeout=60_000) as blocker:
        widget.run()
        reached = qtbot.waitSignal(
            widget.runner.stepped, timeout=30_000, check_params_cb=lambda step: step.done > 0
        )
        reached.wait()
        widget.bar.cancel.click()
    assert blocker.args[0].cancelled
    partial = viewer.layers[-1]
    assert "cancelled after" in partial.name
    assert partial.data.shape == viewer.layers["cells"].data.shape


def test_the_record_says_which_engine_was_taken(deconvolve, qtbot):
    viewer, widget, _ = deconvolve
    run_to_end(widget, qtbot)
    record = viewer.layers["cells deconvolved"].metadata[METADATA_KEY]
    assert record["parameters"]["engine"] == "fft"
    assert widget.form.values()["engine"] == "auto"
    assert widget._request()[1].engine == "fft"


def test_spectra_leave_the_sliders_their_names(deconvolve, qtbot):
    viewer, widget, _ = deconvolve
    widget.form.set_values({"spectrum": True})
    run_to_end(widget, qtbot)
    assert {"cells transfer", "cells gain"} <= {layer.name for layer in viewer.layers}
    assert viewer.dims.axis_labels == ("z", "y", "x")
