"""Voxel sizes in one unit, so that an image and a kernel can be compared."""

from __future__ import annotations

from napari_convfact.operations.operation import SpatialImage

# Micrometres in one unit of length.
_MICROMETRES = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
}


def voxel_size(image: SpatialImage, ndim: int) -> tuple[float, ...] | None:
    """Return the size of a voxel along the last `ndim` axes in micrometres.

    Parameters
    ----------
    image : SpatialImage
        The image.
    ndim : int
        Number of spatial axes.

    Returns
    -------
    tuple of float or None
        None where an axis has no unit of length.
    """
    units = image.units[-ndim:]
    if any(unit not in _MICROMETRES for unit in units):
        return None
    scales = image.scale[-ndim:]
    return tuple(abs(s) * _MICROMETRES[unit] for s, unit in zip(scales, units, strict=True))
