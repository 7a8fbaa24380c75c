"""Run a job in a thread of the viewer: progress, cancel, and failures that are not lost.

superqt's generator worker swallows every ``RuntimeError`` (all of torch's errors are one)
and leaves an aborted generator open. `JobWorker` therefore closes the generator in its own
thread and keeps how it ended as a value, which `JobRunner` reads when the thread is done.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QThreadPool, Signal

from napari_convfact.foundation.job import Job, Step

_SECONDS_BETWEEN_STEPS = 0.05
_LONGEST_STEP_MS = 30_000


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    result : object
        What it returned; None if it did not finish.
    error : Exception or None
        What it raised.
    cancelled : bool
        Whether the user stopped it.
    last_step : Step or None
        The last report, with the result as it stood then.
    """

    result: Any = None
    error: Exception | None = None
    cancelled: bool = False
    last_step: Step | None = None


class JobWorker(GeneratorWorker):
    """Drives a job in its thread and keeps the `Outcome`."""

    outcome = Outcome(cancelled=True)

    def work(self) -> None:
        """Run the job to its end, its failure or the user's cancel."""
        try:
            self.outcome = self._drive()
        except Exception as error:  # noqa: BLE001 - any failure must reach the user
            self.outcome = Outcome(error=error)
        finally:
            self._gen.close()

    def _drive(self) -> Outcome:
        shown = 0.0
        step = None
        while not self.abort_requested:
            try:
                step = next(self._gen)
            except StopIteration as stop:
                return Outcome(result=stop.value, last_step=step)
            if time.monotonic() - shown > _SECONDS_BETWEEN_STEPS:
                shown = time.monotonic()
                self.yielded.emit(step)
        self.aborted.emit()
        return Outcome(cancelled=True, last_step=step)


_workers: set[JobWorker] = set()


@atexit.register
def _end_jobs() -> None:
    """Wait for the jobs that run when Python ends: without Qt their threads would abort it.

    napari's own event loop does so too, but not a script that closes the viewer and ends.
    """
    for worker in _workers:
        worker.quit()
    if _workers:
        QThreadPool.globalInstance().waitForDone(_LONGEST_STEP_MS)


class JobRunner(QObject):
    """Runs one job at a time; its signals arrive in the main thread.

    Attributes
    ----------
    started : Signal()
    stepped : Signal(Step)
        At most twenty times a second.
    finished : Signal(Outcome)
    """

    started = Signal()
    stepped = Signal(object)
    finished = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: JobWorker | None = None
        self._bar: cancelable_progress | None = None
        self._updating = False

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._worker is not None

    def start(self, make_job: Callable[[], Job[Any]], title: str, *, show: bool = True) -> None:
        """Start a job.

        Parameters
        ----------
        make_job : callable
            Returns the generator; called in the thread, so it may read large arrays.
        title : str
            What the activity panel calls it.
        show : bool
            Whether the activity panel shows it.

        Raises
        ------
        RuntimeError
            If a job runs already.
        """
        if self.busy:
            raise RuntimeError("A job is running: cancel it or wait for it.")

        def drive() -> Job[Any]:
            return (yield from make_job())

        drive.__qualname__ = title  # the viewer's task list shows it
        worker = create_worker(drive, _worker_class=JobWorker, _ignore_errors=True)
        worker.yielded.connect(self._on_step)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        self._bar = cancelable_progress(total=0, desc=title) if show else None
        self.started.emit()
        _workers.add(worker)
        worker.start()

    def cancel(self) -> None:
        """Ask the job to stop at its next step."""
        if self._worker is not None:
            self._worker.quit()

    def _on_step(self, step: Step) -> None:
        self.stepped.emit(step)
        bar = self._bar
        if bar is None or self._updating:
            return
        self._updating = True
        try:
            bar.total = step.total
            # It lets events through: the job may be over after it. While the viewer is slow, it
            # lets the next step through too, and that one the next, until the stack is full.
            bar.update(step.done - bar.n)
        finally:
            self._updating = False
        if bar.is_canceled:
            self.cancel()

    def _on_finished(self) -> None:
        worker, self._worker = self._worker, None
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if worker is not None:
            _workers.discard(worker)
            self.finished.emit(worker.outcome)
