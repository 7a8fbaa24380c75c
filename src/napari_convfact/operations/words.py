"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, as ``"1 kernel"`` or ``"2 kernels"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
