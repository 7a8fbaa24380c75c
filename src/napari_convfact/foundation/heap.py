"""Give freed memory back to the system.

glibc's allocator keeps what was freed between blocks that are in use. Over hundreds of tiles
that adds up, differently in every run.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache

#: Returning memory costs the system's clearing it again when it is next used.
SECONDS_BETWEEN = 0.5


class Heap:
    """Returns freed memory now and then.

    Parameters
    ----------
    seconds : float
        What passes at least between two returns.
    """

    def __init__(self, seconds: float = SECONDS_BETWEEN) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def trim(self) -> None:
        """Return what is free, if the last time was long ago and the C library can."""
        malloc_trim = _malloc_trim()
        if malloc_trim is None or time.monotonic() - self._last < self._seconds:
            return
        self._last = time.monotonic()
        malloc_trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return glibc's function; other C libraries have none."""
    try:
        function: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # Windows has no library without a name
        return None
    return function
