"""A progress bar on a terminal for a job's steps; silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from napari_convfact.foundation.job import Step


class ProgressBar:
    """Shows each `Step` it is called with."""

    def __init__(self, bar: tqdm) -> None:
        self._bar = bar

    def __call__(self, step: Step) -> None:
        """Show a step."""
        self._bar.total = step.total or None
        self._bar.n = step.done
        self._bar.set_postfix_str(step.message)


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressBar]:
    """Return an ``on_step`` for `run`, closed at the end."""
    with tqdm(
        desc=description,
        bar_format="{desc}: {bar} {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
        disable=not sys.stderr.isatty(),
        leave=False,
    ) as bar:
        yield ProgressBar(bar)
