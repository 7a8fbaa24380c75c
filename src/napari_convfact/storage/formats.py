"""Read and write an image by the ending of its file name."""

from __future__ import annotations

import shutil
import struct
import tempfile
import tokenize
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.foundation.files import check_folder
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import tiff, zarr_files

Reader = Callable[[Path], SpatialImage]
Writer = Callable[[Path, SpatialImage, Mapping[str, Any]], None]

# What the libraries raise about files that hold something else than they announce.
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,  # of XML
    TypeError,
    ValueError,
    struct.error,
    tiff.TiffFileError,
    tokenize.TokenError,  # of the header of a NumPy file
    zlib.error,
)


def read_image(path: str | Path) -> SpatialImage:
    """Read an image with its voxel size.

    Parameters
    ----------
    path : str or Path
        A TIFF file (OME, ImageJ or plain), a ``.npy`` file, or an OME-Zarr image (0.1 to
        0.5, or a plain Zarr array), which is opened without reading its voxels.

    Returns
    -------
    SpatialImage
        Named after the file; a NumPy file has no voxel size.

    Raises
    ------
    ValueError
        If the file is not there, or is of a kind that cannot be read.
    """
    return _read(Path(path), _READERS)


def open_image(path: str | Path) -> SpatialImage:
    """Open an image for reading it piece by piece.

    Parameters
    ----------
    path : str or Path
        As of `read_image`.

    Returns
    -------
    SpatialImage
        Its data have shape, dtype and slicing, and stay in the file until they are sliced.

    Raises
    ------
    ValueError
        As `read_image`.
    """
    return _read(Path(path), _OPENERS)


def _read(path: Path, readers: Mapping[str, Reader]) -> SpatialImage:
    reader = readers[ending(path)]
    if not path.exists():
        raise ValueError(f"There is no file {path}.")
    try:
        image = replace(reader(path), path=str(path.resolve()))
    except _DAMAGED as error:
        # What a library stumbles over inside a damaged file means nothing to its user.
        told = isinstance(error, (OSError, ValueError, RuntimeError, tiff.TiffFileError))
        words = str(error) if told and str(error) else "it is damaged"
        raise ValueError(f"{path.name} cannot be read: {words}") from error
    if not image.data.shape:
        raise ValueError(f"{path.name} holds a single number, which is no image.")
    return image


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
        Ends in ``.tif``, ``.tiff`` (OME-TIFF is written either way), ``.npy``, or ``.zarr``
        (OME-Zarr 0.5 with a pyramid).
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
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem}-"))
    temporary = folder / path.name
    try:
        _WRITERS[ending(path)](temporary, image, provenance or {})
        move_into_place(temporary, path)
    finally:
        shutil.rmtree(folder)
    return path


def move_into_place(source: Path, target: Path) -> None:
    """Rename a file or a folder that is complete; what had the name before is removed."""
    if target.is_dir():
        # A folder cannot be replaced in one step: the old one makes way first.
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.stem}-"))
        target.replace(old / target.name)
        source.replace(target)
        shutil.rmtree(old)
    else:
        source.replace(target)


def beside(path: Path, word: str) -> Path:
    """Return the path for a further result: ``out.ome.zarr`` gives ``out-word.ome.zarr``."""
    stem = path.name.removesuffix(path.suffix)
    inner = ".ome" if stem.lower().endswith(".ome") else ""
    return path.with_name(f"{stem.removesuffix(inner)}-{word}{inner}{path.suffix}")


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return the path if an image can be written there, before any work starts.

    Raises
    ------
    ValueError
        If the ending is unknown, the folder does not exist or cannot be written to, or the
        file exists or is a folder.
    """
    path = Path(path)
    if ending(path) not in _WRITERS:
        raise ValueError(f"{path.name} cannot be written: use an ending of {_known()}.")
    check_folder(path)
    if path.is_dir() and ending(path) != ".zarr":
        raise ValueError(f"{path} is a folder: choose a name for the file.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or overwrite it.")
    return path


def ending(path: Path) -> str:
    """Return the file name's ending if it is known.

    Raises
    ------
    ValueError
        If it is not.
    """
    suffix = path.suffix.lower()
    if any(part.endswith(".zarr") for part in path.parts):
        suffix = ".zarr"  # also of an image inside, as plate.zarr/0
    if suffix not in _READERS:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file in it.")
        raise ValueError(
            f"{path.name} is of an unknown kind: files that can be used end in {_known()}."
        )
    return suffix


def _read_npy(path: Path) -> SpatialImage:
    return SpatialImage(np.load(path, allow_pickle=False), name=path.stem)


def _write_npy(path: Path, image: SpatialImage, provenance: Mapping[str, Any]) -> None:
    del provenance  # the format has no room for it
    np.save(path, np.asarray(image.data), allow_pickle=False)


def _known() -> str:
    return ", ".join(ENDINGS)


def _open_npy(path: Path) -> SpatialImage:
    return SpatialImage(np.load(path, mmap_mode="r", allow_pickle=False), name=path.stem)


_READERS: dict[str, Reader] = {
    ".tif": tiff.read,
    ".tiff": tiff.read,
    ".npy": _read_npy,
    ".zarr": zarr_files.read,
}
_OPENERS: dict[str, Reader] = {
    ".tif": tiff.open_lazily,
    ".tiff": tiff.open_lazily,
    ".npy": _open_npy,
    ".zarr": zarr_files.read,
}
_WRITERS: dict[str, Writer] = {
    ".tif": tiff.write,
    ".tiff": tiff.write,
    ".npy": _write_npy,
    ".zarr": zarr_files.write,
}
ENDINGS = tuple(_READERS)
