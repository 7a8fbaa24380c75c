"""The layers that show a factorization, laid out to the right of its kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.operations.operation import Result, SpatialImage

if TYPE_CHECKING:
    from napari_convfact.factorization.result import Factorization

GAP = 0.25  # between the pictures, in widths of the kernel
SIGNED = "PiYG"  # a colour map that is symmetric about its middle
RESIDUAL_LIMIT = 0.1  # of the kernel's largest tap; the same for all chains that are compared


def pictures(
    factorization: Factorization,
    kernel: SpatialImage,
    row: int,
    number: str,
    summary: Mapping[str, Any],
) -> list[Result]:
    """Return reconstruction, residual and factors.

    Parameters
    ----------
    factorization : Factorization
        What was found.
    kernel : SpatialImage
        The kernel; the pictures lie to the right of it, on a grid of its pixels.
    row : int
        Pictures of several chains lie below each other.
    number : str
        Ending of the names.
    summary : mapping
        For the provenance record.
    """
    shape = factorization.kernel.shape
    limit = float(np.abs(factorization.kernel).max())
    factors = factor_mosaic(factorization)
    # A factor of three taps is enlarged until all of them are as wide as the kernel.
    zoom = shape[-1] / factors.shape[-1]
    largest = float(np.abs(factors).max())
    columns = (
        ("reconstruction", factorization.reconstruction, limit, 1.0),
        ("residual", factorization.residual, RESIDUAL_LIMIT * limit, 1.0),
        ("factors", factors, largest, zoom),
    )
    results = []
    for column, (word, values, bound, scale) in enumerate(columns, 1):
        data = real_parts(values).astype(np.float32)
        extra = data.ndim - len(shape)
        pixel = kernel.scale[-len(shape) :]
        results.append(
            Result(
                data,
                f"{kernel.name} {word}{number}",
                like=None,
                leading_axes=("part",) * extra + kernel.axis_labels[-len(shape) :],
                scale=(1.0,) * extra + tuple(scale * p for p in pixel),
                units=("pixel",) * extra + kernel.units[-len(shape) :],
                summary=summary,
                display={
                    "translate": (0.0,) * extra
                    + _place(shape, pixel, (row, column), values, scale),
                    "colormap": SIGNED,
                    "contrast_limits": (-bound, bound),
                },
            )
        )
    return results


def _place(
    shape: Sequence[int],
    pixel: Sequence[float],
    cell: tuple[int, int],
    values: np.ndarray,
    scale: float,
) -> tuple[float, ...]:
    """Return where the middle of a picture's first pixel lies, the kernel's being at zero.

    The picture begins where its cell, a row and a column, begins; along z it has the kernel's
    middle plane.
    """
    cells = ((0,) * len(shape) + cell)[-len(shape) :]
    place = [index * (1 + GAP) * n for index, n in zip(cells, shape, strict=True)]
    if len(shape) > 2:
        place[0] = (shape[0] - scale * values.shape[0]) / 2
    # A larger pixel has its middle farther from the edge.
    return tuple((corner + (scale - 1) / 2) * p for corner, p in zip(place, pixel, strict=True))


def factor_mosaic(factorization: Factorization) -> np.ndarray:
    """Lay the factors of a chain side by side, the chains of a sum below each other."""
    rows = [_joined(factors, axis=-1) for factors in factorization.terms]
    return _joined(rows, axis=-2 if factorization.kernel.ndim > 1 else -1)


def _joined(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Join arrays along an axis, one sample apart and centred along the others."""
    sizes = [max(n) for n in zip(*(array.shape for array in arrays), strict=True)]
    sizes[axis] = sum(array.shape[axis] + 1 for array in arrays) - 1
    joined = np.zeros(sizes, arrays[0].dtype)
    position = 0
    for array in arrays:
        start = [(size - n) // 2 for size, n in zip(sizes, array.shape, strict=True)]
        start[axis] = position
        joined[tuple(slice(a, a + n) for a, n in zip(start, array.shape, strict=True))] = array
        position += array.shape[axis] + 1
    return joined


def real_parts(values: np.ndarray) -> np.ndarray:
    """Viewers show real numbers: stack the real and the imaginary part of complex ones."""
    return np.stack([values.real, values.imag]) if np.iscomplexobj(values) else values
