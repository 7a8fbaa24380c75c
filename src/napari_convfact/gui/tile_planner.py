"""What a run in tiles would take, found out in the background while the form is at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_convfact.foundation.job import Job
from napari_convfact.gui.job_runner import JobRunner, Outcome
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters

_PAUSE_MS = 700


@dataclass(frozen=True, eq=False)
class _Question:
    inputs: Mapping[str, SpatialImage]
    parameters: Parameters
    memory_limit: float | None

    def same_as(self, other: _Question | None) -> bool:
        return (
            other is not None
            and self.parameters == other.parameters
            and self.memory_limit == other.memory_limit
            and self.inputs.keys() == other.inputs.keys()
            and all(image.data is other.inputs[name].data for name, image in self.inputs.items())
        )


class TilePlanner(QObject):
    """Plans the tiles of what the form says, and times one of them.

    Parameters
    ----------
    operation : Operation
        What would be run.
    parent : QObject
        The widget.

    Attributes
    ----------
    said : Signal(str)
        The plan in a sentence, or why there is none; at most once for each `follow`.
    """

    said = Signal(str)

    def __init__(self, operation: Operation, parent: QObject) -> None:
        super().__init__(parent)
        self._operation = operation
        self._runner = JobRunner(self)
        self._runner.finished.connect(self._on_finished)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._start)
        self._asked: _Question | None = None
        self._running: _Question | None = None
        self._answered: _Question | None = None
        self._answer = ""

    def follow(
        self,
        inputs: Mapping[str, SpatialImage],
        parameters: Parameters,
        memory_limit: float | None,
    ) -> None:
        """Answer after a pause, unless `stop` or another question comes first."""
        self.stop()
        self._asked = _Question(inputs, parameters, memory_limit)
        self._pause.start()

    def stop(self) -> None:
        """Forget the question."""
        self._asked = None
        self._pause.stop()
        self._runner.cancel()

    def _start(self) -> None:
        question = self._asked
        if question is None:
            return
        if question.same_as(self._answered):
            self.said.emit(self._answer)
        elif self._runner.busy:  # cancelled, but not yet at its next step
            self._pause.start()
        else:
            self._running = question
            title = f"{self._operation.title}: planning"
            self._runner.start(lambda: self._job(question), title, show=False)

    def _job(self, question: _Question) -> Job[str]:
        from napari_convfact.batch.forecast import forecast_job
        from napari_convfact.batch.request import Options, Request

        output = Path("plan.ome.zarr")  # nothing is written there
        request = Request(self._operation, question.parameters, question.inputs, output)
        options = Options(memory_limit=question.memory_limit)
        return str((yield from forecast_job(request, options)))

    def _on_finished(self, outcome: Outcome) -> None:
        if outcome.cancelled or self._running is None or self._running is not self._asked:
            return
        text = outcome.result if outcome.error is None else f"No plan: {outcome.error}"
        self._answered, self._answer = self._running, text
        self.said.emit(text)
