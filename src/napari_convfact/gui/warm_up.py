"""Get the numeric libraries ready while the user reads the form."""

from __future__ import annotations

import gc
import threading
from functools import cache

import napari_convfact


@cache
def warm_up(names: tuple[str, ...]) -> None:
    """Import what public names need in a thread, once in a session."""
    if names:
        threading.Thread(target=load, args=(names,), name="convfact-import", daemon=True).start()


def load(names: tuple[str, ...]) -> None:
    """Import what public names need and compile the fused pass."""
    from napari_convfact.convolution.engines import warm_up as compile_fused_pass

    for name in names:
        getattr(napari_convfact, name)
    compile_fused_pass(block=True)
    # So many new objects make a full collection due, which stops every thread for a fifth of a
    # second: better now than under the user's hand.
    gc.collect()
