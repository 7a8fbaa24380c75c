"""Files that an operation writes besides its results, as tables and banks."""

from __future__ import annotations

import re
from pathlib import Path

from napari_convfact.operations.parameters import Parameters, fields_of

# What a layer's name may hold and a file's may not.
_NO_FILE_NAME = re.compile(r'[\\/:*?"<>|]')


def written_files(parameters: Parameters) -> dict[str, Path]:
    """Return the files that the parameters name to be written, by parameter."""
    files = {}
    for item in fields_of(type(parameters)):
        value = getattr(parameters, item.name)
        if item.field.writes and value:
            path = Path(value)
            wanted = path.suffix.lower() == item.field.writes
            files[item.name] = path if wanted else path.with_name(path.name + item.field.writes)
    return files


def with_files_for(parameters: Parameters, word: str) -> Parameters:
    """Return the parameters with a file for one of several images: ``t.csv`` as ``t-word.csv``."""
    word = _NO_FILE_NAME.sub("_", word)
    files = {
        name: str(path.with_name(f"{path.stem}-{word}{path.suffix}"))
        for name, path in written_files(parameters).items()
    }
    return type(parameters)(**{**vars(parameters), **files})


def check_written_files(parameters: Parameters) -> None:
    """Raise a ValueError if one of the files exists already."""
    for path in written_files(parameters).values():
        if path.exists():
            raise ValueError(f"{path} exists already: choose another name, or overwrite it.")
