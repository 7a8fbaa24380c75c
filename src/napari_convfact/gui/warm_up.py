"""Get the numeric libraries ready while the user reads the form."""

from __future__ import annotations

import threading
from functools import cache


@cache
def warm_up() -> None:
    """Import torch and compile the fused pass in a thread, once in a session."""
    threading.Thread(target=_load, name="convfact-import", daemon=True).start()


def _load() -> None:
    from napari_convfact.convolution.engines import warm_up as compile_fused_pass

    compile_fused_pass()
