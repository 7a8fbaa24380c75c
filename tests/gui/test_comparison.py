"""*Before / after*, also of channels that are added to each other."""

import numpy as np
import pytest
from tests.gui.helpers import open_widget, run_to_end


@pytest.fixture
def channels(make_napari_viewer):
    """A viewer with two channels, and Convolve."""
    viewer = make_napari_viewer()
    rng = np.random.default_rng(0)
    for name, colours in (("membrane", "magenta"), ("nuclei", "green")):
        image = rng.random((40, 50), dtype=np.float32)
        viewer.add_image(image, name=name, colormap=colours, blending="additive")
    return viewer, open_widget(viewer, "Convolve")


def seen(viewer):
    return {layer.name for layer in viewer.layers if layer.visible}


def run_on_both(viewer, widget, qtbot):
    viewer.layers.selection = set(viewer.layers)
    widget.run_selected()
    qtbot.waitUntil(lambda: len(viewer.layers) == 4 and not widget.runner.busy, timeout=30_000)


def test_results_of_channels_are_added_in_their_place(channels, qtbot):
    viewer, widget = channels
    run_on_both(viewer, widget, qtbot)
    for name in ("membrane", "nuclei"):
        result = viewer.layers[f"{name} convolved"]
        assert result.blending == "additive"
        assert result.colormap == viewer.layers[name].colormap
    assert seen(viewer) == {"membrane convolved", "nuclei convolved"}
    widget.bar.compare.click()
    assert seen(viewer) == {"membrane", "nuclei"}
    widget.bar.compare.click()
    assert seen(viewer) == {"membrane convolved", "nuclei convolved"}


def test_another_run_takes_the_place_of_the_first(channels, qtbot):
    viewer, widget = channels
    widget.choices["image"].choose(viewer.layers["nuclei"])
    run_to_end(widget, qtbot)
    (second,) = run_to_end(widget, qtbot, sigma=1.0)
    assert seen(viewer) == {"membrane", second.name}
    widget.bar.compare.click()
    assert seen(viewer) == {"membrane", "nuclei"}


def test_a_run_that_fails_compares_nothing(channels, qtbot):
    """The first of two layers fails: what is compared is the result of the second alone."""
    viewer, widget = channels
    widget.choices["image"].choose(viewer.layers["membrane"])
    (earlier,) = run_to_end(widget, qtbot)
    broken = viewer.add_image(np.full((40, 50), np.nan, np.float32), name="broken")
    viewer.layers.move(viewer.layers.index(broken), 0)
    viewer.layers.selection = {broken, viewer.layers["nuclei"]}
    widget.run_selected()
    qtbot.waitUntil(lambda: "nuclei convolved" in viewer.layers and not widget.runner.busy)
    assert widget.comparison.layers() == [viewer.layers["nuclei convolved"]]
    assert earlier in viewer.layers


def test_without_its_result_a_channel_is_seen_again(channels, qtbot):
    viewer, widget = channels
    run_on_both(viewer, widget, qtbot)
    del viewer.layers["nuclei convolved"]
    del viewer.layers["membrane convolved"]
    assert seen(viewer) == {"membrane", "nuclei"}


def test_edges_of_a_channel_cover_it(channels, qtbot):
    viewer, widget = channels
    (edges,) = run_to_end(widget, qtbot, kind="laplacian")
    assert edges.blending != "additive"
    assert seen(viewer) == {"membrane", "nuclei", edges.name}


def test_what_is_not_added_hides_nothing(channels, qtbot):
    viewer, widget = channels
    viewer.layers["membrane"].blending = "translucent"
    widget.choices["image"].choose(viewer.layers["membrane"])
    (result,) = run_to_end(widget, qtbot)
    assert result.blending != "additive"
    assert seen(viewer) == {"membrane", "nuclei", result.name}
