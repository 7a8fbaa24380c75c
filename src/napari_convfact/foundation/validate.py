"""Turn what users pass into arrays that can be computed with, or say what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.ndimage

from napari_convfact.foundation.scale import intensity_unit, largest_magnitude

Missing = Literal["error", "fill"]

_FLOAT32 = np.finfo(np.float32)


@dataclass(frozen=True)
class CheckedImage:
    """An image that is safe to compute with.

    Attributes
    ----------
    data : numpy.ndarray
        float32 (or the requested dtype), C-contiguous, native byte order, all finite.
    missing : numpy.ndarray or None
        bool, True where `data` was filled because the input was not finite.
    notes : tuple of str
        What was changed, in sentences for the user.
    """

    data: np.ndarray
    missing: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def restore_missing(self, result: np.ndarray) -> np.ndarray:
        """Return `result` with NaN where the input had no value."""
        if self.missing is None:
            return result
        return np.where(self.missing, np.array(np.nan, result.dtype), result)


def check_image(
    array: Any,
    *,
    name: str = "image",
    ndim: int = 1,
    missing: Missing | None = None,
    apart: Sequence[int] = (),
    dtype: str = "float32",
) -> CheckedImage:
    """Check an image and convert it.

    Parameters
    ----------
    array : array_like
        Real numbers of any dtype, byte order, strides. What a `numpy.ma` array masks counts
        as missing.
    name : str
        How to call it in messages.
    ndim : int
        The least number of axes.
    missing : {"error", "fill"}, optional
        What to do about NaN and infinite values: refuse, or fill each with its nearest
        finite neighbour (`CheckedImage.restore_missing` puts them back into a result).
        None refuses them for a caller that does not have the option to fill.
    apart : sequence of int
        Axes across which nothing is filled, as time and channels. Only a frame without any
        value is the nearest frame that has some.
    dtype : str
        ``"float32"`` or ``"float64"``.

    Returns
    -------
    CheckedImage

    Raises
    ------
    ValueError
        If there is nothing to compute with: wrong type, empty, complex, too few axes,
        values that are not finite.
    """
    values = _as_numeric(array, name)
    if values.ndim < ndim:
        raise ValueError(
            f"The {name} has {values.ndim} axes but {ndim} are needed: its shape is {values.shape}."
        )
    notes = []
    if values.dtype == bool:
        notes.append(f"The {name} is boolean: it was taken as 0 and 1.")
    with np.errstate(over="ignore"):  # _check_range says it in words
        data = np.ascontiguousarray(values, dtype=dtype)
    if data.dtype == np.float32 and values.dtype.kind == "f" and values.dtype.itemsize > 4:
        _check_range(values, data, name)
    masked = np.ma.getmask(array)
    bad = ~np.isfinite(data) | masked
    if not bad.any():
        return CheckedImage(data, None, tuple(notes))
    count = int(bad.sum())
    kind = "masked, NaN or infinite" if np.any(masked) else "NaN or infinite"
    if missing != "fill" or count == bad.size:
        fill = ', or fill each with its nearest neighbour (missing="fill")'
        raise ValueError(
            f"The {name} has {count} values that are {kind}: replace them"
            f"{fill if missing == 'error' and count < bad.size else ''}."
        )
    notes.append(f"{count} values of the {name} were {kind} and were filled.")
    return CheckedImage(fill_missing(data, bad, apart), bad, tuple(notes))


def fill_missing(data: np.ndarray, bad: np.ndarray, apart: Sequence[int] = ()) -> np.ndarray:
    """Return data whose bad values, of which not all may be, are their nearest good ones.

    Parameters
    ----------
    data : numpy.ndarray
        The values.
    bad : numpy.ndarray
        bool, of the same shape.
    apart : sequence of int
        See `check_image`.
    """
    filled = data.copy()
    front = range(len(apart))
    frames, holes = np.moveaxis(filled, apart, front), np.moveaxis(bad, apart, front)
    empty = np.asarray(holes.all(axis=tuple(range(len(apart), data.ndim))))
    for index in np.ndindex(empty.shape):
        if holes[index].any() and not empty[index]:
            frames[index] = frames[index][tuple(nearest_good(holes[index]))]
    if empty.any():
        nearest = nearest_good(empty)
        for index in zip(*np.nonzero(empty), strict=True):
            frames[index] = frames[tuple(where[index] for where in nearest)]
    return filled


def nearest_good(bad: np.ndarray) -> np.ndarray:
    """Return where the nearest good value of each is: int32, ``(bad.ndim, *bad.shape)``."""
    where: np.ndarray = scipy.ndimage.distance_transform_edt(
        bad, return_distances=False, return_indices=True
    )
    return where


def leading_axes(array: Any, spatial: int, channel_axis: int | None = None) -> tuple[int, ...]:
    """Return which axes of an image are not its spatial ones, the last ones but for channels."""
    ndim = getattr(array, "ndim", spatial + (channel_axis is not None))
    channels = () if channel_axis is None else (channel_axis % ndim,)
    others = [axis for axis in range(ndim) if axis not in channels]
    return (*others[: max(0, len(others) - spatial)], *channels)


def check_numeric(array: Any, name: str = "image") -> None:
    """Raise a ValueError unless an array, of which nothing is read, holds real numbers."""
    dtype = np.dtype(array.dtype)
    if dtype.kind == "c":
        raise ValueError(
            f"The {name} is complex: pass its magnitude (abs) or its real part instead."
        )
    if dtype.kind not in "biuf":
        raise ValueError(f"The {name} holds {dtype} values: numbers are needed.")
    if 0 in array.shape:
        raise ValueError(f"The {name} is empty: its shape is {tuple(array.shape)}.")


def check_kernel(array: Any, *, name: str = "kernel", dtype: str = "float64") -> np.ndarray:
    """Check a convolution kernel and convert it.

    Parameters
    ----------
    array : array_like
        Real, finite, at least one axis.
    name : str
        How to call it in messages.
    dtype : str
        Type of the result.

    Returns
    -------
    numpy.ndarray
        C-contiguous, of the requested dtype.

    Raises
    ------
    ValueError
        If it is empty, complex, not finite or not numeric.
    """
    return check_image(array, name=name, dtype=dtype).data


def check_psf(
    array: Any, *, name: str = "PSF", dtype: str = "float64"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Check a point spread function and divide it by its sum.

    Parameters
    ----------
    array : array_like
        Real and finite with a positive sum. Negative entries are clipped to zero.
    name : str
        How to call it in messages.
    dtype : str
        Type of the result.

    Returns
    -------
    psf : numpy.ndarray
        Non-negative, of sum 1.
    notes : tuple of str
        What was changed, in sentences for the user.

    Raises
    ------
    ValueError
        If it is empty, complex, not finite, zero or of negative sum.
    """
    psf = check_kernel(array, name=name, dtype=dtype)
    if not psf.any():
        raise ValueError(f"The {name} is zero everywhere: choose the layer that holds the kernel.")
    # The sum of the largest numbers is infinite.
    unit = intensity_unit(largest_magnitude(psf))
    psf = psf / psf.dtype.type(unit)
    if psf.sum() <= 0:
        raise ValueError(
            f"The {name} sums to {psf.sum() * unit:.3g}, so it is a filter kernel and not a PSF: "
            "a PSF has a positive sum."
        )
    notes: tuple[str, ...] = ()
    negative = int((psf < 0).sum())
    if negative:
        notes = (f"{negative} negative values of the {name} were set to zero.",)
        psf = psf.clip(min=0)
    return psf / psf.sum(), notes


