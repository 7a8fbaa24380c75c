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

    The calling thread takes part: it runs the first task, and then whatever no other thread has
    begun. An exception of a task, or an interrupt of the caller, cancels those that have not
    begun.

    Parameters
    ----------
    tasks : sequence of callable
        Without arguments.

    Returns
    -------
    list
        What they return, in their order.
    """
    if not tasks:
        return []
    first, *rest = tasks
    futures = [_pool(os.getpid()).submit(task) for task in rest]
    try:
        own = {0: first()}
        for number, future in enumerate(futures, start=1):
            if future.cancel():
                own[number] = tasks[number]()
        return [
            own[number] if number in own else futures[number - 1].result()
            for number in range(len(tasks))
        ]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


@cache
def _pool(_process: int) -> ThreadPoolExecutor:
    # Threads do not survive a fork, so that each process has its own pool.
    return ThreadPoolExecutor(max(1, cpu_count() - 1), thread_name_prefix="convfact")
