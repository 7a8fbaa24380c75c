"""Parameters that outlive the widget and the session, in a file beside napari's settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari.settings import get_settings

_FILE = "napari-convfact-forms.json"
_log = logging.getLogger(__name__)


def remembered(operation: str) -> dict[str, Any]:
    """Return what an operation's form showed last; nothing if that is not known."""
    values = _read().get(operation, {})
    return values if isinstance(values, dict) else {}


def remember(operation: str, values: Mapping[str, Any]) -> None:
    """Keep what an operation's form shows."""
    path = settings_file()
    if path is None:
        return
    try:
        path.write_text(json.dumps(_read() | {operation: dict(values)}, indent=1), encoding="utf-8")
    except OSError as error:
        _log.warning("The form's values could not be kept in %s: %s", path, error)


def settings_file() -> Path | None:
    """Return where the values are kept; None where napari keeps no settings either."""
    path = get_settings().config_path
    return Path(path).parent / _FILE if path else None


def _read() -> dict[str, Any]:
    path = settings_file()
    if path is None or not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
