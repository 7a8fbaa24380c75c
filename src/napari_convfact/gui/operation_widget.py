"""The dock widget of an operation: layers, form, Run and Cancel, progress, findings."""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_convfact.foundation.job import Step
from napari_convfact.foundation.memory import format_bytes
from napari_convfact.gui.arrange import bring_into_view, look_at
from napari_convfact.gui.comparison import Comparison
from napari_convfact.gui.editors import Editor
from napari_convfact.gui.findings import findings_text
from napari_convfact.gui.form import ParameterForm
from napari_convfact.gui.form_memory import FormMemory
from napari_convfact.gui.job_runner import JobRunner, Outcome
from napari_convfact.gui.layer_choices import LayerChoices
from napari_convfact.gui.layers import add_result, spatial_image
from napari_convfact.gui.partial import partial_result
from napari_convfact.gui.preferences import memory_limit
from napari_convfact.gui.preview import Preview, PreviewRequest
from napari_convfact.gui.recipe_menu import RecipeMenu
from napari_convfact.gui.run import Declined, Run
from napari_convfact.gui.run_bar import RunBar, text_label
from napari_convfact.gui.run_queue import RunQueue, selected_images
from napari_convfact.gui.scroll_area import VerticalScrollArea
from napari_convfact.gui.tile_planner import TilePlanner
from napari_convfact.gui.tiled_run import TiledRun, needs_tiles
from napari_convfact.gui.warm_up import warm_up
from napari_convfact.operations.operation import Operation, Result, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.provenance import provenance
from napari_convfact.operations.written_files import with_files_for

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_log = logging.getLogger(__name__)


