"""A run that does not fit in memory goes in tiles, into a file that a layer shows."""

import re

import dask.array as da
import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import finish

import napari_convfact as cf
from napari_convfact.foundation.job import Step
from napari_convfact.gui import operation_widget, recipe_menu
from napari_convfact.gui.tiled_run import TiledRun
from napari_convfact.operations.provenance import METADATA_KEY


@pytest.fixture
def in_tiles(make_napari_viewer, flat_psf, monkeypatch, tmp_path):
    """A Deconvolve widget that takes every run for too large, and where it writes."""
    monkeypatch.setattr(operation_widget, "needs_tiles", lambda *_: True)
    viewer = make_napari_viewer()
    movie = np.random.default_rng(0).random((6, 64, 70)).astype(np.float32)
    viewer.add_image(
        movie,
        name="movie",
        colormap="magenta",
        scale=(2, 0.1, 0.1),
        translate=(0, 5, 7),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    viewer.add_image(flat_psf, name="PSF", scale=(0.1, 0.1), units=("um", "um"))
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Deconvolve")
    widget.form.set_values({"method": "wiener", "strength": 0.1, "boundary": "reflect"})
    output = tmp_path / "movie.ome.zarr"
    monkeypatch.setattr(widget, "ask_for_output", lambda _: output)
    return viewer, widget, output


def run_to_end(widget, qtbot):
    with qtbot.waitSignal(widget.runner.finished, timeout=120_000) as blocker:
        widget.run()
    assert blocker.args[0].error is None
    return blocker.args[0]


def test_the_result_is_a_layer_on_the_file(in_tiles, qtbot):
    viewer, widget, output = in_tiles
    assert "in tiles" in widget.bar.plan.text()
    run_to_end(widget, qtbot)
    layer, source = viewer.layers[-1], viewer.layers["movie"]
    assert layer.multiscale
    assert output.is_dir()
    np.testing.assert_array_equal(layer.scale, source.scale)
    np.testing.assert_array_equal(layer.translate, source.translate)
    assert layer.units == source.units
    assert layer.colormap == source.colormap
    assert layer.axis_labels == source.axis_labels
    assert layer.metadata[METADATA_KEY]["parameters"]["method"] == "wiener"
    psf, _ = cf.prepare_kernel(viewer.layers["PSF"].data)
    whole = cf.deconvolve(source.data, psf, method="wiener", strength=0.1, boundary="reflect")
    np.testing.assert_allclose(np.asarray(layer.data[0]), whole.estimate, atol=1e-5)
    assert str(output) in widget._findings.text()


def test_the_result_of_a_channel_is_added_in_its_place(in_tiles, qtbot):
    viewer, widget, _ = in_tiles
    source = viewer.layers["movie"]
    source.blending = "additive"
    viewer.layers["PSF"].visible = False
    run_to_end(widget, qtbot)
    layer = viewer.layers[-1]
    assert layer.blending == "additive"
    assert (source.visible, layer.visible) == (False, True)
    widget.bar.compare.click()
    assert (source.visible, layer.visible) == (True, False)


def test_the_script_runs_in_tiles_too(in_tiles, qtbot, monkeypatch, tmp_path):
    viewer, widget, _ = in_tiles
    monkeypatch.setattr(recipe_menu, "memory_limit", lambda: 1.0)
    monkeypatch.chdir(tmp_path)
    run_to_end(widget, qtbot)
    menu = widget.findChild(recipe_menu.RecipeMenu)
    menu.copy_as_python()
    finish(menu, qtbot)
    scope = {"viewer": viewer}
    exec(QApplication.clipboard().text(), scope)
    (path,) = scope["paths"]
    layer = viewer.layers[-1]
    np.testing.assert_array_equal(cf.open_image(path).data[:], np.asarray(layer.data[0]))


def test_a_memory_limit_that_leaves_nothing_is_said_before_a_file_is_asked_for(
    make_napari_viewer, flat_psf, monkeypatch
):
    monkeypatch.setattr(operation_widget, "memory_limit", lambda: 3e8)
    viewer = make_napari_viewer()
    viewer.add_image(da.zeros((100, 1000, 1000), np.float32), name="volume")
    viewer.add_image(flat_psf, name="PSF")
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Deconvolve")
    assert "300 MB leaves nothing for tiles" in widget.bar.plan.text()
    assert not widget.bar.run.isEnabled()


def test_the_form_says_how_long_it_will_take(in_tiles, qtbot):
    _, widget, output = in_tiles
    with qtbot.waitSignal(widget.tile_planner.said, timeout=60_000):
        widget.form.set_values({"strength": 0.05})
    text = widget.bar.plan.text()
    assert re.search(r"runs in tiles.* of 64 × 70 voxels.*About \d+ s in one process", text)
    assert not output.exists()
    # The same question again is answered without work, another one anew.
    with qtbot.waitSignal(widget.tile_planner.said, timeout=60_000):
        widget.refresh()
    assert widget.bar.plan.text() == text
    with qtbot.waitSignal(widget.tile_planner.said, timeout=60_000):
        widget.form.set_values({"residual": True})
    assert "residual is made in memory only" in widget.bar.plan.text()


def test_a_cancelled_run_goes_on_when_it_is_run_again(in_tiles, qtbot):
    viewer, widget, output = in_tiles
    with qtbot.waitSignal(widget.runner.finished, timeout=120_000) as blocker:
        widget.run()
        widget.bar.cancel.click()
    assert blocker.args[0].cancelled
    assert not output.exists()
    assert "go on" in widget._findings.text()
    run_to_end(widget, qtbot)
    assert output.is_dir()
    assert sum(layer.name != "PSF" for layer in viewer.layers) == 2


def test_a_layer_of_a_run_that_was_stopped_shows_the_whole_in_the_end(in_tiles, monkeypatch, qtbot):
    monkeypatch.setattr("napari_convfact.gui.tiled_run._SECONDS_BETWEEN_REFRESHES", 0.0)
    viewer, widget, output = in_tiles
    widget.form.set_values({"method": "richardson-lucy", "iterations": 400})
    cancel = lambda _: widget.bar.cancel.click()  # noqa: E731 - to be disconnected again
    viewer.layers.events.inserting.connect(cancel)
    with qtbot.waitSignal(widget.runner.finished, timeout=120_000) as blocker:
        widget.run()
    assert blocker.args[0].cancelled
    viewer.layers.events.inserting.disconnect(cancel)
    layer = viewer.layers[-1]
    run_to_end(widget, qtbot)
    assert len(viewer.layers) == 3
    assert viewer.layers[-1] is layer
    shown = np.asarray(layer.data[0])
    assert np.all(shown.max(axis=(1, 2)) > 0)
    np.testing.assert_array_equal(shown, cf.read_image(output).data)


def test_files_that_move_while_they_are_opened_wait_for_the_end(in_tiles, monkeypatch):
    viewer, widget, output = in_tiles

    def moved(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr("napari_convfact.batch.results.open_results", moved)
    operation, source = widget.operation, viewer.layers["movie"]
    run = TiledRun(
        viewer, operation, operation.parameters(), {}, source, output, None, shown=pytest.fail
    )
    run.show(Step(1, 1))
    assert run.layers == []


def test_closing_the_dialog_starts_nothing(in_tiles, monkeypatch):
    viewer, widget, _ = in_tiles
    monkeypatch.setattr(widget, "ask_for_output", lambda _: None)
    widget.run()
    assert not widget.runner.busy
    assert len(viewer.layers) == 2


def test_names_of_kernels_are_a_labels_layer(make_napari_viewer, monkeypatch, tmp_path, qtbot):
    monkeypatch.setattr(operation_widget, "needs_tiles", lambda *_: True)
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).random((96, 80)).astype(np.float32), name="noise")
    _, tabs = viewer.window.add_plugin_dock_widget("napari-convfact", "Texture features")
    widget = tabs.features
    only = {"log_energy": False, "novelty": False, "mosaic": False, "kernel_stack": False}
    widget.form.set_values({**only, "table": False, "assignment": True, "n_kernels": 2})
    monkeypatch.setattr(widget, "ask_for_output", lambda _: tmp_path / "noise.ome.zarr")
    run_to_end(widget, qtbot)
    layer = viewer.layers[-1]
    assert isinstance(layer, Labels)
    assert set(np.unique(np.asarray(layer.data))) <= {1, 2}


