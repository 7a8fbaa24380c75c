"""What the user set under Preferences > Plugins."""

from __future__ import annotations

from napari.settings import get_plugin_settings

PLUGIN = "napari-convfact"


def preferred_device() -> str:
    """Return the device that forms start with."""
    return str(get_plugin_settings(PLUGIN).computing.device)


def memory_limit() -> float | None:
    """Return the memory that a run may take in bytes, or None to go by what is free."""
    gigabytes = float(get_plugin_settings(PLUGIN).computing.memory_limit)
    return gigabytes * 1e9 if gigabytes > 0 else None
