"""OME-Zarr: 0.4 and 0.5 are read, piece by piece when it is needed; 0.5 is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.foundation.device import cpu_count
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.provenance import METADATA_KEY
from napari_convfact.storage.zarr_axes import StoredAxes, short_unit
from napari_convfact.storage.zarr_pyramid import create_pyramid, default_shard

# Versions 0.1 and 0.2 had these always, and did not name them.
_FIRST_AXES = ("t", "c", "z", "y", "x")


def read(path: Path) -> SpatialImage:
    """Open the full resolution of an OME-Zarr image, or a plain Zarr array.

    Nothing is read but metadata: `SpatialImage.data` is a Zarr array.

    Raises
    ------
    ValueError
        If it is not an image, as a plate with several of them.
    """
    import zarr

    node = zarr.open(str(path), mode="r")
    name = path.name.split(".")[0]
    if isinstance(node, zarr.Array):
        return SpatialImage(node, name)
    multiscale = _multiscale(node.attrs)
    if multiscale is None:
        raise ValueError(
            f"it is a group without an image: pass the path of one of its images, as {path.name}/0."
        )
    axes = [a if isinstance(a, dict) else {"name": a} for a in multiscale.get("axes", _FIRST_AXES)]
    level = multiscale["datasets"][0]
    if level["path"] not in node:
        raise ValueError(f"it names a resolution {level['path']!r} that is not there.")
    scale, translate = _combined_transforms(len(axes), level, multiscale)
    return SpatialImage(
        node[level["path"]],
        name,
        scale,
        tuple(short_unit(axis.get("unit")) for axis in axes),
        tuple(axis["name"] for axis in axes),
        translate=translate,
    )


@contextmanager
def one_thread_per_processor() -> Iterator[None]:
    """Let zarr read and write with as many threads as there are processors inside the block.

    By itself it takes ten chunks at once, on more threads than there are processors, each of
    which keeps memory of its own for reuse. The number of threads stays after the block.
    """
    import zarr

    count = cpu_count()
    with zarr.config.set({"async.concurrency": count, "threading.max_workers": count}):
        yield


def read_levels(path: str | Path) -> list[Any]:
    """Open all resolutions of an OME-Zarr image, the finest first, for a multiscale layer."""
    import zarr

    group = zarr.open_group(str(path), mode="r")
    multiscale = _multiscale(group.attrs)
    assert multiscale is not None
    return [group[level["path"]] for level in multiscale["datasets"]]


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Return the provenance record of an image that was written here; empty if it has none."""
    import zarr

    node = zarr.open(str(path), mode="r")
    record: dict[str, Any] = node.attrs.asdict().get(METADATA_KEY, {})
    return record


def write_provenance(path: str | Path, record: Mapping[str, Any]) -> None:
    """Replace the provenance record of an image that was written here."""
    import zarr

    zarr.open_group(str(path), mode="r+").attrs[METADATA_KEY] = dict(record)


def write(path: Path, image: SpatialImage, provenance: Mapping[str, Any]) -> None:
    """Write an image as OME-Zarr 0.5 with a pyramid, shard by shard."""
    if image.rgb:
        image = _colours_as_channel(image)
    shape = tuple(image.data.shape)
    axes = StoredAxes.of(image.axis_labels, name=image.name)
    spatial = len(axes.space)
    pyramid = create_pyramid(
        path,
        image,
        dtype=np.uint8 if image.data.dtype == bool else image.data.dtype,
        ndim=spatial,
        shard=default_shard(shape[-spatial:]),
        provenance=provenance,
    )
    for leading in np.ndindex(*shape[:-spatial]):
        for start, stop in pyramid.boxes():
            window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            pyramid.write(leading, start, np.asarray(image.data[(*leading, *window)]))


def _multiscale(attributes: Any) -> dict[str, Any] | None:
    values = attributes.asdict()
    found = values.get("ome", values).get("multiscales")
    return found[0] if found else None


def _combined_transforms(
    ndim: int, *sources: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and translation after what the sources say, one after the other."""
    scale, shift = np.ones(ndim), np.zeros(ndim)
    for source in sources:
        for transform in source.get("coordinateTransformations", ()):
            if transform["type"] == "scale":
                scale *= transform["scale"]
                shift *= transform["scale"]
            elif transform["type"] == "translation":
                shift += transform["translation"]
    return tuple(map(float, scale)), tuple(map(float, shift))


def _colours_as_channel(image: SpatialImage) -> SpatialImage:
    # First of all axes: between z and y it would leave a volume's planes for channels.
    return SpatialImage(
        np.moveaxis(np.asarray(image.data), -1, 0),
        image.name,
        (1.0, *image.scale),
        ("pixel", *image.units),
        ("c", *image.axis_labels),
        translate=(0.0, *image.translate),
    )
