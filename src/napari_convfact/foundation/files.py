"""Whether files can be read and written, asked before the work begins."""

from __future__ import annotations

import os
from pathlib import Path


def check_file(path: str | Path) -> None:
    """Raise a ValueError if there is no such file to read."""
    if not Path(path).is_file():
        raise ValueError(f"There is no file {path}: choose another.")


def check_folder(path: str | Path) -> None:
    """Raise a ValueError if the folder of a file that is to be written cannot take it."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise ValueError(f"The folder {folder} does not exist: make it first.")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"The folder {folder} cannot be written to: choose another.")