class OperationWidget(QWidget):
    """Runs an operation on layers of the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where layers come from and results go.
    operation : Operation
        What to run.
    """

    #: Whether the result can be shown on the visible part of the first input.
    previews = True
    #: Whether it makes sense to run on the selected layers one after the other.
    repeats = True
    #: Public names that the job needs, to be imported while the user reads the form.
    computes_with: tuple[str, ...] = ()

    def __init__(self, viewer: Viewer, operation: Operation) -> None:
        super().__init__()
        self.viewer = viewer
        self.operation = operation
        self.runner = JobRunner(self)
        self.choices = LayerChoices(viewer, operation.inputs, self)
        self.form = ParameterForm(operation.parameters, self.special_editors(), self.choices.rows())
        self.preview = Preview(viewer, operation, self._preview_request, self)
        self.tile_planner = TilePlanner(operation, self)
        self._running: Run | None = None
        self._queue = RunQueue()
        self.comparison = Comparison(viewer)
        self._settled: tuple[Parameters | None, dict[str, Any]] = None, {}
        self._build()
        self.memory = FormMemory(operation.name, self.form)
        self._connect()
        self.refresh()
        warm_up(self.computes_with)

    def special_editors(self) -> dict[str, Editor]:
        """Return editors for parameters that the usual ones do not suit."""
        return {}

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari calls this when it changes."""
        del event
        if self.preview.lost_a_layer:  # the next guess is not what the user asked to see
            self.bar.preview.setChecked(False)
        self.choices.refresh()
        self.comparison.refresh()
        self._refresh_compare()
        self.refresh()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the preview away when the widget is closed: napari takes it out of its dock."""
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self.bar.preview.setChecked(False)
        super().changeEvent(event)

    def run(self) -> None:
        """Start the operation on the chosen layers."""
        layers = self._chosen_layers()
        if layers is not None:
            self._run_all([layers])

    def run_selected(self) -> None:
        """Start the operation on each selected image layer, one after the other."""
        layers = self._chosen_layers()
        if layers is None:
            return
        first = self.operation.inputs[0].name
        others = [layer for name, layer in layers.items() if name != first]
        selected = selected_images(self.viewer, without=others)
        if not selected:
            show_error("Select the image layers to run on in the layer list first.")
        self._run_all([layers | {first: layer} for layer in selected])

    def _chosen_layers(self) -> dict[str, Layer] | None:
        """Return the layers by input name; None, after saying why, if one is missing."""
        try:
            return self.choices.layers()
        except ValueError as error:
            self._report_error(error)
            return None

    def _run_all(self, runs: list[dict[str, Layer]]) -> None:
        self._queue.fill(runs)
        self._start_next()

    def _start_next(self) -> None:
        """Start what waits, until a run is under way: some say at once that they cannot."""
        while not self.runner.busy and (layers := self._queue.take()) is not None:
            self._start(layers)

    def _start(self, layers: dict[str, Layer]) -> None:
        try:
            parameters = self.form.parameters()
            if self._queue.several:
                name = layers[self.operation.inputs[0].name].name
                parameters = with_files_for(parameters, name)
            inputs = {name: spatial_image(layer) for name, layer in layers.items()}
            tiled = self._tiled_run(layers, inputs, parameters)
        except ValueError as error:
            self._report_error(error)
            return
        except Declined:
            return
        self.choices.keep()
        self._running = Run(layers, inputs, parameters, tiled)
        self._findings.hide()
        make_job = tiled.job if tiled else lambda: self.operation.job(inputs, parameters)
        self.runner.start(make_job, self.operation.title)

    def _tiled_run(
        self,
        layers: dict[str, Layer],
        inputs: dict[str, SpatialImage],
        parameters: Parameters,
    ) -> TiledRun | None:
        """Return how to run in tiles where the run does not fit in memory."""
        plan = self.operation.plan(inputs, parameters) if self.operation.plan else None
        limit = memory_limit()
        if plan is None or not needs_tiles(self.operation, plan, limit):
            return None
        first = self.operation.inputs[0].name
        output = self.ask_for_output(f"{inputs[first].name} {self.operation.name}.ome.zarr")
        if output is None:
            raise Declined
        return TiledRun(
            self.viewer,
            self.operation,
            parameters,
            inputs,
            layers[first],
            output,
            limit,
            shown=self._compare,
        )

    def ask_for_output(self, suggestion: str) -> Path | None:
        """Ask where a result that does not fit in memory is to be written."""
        name, _ = QFileDialog.getSaveFileName(
            self, "Where to write the result", suggestion, "OME-Zarr (*.ome.zarr *.zarr)"
        )
        return Path(name) if name else None

    def refresh(self) -> None:
        """Say what a run would do, or why it cannot run."""
        self.tile_planner.stop()
        if self.runner.busy:
            return
        try:
            text = self._check_plan(self.choices.images(), self.form.parameters())
            ready = True
        except ValueError as error:
            text, ready = str(error), False
        self.bar.show_plan(text, ready=ready)

    def add_results(self, results: list[Result], run: Run) -> list[Layer]:
        """Add results as layers with their provenance and return them."""
        layers = [
            add_result(
                self.viewer,
                result,
                run.layers,
                provenance(
                    self.operation, run.parameters, run.inputs, result.summary, result.settled
                ),
            )
            for result in results
        ]
        on_input = [
            layer for result, layer in zip(results, layers, strict=True) if result.like is not None
        ]
        sources = [run.layers[result.like] for result in results if result.like is not None]
        self._compare(on_input or layers, sources)
        self._settled = run.parameters, dict(results[0].settled)
        self.show_layers(results, layers, run)
        return layers

    def _compare(self, results: Sequence[Layer], sources: Sequence[Layer]) -> None:
        """Let *Before / after* show new results, beside others of the same click."""
        self.comparison.compare(results, sources, more=self._queue.has_results)
        self._queue.has_results = True
        self._refresh_compare()

    def show_layers(self, results: list[Result], layers: list[Layer], run: Run) -> None:
        """Bring results into view: those that do not lie on an input, or else the input's place."""
        pairs = list(zip(results, layers, strict=True))
        apart = [layer for result, layer in pairs if result.like is None and layer.visible]
        if apart:
            inputs = {run.layers[result.like] for result in results if result.like is not None}
            there = [layer for layer in self.viewer.layers if layer in inputs]
            bring_into_view(self.viewer, [*there, *apart])
        elif results[0].like is not None:
            look_at(self.viewer, layers[0])

    def findings(self, summary: Mapping[str, Any]) -> str:
        """Return what a run found as rich text."""
        return findings_text(summary)

    def _build(self) -> None:
        menu = RecipeMenu(self.operation, self._request, self.form.set_values, self)
        if self.repeats:
            menu.add_action("Run on selected layers", self.run_selected)
        self.bar = RunBar(menu, previews=self.previews)
        self._scroll = VerticalScrollArea(self._content())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._scroll, 1)
        outer.addWidget(self.bar)

    def _content(self) -> QWidget:
        """Return what scrolls: the form, and what the last run found."""
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.form)
        self._findings = text_label()
        self._findings.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Without this a long text is cut at the height that it had before it wrapped.
        expanding = QSizePolicy.Policy.MinimumExpanding
        self._findings.setSizePolicy(QSizePolicy.Policy.Preferred, expanding)
        self._findings.hide()
        layout.addWidget(self._findings)
        self._content_layout = layout
        return content

    def add_to_content(self, widget: QWidget, *, at_end: bool = False) -> None:
        """Put a further widget between the form and the findings, or below both."""
        self._content_layout.insertWidget(-1 if at_end else 1, widget)

    def _connect(self) -> None:
        self.bar.run.clicked.connect(self.run)
        self.bar.cancel.clicked.connect(self._on_cancel)
        self.bar.preview.toggled.connect(self.preview.set_enabled)
        self.bar.preview.toggled.connect(self._refresh_compare)
        self.bar.compare.clicked.connect(self._toggle_compared)
        self.preview.said.connect(self._say)
        self.preview.shown.connect(self._refresh_compare)
        self.tile_planner.said.connect(self.bar.add_to_plan)
        self.form.changed.connect(self._on_changed)
        self.choices.changed.connect(self._on_changed)
        self.runner.started.connect(self._on_started)
        self.runner.stepped.connect(self._on_step)
        self.runner.finished.connect(self._on_finished)

    def _on_changed(self) -> None:
        self.refresh()
        self.preview.update()

    def _request(self) -> tuple[dict[str, SpatialImage], Parameters]:
        parameters = self.form.parameters()
        last, settled = self._settled
        if parameters == last:  # what the last run settled repeats it to the bit
            parameters = type(parameters).from_dict(parameters.to_dict() | settled)
        return self.choices.images(), parameters

    def _preview_request(self) -> PreviewRequest:
        return PreviewRequest(self.choices.layers(), self.form.parameters())

    def _refresh_compare(self) -> None:
        previewed = self.bar.preview.isChecked()
        there = self.preview.layer in self.viewer.layers if previewed else self.comparison.layers()
        self.bar.compare.setEnabled(bool(there))

    def _toggle_compared(self) -> None:
        self.comparison.toggle(self.preview.layer if self.bar.preview.isChecked() else None)

    def _check_plan(self, inputs: Mapping[str, SpatialImage], parameters: Parameters) -> str:
        if self.operation.plan is None:
            return ""
        plan = self.operation.plan(inputs, parameters)
        text = f"{plan.text} About {format_bytes(plan.memory)} of memory"
        if needs_tiles(self.operation, plan, memory_limit()):
            self.tile_planner.follow(inputs, parameters, memory_limit())
            return f"{text} at once is too much: it runs in tiles, into a file that you choose."
        return f"{text}."

    def _on_started(self) -> None:
        self.tile_planner.stop()
        self._set_busy(True)

    def _on_cancel(self) -> None:
        self._queue.clear()
        self.bar.show_cancelling()
        self.runner.cancel()

    def _on_step(self, step: Step) -> None:
        self.bar.show_step(step)
        if self._running is not None and self._running.tiled is not None:
            self._running.tiled.show(step)

    def _on_finished(self, outcome: Outcome) -> None:
        run, self._running = self._running, None
        self._set_busy(False)
        if outcome.error is not None:
            self._report_error(outcome.error)
        elif run is not None and run.tiled is not None:
            self.bar.preview.setChecked(False)
            self._say(run.tiled.finish(outcome))
        elif outcome.cancelled:
            self._keep_partial(outcome.last_step, run)
        elif run is not None:
            self.bar.preview.setChecked(False)
            self.add_results(outcome.result, run)
            self._show_findings(outcome.result[0].summary)
        self.refresh()
        self._start_next()

    def _set_busy(self, busy: bool) -> None:
        self.preview.hold(busy)
        self.bar.set_busy(busy)
        self.form.setEnabled(not busy)
        self.choices.set_enabled(not busy)

    def _report_error(self, error: Exception) -> None:
        _log.debug("The job failed.", exc_info=error)
        reason = str(error) or type(error).__name__
        if not isinstance(error, ValueError):
            reason = f"{type(error).__name__}: {reason}"
        show_error(f"{self.operation.title}: {reason}")
        self._say(f"<p>{html.escape(reason)}</p>")  # stays when the notification is gone

    def _keep_partial(self, step: Step | None, run: Run | None) -> None:
        partial = partial_result(run, step) if run is not None and step is not None else None
        if run is None or partial is None:
            self._say("Cancelled: nothing was added.")
            return
        self.add_results([partial], run)
        self._say(f"Cancelled: the estimate reached was added as “{partial.name}”.")

    def _show_findings(self, summary: Mapping[str, Any]) -> None:
        self.form.show_chosen(summary)
        self._say(self.findings(summary))

    def _say(self, text: str) -> None:
        self._findings.setText(text)
        self._findings.setVisible(bool(text))
        if text:
            self._scroll.scroll_to(self._findings)
