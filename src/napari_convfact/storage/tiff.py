"""TIFF files: OME metadata is written; OME, ImageJ and plain files are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import tifffile
from tifffile import TiffFileError

from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage.reordered import reordered
from napari_convfact.storage.zarr_axes import short_unit

__all__ = ["TiffFileError", "open_lazily", "read", "write"]

_PLAIN_AXES = "TCZYX"
# Letters that OME-TIFF leaves for further axes.
_SPARE_AXES = "RQHPEAB"
_LABELS = {"T": "t", "C": "c", "Z": "z", "Y": "y", "X": "x"}
_LETTERS = {**{label: letter for letter, label in _LABELS.items()}, "time": "T", "channel": "C"}
_MICROMETRE = {"um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", r"\u00B5m"}


def read(path: Path) -> SpatialImage:
    """Read the first image of a TIFF file with its voxel size and axes."""
    with tifffile.TiffFile(path) as file:
        return _described(file, file.series[0].asarray(), path)


def open_lazily(path: Path) -> SpatialImage:
    """Open the first image of a TIFF file; its pages are read when they are sliced."""
    import zarr

    file = tifffile.TiffFile(path)  # stays open as long as the array is used
    return _described(file, zarr.open_array(file.series[0].aszarr(level=0), mode="r"), path)


def _described(file: tifffile.TiffFile, data: Any, path: Path) -> SpatialImage:
    axes = file.series[0].axes
    sizes = _voxel_size(file)
    rgb = file.pages[0].photometric == tifffile.PHOTOMETRIC.RGB and axes[-1:] == "S"  # type: ignore[union-attr]
    spatial = axes[:-1] if rgb else axes
    spatial = _name_unknown_axes(spatial)
    order = _space_last(spatial)
    if order != tuple(range(len(spatial))):
        data = reordered(data, (*order, len(order)) if rgb else order)
        spatial = "".join(spatial[axis] for axis in order)
    scale = tuple(sizes.get(letter, (1.0, "pixel"))[0] for letter in spatial)
    units = tuple(sizes.get(letter, (1.0, "pixel"))[1] for letter in spatial)
    labels = tuple(_LABELS.get(letter, letter.lower()) for letter in spatial)
    return SpatialImage(data, path.name.split(".")[0], scale, units, labels, rgb=rgb)


def write(path: Path, image: SpatialImage, provenance: Mapping[str, Any]) -> None:
    """Write an OME-TIFF with voxel size, units and the provenance record.

    Raises
    ------
    ValueError
        If the format has no room for its axes or its type.
    """
    data = np.asarray(image.data)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    axes = _axes_letters(image.axis_labels)
    metadata: dict[str, Any] = {"axes": axes + ("S" if image.rgb else ""), "Name": image.name}
    for letter, size, unit in zip(axes, image.scale, image.units, strict=True):
        if (unit != "pixel" or size != 1) and letter in "XYZ":
            metadata[f"PhysicalSize{letter}"] = size
            metadata[f"PhysicalSize{letter}Unit"] = _ome_unit(unit)
        elif unit != "pixel" and letter == "T":
            metadata |= {"TimeIncrement": size, "TimeIncrementUnit": short_unit(unit)}
    if provenance:
        metadata["MapAnnotation"] = {"napari_convfact": json.dumps(provenance)}
    try:
        with tifffile.TiffWriter(path, ome=True, bigtiff=data.nbytes > 2**31) as file:
            file.write(
                data,
                photometric="rgb" if image.rgb else "minisblack",
                compression="zlib",
                metadata=metadata,
            )
    except (tifffile.OmeXmlError, IndexError) as error:  # an index, where there is one axis
        raise ValueError(
            f"OME-TIFF has no room for the axes {', '.join(image.axis_labels)} of {data.dtype} "
            "values: write .ome.zarr or .npy."
        ) from error


def _name_unknown_axes(axes: str) -> str:
    """Take the unnamed stack axis of a plain file for z, as viewers do."""
    if "Z" not in axes and axes.endswith(("QYX", "IYX")):
        return axes[:-3] + "ZYX"
    return axes


def _space_last(axes: str) -> tuple[int, ...]:
    """Return the order that puts z, y and x last: ImageJ has the channels behind z."""
    return tuple(sorted(range(len(axes)), key=lambda axis: "ZYX".find(axes[axis])))


def _axes_letters(labels: tuple[str, ...]) -> str:
    """Return an OME axis letter for each label; unnamed trailing axes are z, y, x."""
    spare = iter(_SPARE_AXES)
    letters: list[str] = []
    for position, label in enumerate(labels):
        from_end = len(labels) - position
        letter = _LETTERS.get(label.lower(), "")
        if not letter and from_end <= 3:
            letter = "XYZ"[from_end - 1]
        if not letter or letter in letters:
            letter = next(spare)
        letters.append(letter)
    return "".join(letters)


def _voxel_size(file: tifffile.TiffFile) -> dict[str, tuple[float, str]]:
    if file.is_ome:
        return _ome_voxel_size(file.ome_metadata or "")
    if file.is_imagej:
        return _imagej_voxel_size(file)
    return {}


def _ome_voxel_size(xml: str) -> dict[str, tuple[float, str]]:
    pixels = ET.fromstring(xml).find(".//{*}Pixels")
    sizes: dict[str, tuple[float, str]] = {}
    if pixels is None:
        return sizes
    for letter in "XYZ":
        if size := pixels.get(f"PhysicalSize{letter}"):
            sizes[letter] = float(size), _plain_unit(pixels.get(f"PhysicalSize{letter}Unit", "µm"))
    if increment := pixels.get("TimeIncrement"):
        sizes["T"] = float(increment), pixels.get("TimeIncrementUnit", "s")
    return sizes


def _imagej_voxel_size(file: tifffile.TiffFile) -> dict[str, tuple[float, str]]:
    metadata = file.imagej_metadata or {}
    unit = _plain_unit(str(metadata.get("unit", "")))
    if unit == "pixel":
        return {}
    sizes = {}
    tags = file.pages[0].tags  # type: ignore[union-attr]
    for letter, tag in (("X", "XResolution"), ("Y", "YResolution")):
        count, length = tags[tag].value if tag in tags else (0, 1)
        if count:
            sizes[letter] = length / count, unit
    if spacing := metadata.get("spacing"):
        sizes["Z"] = float(spacing), unit
    if interval := metadata.get("finterval"):
        sizes["T"] = float(interval), "s"
    return sizes


def _plain_unit(unit: str) -> str:
    """Return a unit in the spelling that napari's unit registry reads."""
    if unit in _MICROMETRE:
        return "um"
    unit = short_unit(unit)  # the viewer's units are words
    return unit if unit in {"nm", "mm", "cm", "m", "s", "ms"} else "pixel"


def _ome_unit(unit: str) -> str:
    return "µm" if unit in _MICROMETRE else short_unit(unit)
