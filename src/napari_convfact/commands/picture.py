"""A before/after picture with a scale bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.operations.operation import SpatialImage

_BAR_SHARE = 0.25


def save_before_after(before: SpatialImage, after: SpatialImage, path: Path) -> Path:
    """Save the middle planes of a volume before and after as one picture.

    Parameters
    ----------
    before, after : SpatialImage
        Volumes ``(z, y, x)`` on the same grid.
    path : Path
        Where to save a PNG file.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    RuntimeError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError(
            "The picture needs matplotlib: install it with pip install napari-convfact[all]."
        ) from error
    depth = before.data.shape[0] * before.scale[0]
    height = before.data.shape[1] * before.scale[1]
    figure = Figure(figsize=(8, 4 * (1 + depth / height) + 0.6), layout="constrained", dpi=150)
    rows = figure.subplots(2, 2, height_ratios=[height, depth])
    for column, (image, title) in enumerate(((before, "Before"), (after, "After"))):
        _show_planes(rows[:, column], image, title)
    figure.savefig(path)
    return path


def _show_planes(axes: Any, image: SpatialImage, title: str) -> None:
    """Show the middle xy and xz planes, each picture with its own contrast."""
    data = np.asarray(image.data, dtype=float)
    limits = np.percentile(data, (0.5, 99.8))
    sz, sy, sx = image.scale
    middle = data.shape[0] // 2, data.shape[1] // 2
    planes = ((data[middle[0]], sy, "xy"), (data[:, middle[1]], sz, "xz"))
    for axis, (plane, step, name) in zip(axes, planes, strict=True):
        extent = (0, plane.shape[1] * sx, plane.shape[0] * step, 0)
        axis.imshow(plane, cmap="gray", vmin=limits[0], vmax=limits[1], extent=extent)
        axis.set_axis_off()
        axis.set_title(f"{title}, {name}", fontsize=10)
    _scale_bar(axes[0], data.shape[2] * sx, image.units[-1])


def _scale_bar(axis: Any, width: float, unit: str) -> None:
    length = _round_length(width * _BAR_SHARE)
    bottom = axis.get_ylim()[0]
    axis.plot([0.05 * width, 0.05 * width + length], [0.95 * bottom] * 2, color="white", lw=3)
    label = f"{length:g} {unit.replace('um', 'µm')}"
    axis.text(0.05 * width, 0.92 * bottom, label, color="white", fontsize=9)


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length))
