"""One thread for linear algebra on small matrices.

OpenBLAS wakes all its threads for matrices of a hundred rows and lets them spin between calls:
many small problems in a row then take longer, and many times the CPU time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold the process's BLAS at one thread inside the block.

    The setting is the process's: keep blocks short. Where blocks of several threads overlap,
    the first one sets and restores it and the others do nothing, so that it is never left
    changed; they may go on with more threads once the first has left.
    """
    if not _lock.acquire(blocking=False):
        yield
        return
    try:
        with _controller().limit(limits=1):
            yield
    finally:
        _lock.release()


@cache
def _controller() -> Any:
    # Finding the libraries takes milliseconds, setting their threads microseconds.
    import numpy as np
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    del np  # its BLAS has to be loaded to be found
    return ThreadpoolController().select(user_api="blas")