def check_float32(kernel: np.ndarray, *, name: str = "kernel") -> None:
    """Raise a ValueError if a finite kernel is infinite in float32, or zero while it is not."""
    # Subnormal numbers are let through: networks have kernels that decayed to them.
    least, most = (float(limit) for limit in (_FLOAT32.smallest_subnormal, _FLOAT32.max))
    largest = float(np.abs(kernel).max())
    if largest and not least <= largest <= most:
        raise ValueError(
            f"The largest value of the {name} is {largest:.3g}, beyond what float32 holds "
            f"({least:.2g} to {most:.2g}): rescale it."
        )


def check_count(name: str, value: Any, *, or_else: str | None = None) -> None:
    """Raise a ValueError unless an option is a whole number from 1, or the word `or_else`."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if value != or_else and not (whole and value >= 1):
        other = "" if or_else is None else f"{or_else!r} or "
        raise ValueError(f"{name} must be {other}a whole number from 1, not {value!r}.")


def _as_numeric(array: Any, name: str) -> np.ndarray:
    if isinstance(array, (list, tuple)) and len({getattr(a, "shape", ()) for a in array}) > 1:
        raise ValueError(
            f"The {name} is a list of arrays (a multiscale pyramid?): pass its first level."
        )
    values = np.asarray(array)
    check_numeric(values, name)
    return values


def _check_range(values: np.ndarray, data: np.ndarray, name: str) -> None:
    if np.isinf(data).sum() > np.isinf(values).sum():
        raise ValueError(f"The {name} has values beyond float32 (3.4e38): rescale it.")
