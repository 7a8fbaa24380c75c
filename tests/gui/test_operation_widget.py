"""The life of a run in the viewer, with a job that only counts."""

import itertools

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLabel

from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.operations.provenance import METADATA_KEY


@pytest.fixture
def widget(viewer, counting):
    widget = OperationWidget(viewer, counting)
    viewer.window.add_dock_widget(widget)
    return widget


@pytest.fixture
def errors():
    """The error notifications that the test causes."""
    notification_manager.records.clear()
    return lambda: [r.message for r in notification_manager.records if r.severity == "error"]


def run_to_end(widget, qtbot):
    with qtbot.waitSignal(widget.runner.finished, timeout=20_000) as blocker:
        widget.run()
    return blocker.args[0]


def is_ready(widget):
    return (
        widget.bar.run.isEnabled()
        and not widget.bar.cancel.isEnabled()
        and not widget.bar.progress.isVisible()
        and not widget.runner.busy
    )


def test_the_result_lies_where_its_source_lies(widget, viewer, qtbot):
    source = viewer.layers["cells"]
    before = source.data.copy()
    run_to_end(widget, qtbot)
    result = viewer.layers["cells counted"]
    np.testing.assert_array_equal(result.scale, source.scale)
    np.testing.assert_array_equal(result.translate, source.translate)
    assert result.units == source.units
    assert result.axis_labels == source.axis_labels
    np.testing.assert_array_equal(source.data, before)
    assert is_ready(widget)


def test_the_result_says_how_it_was_made(widget, viewer, qtbot):
    run_to_end(widget, qtbot)
    record = viewer.layers["cells counted"].metadata[METADATA_KEY]
    assert record["operation"] == "count"
    assert record["parameters"] == {"steps": 3, "fail": False}
    assert record["sources"]["image"]["name"] == "cells"
    assert record["summary"] == {"sum": 1.5}


def test_a_second_run_overwrites_nothing(widget, viewer, qtbot):
    run_to_end(widget, qtbot)
    run_to_end(widget, qtbot)
    assert [layer.name for layer in viewer.layers] == [
        "cells",
        "cells counted",
        "cells counted [1]",
    ]


def test_an_error_inside_torch_is_one_notification(widget, viewer, counting, qtbot, errors):
    widget.form.set_values({"fail": True})
    outcome = run_to_end(widget, qtbot)
    assert type(outcome.error).__name__ == "OutOfMemoryError"
    assert errors() == ["Count: OutOfMemoryError: no memory left"]
    assert widget._findings.text() == "<p>OutOfMemoryError: no memory left</p>"
    assert len(viewer.layers) == 1
    assert is_ready(widget)
    assert counting.job.closed == 1


def test_cancel_stops_at_the_next_step_and_keeps_what_was_reached(widget, viewer, counting, qtbot):
    widget.form.set_values({"steps": 10**6})
    with qtbot.waitSignal(widget.runner.finished, timeout=20_000) as blocker:
        widget.run()
        qtbot.waitUntil(lambda: counting.job.reached > 10, timeout=10_000)
        widget.bar.cancel.click()
        at_click = counting.job.reached
    assert blocker.args[0].cancelled
    assert counting.job.closed == 1
    assert counting.job.reached <= at_click + 1
    assert "cancelled after" in viewer.layers[-1].name
    assert is_ready(widget)


@pytest.mark.parametrize("fail", [False, True])
def test_the_task_manager_is_idle_afterwards(widget, viewer, qtbot, fail):
    widget.form.set_values({"fail": fail})
    manager = viewer.window._task_status_manager
    with qtbot.waitSignal(widget.runner.finished, timeout=20_000):
        widget.run()
        assert manager.is_busy()
    assert not manager.is_busy()


def test_without_a_layer_run_is_disabled_and_says_why(make_napari_viewer, counting):
    viewer = make_napari_viewer()
    widget = OperationWidget(viewer, counting)
    viewer.window.add_dock_widget(widget)
    assert not widget.bar.run.isEnabled()
    assert "choose a layer" in widget.bar.plan.text()
    viewer.add_image(np.zeros((8, 8)), name="new")
    assert widget.bar.run.isEnabled()
    assert "Counts to 3" in widget.bar.plan.text()


def test_a_run_that_needs_too_much_memory_is_not_started(widget, monkeypatch):
    monkeypatch.setattr("napari_convfact.gui.operation_widget.memory_limit", lambda: 1000.0)
    widget.refresh()
    assert not widget.bar.run.isEnabled()
    assert "1 MB" in widget.bar.plan.text()
    assert "memory limit" in widget.bar.plan.text()


def test_a_layer_that_is_deleted_during_the_run_does_no_harm(widget, viewer, qtbot):
    widget.form.set_values({"steps": 1000})
    with qtbot.waitSignal(widget.runner.finished, timeout=20_000):
        widget.run()
        viewer.layers.remove("cells")
    assert viewer.layers[0].name == "cells counted"


def test_the_choices_follow_the_layer_list(widget, viewer):
    choice = widget.choices["image"]
    viewer.layers["cells"].name = "renamed"
    assert choice.currentText() == "renamed"
    viewer.add_labels(np.zeros((4, 4), int), name="labels")
    assert choice.count() == 1
    viewer.layers.remove("renamed")
    assert choice.layer is None


def test_it_runs_on_each_selected_layer(widget, viewer, qtbot):
    viewer.add_image(np.ones((8, 8)), name="more")
    viewer.add_image(np.ones((8, 8)), name="not this")
    viewer.layers.selection = {viewer.layers["cells"], viewer.layers["more"]}
    widget.run_selected()
    qtbot.waitUntil(lambda: len(viewer.layers) == 5, timeout=20_000)
    assert [layer.name for layer in viewer.layers[3:]] == ["cells counted", "more counted"]
    assert is_ready(widget)


def test_what_a_run_found_is_scrolled_into_sight(widget, viewer, qtbot, monkeypatch):
    monkeypatch.setattr(widget, "findings", lambda _: "what it found " * 60)
    window, view = viewer.window._qt_window, widget._scroll.viewport()
    widget.add_to_content(filling := QLabel())
    filling.setFixedHeight(250)
    window.resize(900, 620)
    window.show()
    run_to_end(widget, qtbot)

    def is_in_sight():
        top = widget._findings.mapTo(view, QPoint(0, 0)).y()
        return top >= 0 and top + widget._findings.height() <= view.height()

    bar = widget._scroll.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0, timeout=10_000)
    qtbot.waitUntil(is_in_sight, timeout=10_000)


def test_the_tab_key_goes_down_the_form(widget, viewer):
    viewer.window._qt_window.show()
    at, tops = widget.choices["image"], []
    while widget.isAncestorOf(at):
        if at.isVisible() and at.focusPolicy() & Qt.FocusPolicy.TabFocus:
            tops.append(at.mapTo(widget, QPoint(0, 0)).y())
        at = at.nextInFocusChain()
    assert len(tops) > 4
    # Parts of one row may differ by a few pixels.
    assert all(below >= above - 4 for above, below in itertools.pairwise(tops))
