"""How long the event loop goes without an event, on a machine that may do other things too."""

import time
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt, QTimer

# Linux says there how long a thread ran, and how long it waited for a processor.
_SCHEDULER = Path("/proc/thread-self/schedstat")


def longest_pause(action):
    """Do something and return the longest time without an event, in milliseconds.

    While the main thread is ready and waits for a processor, either another thread of this process
    has it, which counts, or another process, which does not.
    """
    moments = [_now()]
    clock = QTimer()
    clock.setTimerType(Qt.TimerType.PreciseTimer)
    clock.setInterval(2)
    clock.timeout.connect(lambda: moments.append(_now()))
    clock.start()
    action()
    clock.stop()
    passed, waited, main, process = 1e3 * np.diff(moments, axis=0).T
    other_threads = np.clip(process - main, 0, None)
    other_processes = np.clip(waited - other_threads, 0, None)
    return (passed - other_processes).max()


def _now():
    """Return four times in seconds: the clock's, this thread's wait, its work, the process's."""
    waited = int(_SCHEDULER.read_text().split()[1]) / 1e9 if _SCHEDULER.exists() else 0.0
    return time.perf_counter(), waited, time.thread_time(), time.process_time()
