"""Read and write an image by the ending of its file name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import tiff

Reader = Callable[[Path], SpatialImage]
Writer = Callable[[Path, SpatialImage, Mapping[str, Any]], None]


def read_image(path: str | Path) -> SpatialImage:
    """Read an image with its voxel size.

    Parameters
    ----------
    path : str or Path
        A TIFF file (OME, ImageJ or plain) or a ``.npy`` file.

    Returns
    -------
    SpatialImage
        Named after the file; a NumPy file has no voxel size.

    Raises
    ------
    ValueError
        If the file is not there, or is of a kind that cannot be read.
    """
    path = Path(path)
    reader = _READERS[ending(path)]
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    try:
        return replace(reader(path), path=str(path.resolve()))
    except (OSError, EOFError, LookupError, ValueError, tiff.TiffFileError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def write_image(
    path: str | Path,
    image: SpatialImage,
    *,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an image, complete or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in ``.tif``, ``.tiff`` (OME-TIFF is written either way) or ``.npy``.
    image : SpatialImage
        The image and its voxel size; a NumPy file drops the voxel size.
    provenance : mapping, optional
        JSON-ready record of how it was made, kept in the OME annotations.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ValueError
        If the ending is unknown or the file exists.
    """
    path = check_output(path, overwrite=overwrite)
    # The work goes to a temporary name, so that a killed run leaves no half file behind.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        _WRITERS[ending(path)](temporary, image, provenance or {})
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return the path if an image can be written there, before any work starts.

    Raises
    ------
    ValueError
        If the ending is unknown, the folder does not exist or the file does.
    """
    path = Path(path)
    if ending(path) not in _WRITERS:
        raise ValueError(f"{path.name} cannot be written: use an ending of {_known()}.")
    if not path.parent.is_dir():
        raise ValueError(f"The folder {path.parent} does not exist: make it first.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name or pass --overwrite.")
    return path


def ending(path: Path) -> str:
    """Return the file name's ending if it is known.

    Raises
    ------
    ValueError
        If it is not.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ValueError(
            f"{path.name} is of an unknown kind: files that can be used end in {_known()}."
        )
    return suffix


def _read_npy(path: Path) -> SpatialImage:
    return SpatialImage(np.load(path, allow_pickle=False), name=path.stem)


def _write_npy(path: Path, image: SpatialImage, provenance: Mapping[str, Any]) -> None:
    del provenance  # the format has no room for it
    np.save(path, np.asarray(image.data), allow_pickle=False)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _known() -> str:
    return ", ".join(ENDINGS)


_READERS: dict[str, Reader] = {".tif": tiff.read, ".tiff": tiff.read, ".npy": _read_npy}
_WRITERS: dict[str, Writer] = {".tif": tiff.write, ".tiff": tiff.write, ".npy": _write_npy}
ENDINGS = tuple(_READERS)
