"""What a job found, as rich text for the form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def findings_text(summary: Mapping[str, Any]) -> str:
    """Return what a job found as rich text: figures in one line, sentences below."""
    figures, sentences = [], []
    for name, value in summary.items():
        label = name.replace("_", " ")
        if isinstance(value, str) and value.endswith("."):
            title = "" if name == "message" else f"<b>{label.capitalize()}.</b> "
            sentences.append(f"<p>{title}{value}</p>")
        elif isinstance(value, bool):
            figures.append(label if value else f"not {label}")
        elif isinstance(value, (str, int, float)) and value != "":
            figures.append(f"{label} <b>{_readable(value)}</b>")
    line = f"<p>{', '.join(figures)}</p>" if figures else ""
    return line + "".join(sentences)


def _readable(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
