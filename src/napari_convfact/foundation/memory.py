"""How much memory a computation may take."""

from __future__ import annotations

from pathlib import Path

import psutil

_SHARE_OF_FREE = 0.6
_CGROUP = Path("/sys/fs/cgroup")


def memory_budget(limit: float | None = None) -> float:
    """Return how many bytes a run may take.

    Parameters
    ----------
    limit : float, optional
        What the user allows, in bytes; by default 60 % of what is free, where a control
        group's limit counts as the size of the machine.
    """
    if limit is not None:
        return limit
    free: float = psutil.virtual_memory().available
    return _SHARE_OF_FREE * min(free, _free_in_control_group())


def check_memory(needed: float, limit: float | None = None) -> None:
    """Refuse a run that does not fit.

    Raises
    ------
    ValueError
        If `needed` bytes are more than `memory_budget` allows.
    """
    budget = memory_budget(limit)
    if needed > budget:
        raise ValueError(
            f"This needs about {format_bytes(needed)} and {format_bytes(budget)} may be used: "
            "crop the image, use fewer planes at once or raise the memory limit."
        )


def format_bytes(count: float) -> str:
    """Return a size as people read it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _free_in_control_group() -> float:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if limit == "max" else max(int(limit) - used, 0)