def test_a_slide_in_colour_gives_a_layer_with_its_colours(in_tiles, qtbot):
    dask = pytest.importorskip("dask.array")
    viewer, widget, _ = in_tiles
    data = np.random.default_rng(1).integers(0, 255, (64, 70, 3), dtype=np.uint8)
    slide = viewer.add_image(
        dask.from_array(data, chunks=(32, 32, 3)),
        rgb=True,
        name="slide",
        scale=(0.1, 0.1),
        translate=(5, 7),
        units=("um", "um"),
    )
    with qtbot.waitSignal(widget.tile_planner.said, timeout=60_000):
        widget.choices["image"].choose(slide)
    assert re.search(r"3 pieces of 64 × 70 voxels.*in one process", widget.bar.plan.text())
    run_to_end(widget, qtbot)
    layer = viewer.layers[-1]
    assert layer.data[0].shape == (3, 64, 70)
    np.testing.assert_array_equal(layer.scale, (1, 0.1, 0.1))
    np.testing.assert_array_equal(layer.translate, (0, 5, 7))
    psf, _ = cf.prepare_kernel(viewer.layers["PSF"].data)
    options = {"method": "wiener", "strength": 0.1, "boundary": "reflect"}
    whole = cf.deconvolve(data, psf, channel_axis=-1, **options)
    estimate = np.moveaxis(whole.estimate, -1, 0)
    np.testing.assert_allclose(np.asarray(layer.data[0]), estimate, atol=1e-3)


def test_tiles_have_the_colours_of_the_same_run_in_memory(
    make_napari_viewer, monkeypatch, tmp_path, qtbot
):
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).random((64, 70)).astype(np.float32)
    viewer.add_image(image, name="cells", colormap="magenta")
    cases = {
        "Convolve": {"kind": "laplacian"},
        "Gabor bank": {"n_scales": 2, "n_orientations": 3, "colours": False, "orientation": True},
    }
    for title, values in cases.items():
        _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", title)
        widget.form.set_values(values)
        widget.choices["image"].choose(viewer.layers["cells"])
        looks = []
        for tiles in (False, True):
            before = list(viewer.layers)
            monkeypatch.setattr(operation_widget, "needs_tiles", lambda *_, tiles=tiles: tiles)
            output = tmp_path / f"{title}.ome.zarr"
            monkeypatch.setattr(widget, "ask_for_output", lambda _, output=output: output)
            run_to_end(widget, qtbot)
            new = [layer for layer in viewer.layers if layer not in before]
            looks.append([layer.colormap.name for layer in new])
            if title == "Convolve":
                assert new[0].contrast_limits[0] == -new[0].contrast_limits[1]
            else:  # angles
                np.testing.assert_allclose(new[1].contrast_limits, (0, np.pi))
        assert looks[0] == looks[1]
        assert "magenta" not in looks[0]
