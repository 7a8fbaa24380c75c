"""The protocol of long work: a generator that yields steps and returns a result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One report of a job's progress.

    Attributes
    ----------
    done : int
        Units of work finished so far.
    total : int
        Units of work in all; 0 when it is not known.
    message : str
        What is being done, or a remark that the user should see.
    preview : numpy.ndarray or None
        The result as it stands, if the job can show one.
    """

    done: int
    total: int
    message: str = ""
    preview: np.ndarray | None = None


Job = Generator[Step, None, T]


def run(job: Job[T], on_step: Callable[[Step], object] | None = None) -> T:
    """Drive a job to its end and return its result.

    Parameters
    ----------
    job : generator of Step
        The job. It is closed whatever happens, so its ``finally`` blocks run.
    on_step : callable, optional
        Called with each `Step`. An exception that it raises cancels the job.

    Returns
    -------
    object
        What the generator returns.
    """
    try:
        while True:
            try:
                step = next(job)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if on_step is not None:
                on_step(step)
    finally:
        job.close()


def relay(job: Job[T], change: Callable[[Step], Step]) -> Job[T]:
    """Run a job as a part of another one.

    Parameters
    ----------
    job : generator of Step
        The part. It is closed whatever happens.
    change : callable
        Turns each of its steps into one of the whole job.

    Returns
    -------
    generator of Step
        Returns what `job` returns.
    """
    try:
        while True:
            try:
                step = next(job)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield change(step)
    finally:
        job.close()
