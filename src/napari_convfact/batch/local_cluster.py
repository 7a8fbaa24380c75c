"""Worker processes on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dask
from distributed import LocalCluster
from distributed.utils import get_mp_context

from napari_convfact.foundation.device import cpu_count

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

_METHOD = "distributed.worker.multiprocessing-method"
_ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
# A tile takes seconds: what dask does many times a second to watch short tasks costs more
# than it tells.
_WATCHING = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
# Ctrl-C in a terminal reaches all processes. This one ends the others and says so: they need not.
_NO_INTERRUPTS = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.getLogger("distributed").setLevel(logging.ERROR)
"""
# What takes long to import and every method needs.
_LIBRARIES = ("distributed.nanny", "scipy.fft", "torch", "zarr")


@contextmanager
def local_cluster(count: int) -> Iterator[LocalCluster]:
    """Start worker processes that share the processors of this machine.

    Parameters
    ----------
    count : int
        Number of workers.

    Yields
    ------
    LocalCluster
        It ends with the block.
    """
    threads = str(max(1, cpu_count() // count))
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    with (
        dask.config.set(_WATCHING | {_ENVIRONMENT: limits}),
        _environment_put_back([*limits, "PYTHONHASHSEED"]),
        _libraries_imported_once(),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address=None,
            preload=[_NO_INTERRUPTS],
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _environment_put_back(names: Collection[str]) -> Iterator[None]:
    """Undo what dask sets in this process too, for its children to find."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _libraries_imported_once() -> Iterator[None]:
    """Let the workers be forks of a fresh process that has imported the libraries.

    On Linux alone: elsewhere system libraries do not outlive a fork, or there is none.
    """
    if sys.platform != "linux":
        yield
        return
    with dask.config.set({_METHOD: "forkserver"}):
        context: ForkServerContext = get_mp_context()
        context.set_forkserver_preload([*_LIBRARIES])
        yield
