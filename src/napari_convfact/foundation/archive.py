"""Arrays and a JSON header in one NumPy archive, without pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np


def write_archive(
    path: str | Path, kind: str, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write a compressed ``.npz`` file.

    Parameters
    ----------
    path : str or Path
        ``.npz`` is added where it is missing.
    kind : str
        What the file holds; `read_archive` refuses files of another kind.
    header : mapping
        JSON-ready.
    arrays : mapping of str to numpy.ndarray
        Numbers or text, no objects.

    Returns
    -------
    Path
        The file that was written.
    """
    path = archive_path(path)
    text = np.array(json.dumps({"kind": kind, **header}, default=_plain))
    contents: dict[str, Any] = {"header": text, **arrays}
    with path.open("wb") as file:
        np.savez_compressed(file, **contents)
    return path


def read_archive(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_archive` wrote.

    Returns
    -------
    header : dict
        The header.
    arrays : dict of str to numpy.ndarray
        The arrays.

    Raises
    ------
    ValueError
        If the file is something else.
    FileNotFoundError
        If there is no such file.
    """
    path = archive_path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("header")))
        if header["kind"] != kind:
            raise KeyError(header["kind"])
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}.") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile):
        raise ValueError(
            f"{path.name} is not a {kind}: choose a file that was saved as one."
        ) from None
    return header, arrays


def _plain(value: Any) -> Any:
    """Return numbers and arrays of NumPy's as JSON has them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"A {type(value).__name__} cannot be written to an archive's header.")


@contextmanager
def complete_archive(path: str | Path, kind: str) -> Iterator[None]:
    """Say of an archive of the right kind what it lacks, instead of a KeyError."""
    try:
        yield
    except KeyError as error:
        raise ValueError(
            f"{Path(path).name} is a {kind} of another version, without {error}: save it again "
            "with this one."
        ) from None


def archive_path(path: str | Path) -> Path:
    """Return the path with ``.npz`` at its end."""
    path = Path(path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
