"""Keep torch's threads out of the way of the transforms'.

On the CPU the transforms (scipy.fft) and the fused passes (numba) have threads of their own.
Torch's OpenMP team spins for a while after every elementwise operation and takes the processors
from them, which costs more than the team gains.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from napari_convfact.foundation.job import Job

T = TypeVar("T")


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run the calling thread's torch operations without a team inside the block.

    The setting is the calling thread's own and is put back afterwards.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_one_torch_thread(job: Job[T]) -> Job[T]:
    """Run each step of a job under `one_torch_thread`; between steps it is not in force.

    Parameters
    ----------
    job : generator of Step
        The job.

    Yields
    ------
    Step
        The job's own.

    Returns
    -------
    object
        What the job returns.
    """
    try:
        while True:
            try:
                with one_torch_thread():
                    step = next(job)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield step
    finally:
        job.close()
