"""Spread tasks over the processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from napari_convfact.foundation.device import cpu_count

T = TypeVar("T")


def run_all(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks that release the interpreter lock, on all processors.

    An exception of a task, or an interrupt of the caller, cancels those that have not begun.

    Parameters
    ----------
    tasks : sequence of callable
        Without arguments. They must not call `run_all` themselves.

    Returns
    -------
    list
        What they return, in their order.
    """
    if len(tasks) == 1:
        return [tasks[0]()]
    futures = [_pool(os.getpid()).submit(task) for task in tasks]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


@cache
def _pool(_process: int) -> ThreadPoolExecutor:
    # Threads do not survive a fork, so that each process has its own pool.
    return ThreadPoolExecutor(cpu_count(), thread_name_prefix="convfact")
