"""Points and regions of an image as text: what a form, a flag and a recipe can hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def format_points(points: Iterable[Sequence[float]]) -> str:
    """Return points as text that `parse_points` reads."""
    return "; ".join(" ".join(f"{float(c):.6g}" for c in point) for point in points)


def parse_points(text: str) -> list[list[float]] | None:
    """Return the points in a text as ``"24 82 75; 24 73 29"``, None if it is empty.

    Raises
    ------
    ValueError
        If it is anything else, or the points differ in their number of coordinates.
    """
    if not text.strip():
        return None
    try:
        rows = [[float(number) for number in row.split()] for row in text.split(";") if row.strip()]
    except ValueError:
        raise ValueError(
            f"The beads must be numbers, as '24 82 75; 24 73 29', not {text!r}."
        ) from None
    if len({len(row) for row in rows}) != 1:
        raise ValueError("The beads must have the same number of coordinates each.")
    return rows


def format_region(corners: Iterable[Sequence[float]]) -> str:
    """Return the box around corners as text that `parse_region` reads.

    Along an axis on which all corners agree it is the whole axis.
    """
    bounds = [(round(min(axis)), round(max(axis))) for axis in zip(*corners, strict=True)]
    return ", ".join(":" if low == high else f"{low}:{high}" for low, high in bounds)


def parse_region(text: str, shape: tuple[int, ...]) -> list[list[float]]:
    """Return the first and the last voxel of a region as ``"3:20, 40:72"``.

    Parameters
    ----------
    text : str
        ``first:last`` along each axis, both included; either may be left out. Empty is all.
    shape : tuple of int
        The image's.

    Raises
    ------
    ValueError
        If the text is anything else.
    """
    if not text.strip():
        return [[0.0] * len(shape), [n - 1.0 for n in shape]]
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != len(shape) or any(part.count(":") != 1 for part in parts):
        raise ValueError(
            f"The region must give first:last for each of the {len(shape)} axes of the image, "
            f"as '3:20, 40:72', not {text!r}."
        )
    bounds = [part.split(":") for part in parts]
    try:
        low = [float(first or 0) for first, _ in bounds]
        high = [float(last or n - 1) for (_, last), n in zip(bounds, shape, strict=True)]
    except ValueError:
        raise ValueError(f"The region must be of whole numbers, not {text!r}.") from None
    return [low, high]
