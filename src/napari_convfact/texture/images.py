"""What users pass as images, as a list of arrays with the channel axis first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_convfact.foundation.validate import CheckedImage, check_image

# float32 holds these exactly; everything else is kept in float64.
_EXACT_IN_FLOAT32 = ("float32", "float16", "uint8", "int8", "uint16", "int16", "bool")
# Squares of these, and sums of squares, still fit into float32.
_LARGEST = 1e17


@dataclass(frozen=True)
class TextureImage:
    """An image that is ready for statistics.

    Attributes
    ----------
    data : numpy.ndarray
        float32 or float64, ``(c, *n)``, finite.
    weight : numpy.ndarray or None
        float64, ``(*n)``: weight of each pixel, 0 where it has no value. None: all 1.
    """

    data: np.ndarray
    weight: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The spatial shape."""
        return self.data.shape[1:]


def texture_images(
    images: Any,
    *,
    ndim: int = 2,
    channel_axis: int | None = None,
    mask: Any = None,
) -> list[TextureImage]:
    """Check images and split them.

    Parameters
    ----------
    images : array_like or sequence of array_like
        One image ``(*n)``, a stack ``(images, *n)``, or a sequence of images of any sizes.
        NaN and infinite values get the weight zero.
    ndim : int
        Number of spatial axes, ``len(n)``.
    channel_axis : int, optional
        Which axis of an image holds its channels.
    mask : array_like, optional
        Weights of the pixels, at least 0 (or booleans): one ``(*n)`` for all images, or a
        stack or sequence with one for each.

    Returns
    -------
    list of TextureImage

    Raises
    ------
    ValueError
        If an array has the wrong number of axes or nothing to compute with, or if a mask
        does not match its image.
    """
    if ndim not in (1, 2, 3):
        raise ValueError(f"ndim must be 1, 2 or 3, not {ndim!r}.")
    check_channel_axis(channel_axis, ndim + 1)
    checked = _check(images, ndim + (channel_axis is not None))
    masks = _masks(mask, ndim, len(checked))
    return [
        _texture_image(image, weight, channel_axis)
        for image, weight in zip(checked, masks, strict=True)
    ]


def check_channel_axis(channel_axis: int | None, axes: int) -> None:
    """Raise a ValueError unless an image of so many axes has this one."""
    if channel_axis is not None and not -axes <= channel_axis < axes:
        raise ValueError(
            f"channel_axis is {channel_axis}, but an image with its channels has {axes} axes: "
            f"give a number from {-axes} to {axes - 1}."
        )


def split_stack(images: Any, axes: int, name: str) -> Iterator[np.ndarray]:
    """Yield the images of an array or a sequence, each of which has `axes` axes."""
    stack: Iterable[Any]
    ndims = {np.ndim(image) for image in images} if isinstance(images, (list, tuple)) else set()
    if ndims and (len(ndims) > 1 or axes in ndims):
        stack = images
    else:
        array = np.asarray(images)
        if array.ndim not in (axes, axes + 1) or array.shape[0] == 0:
            raise ValueError(
                f"An {name} with {axes} axes, or a stack of them, is needed, but the array's shape "
                f"is {array.shape}: set ndim and channel_axis to match."
            )
        stack = array[None] if array.ndim == axes else array
    for index, image in enumerate(stack):
        if np.ndim(image) != axes:
            raise ValueError(f"The {name} {index} has {np.ndim(image)} axes, not {axes}.")
        yield np.asarray(image)


def _check(images: Any, axes: int) -> list[CheckedImage]:
    arrays = list(split_stack(images, axes, "image"))
    if isinstance(images, np.ndarray) and images.dtype.kind in "biuf" and np.isfinite(images).all():
        # One look at a stack of small images costs less than one at each.
        stack = check_image(images, name="stack of images", dtype=working_dtype(images)).data
        return [CheckedImage(image) for image in stack.reshape(-1, *stack.shape[-axes:])]
    return [
        check_image(array, name=f"image {index}", missing="fill", dtype=working_dtype(array))
        for index, array in enumerate(arrays)
    ]


def working_dtype(array: Any) -> str:
    """Return the type in which no digit of an image is lost before its mean is removed."""
    array = np.asarray(array)
    return "float32" if array.dtype.name in _EXACT_IN_FLOAT32 else "float64"


def _masks(mask: Any, ndim: int, count: int) -> list[np.ndarray | None]:
    if mask is None:
        return [None] * count
    masks: list[np.ndarray | None] = list(split_stack(mask, ndim, "mask"))
    if len(masks) not in (1, count):
        raise ValueError(f"There are {len(masks)} masks for {count} images.")
    return masks if len(masks) == count else masks * count


def _texture_image(
    checked: CheckedImage, mask: np.ndarray | None, channel_axis: int | None
) -> TextureImage:
    data = _channels_first(checked.data, channel_axis)
    weight: np.ndarray | None = None
    if checked.missing is not None:
        missing = _channels_first(checked.missing, channel_axis).any(axis=0)
        weight = np.where(missing, 0.0, 1.0)
    if mask is not None:
        given = _check_mask(mask, data.shape[1:])
        weight = given if weight is None else weight * given
    return TextureImage(data, weight)


def _channels_first(array: np.ndarray, channel_axis: int | None) -> np.ndarray:
    return array[None] if channel_axis is None else np.moveaxis(array, channel_axis, 0)


def _check_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if mask.shape != shape:
        raise ValueError(f"The mask's shape is {mask.shape} but the image's is {shape}.")
    weight = np.asarray(mask, dtype=np.float64)
    if not (np.isfinite(weight).all() and weight.min() >= 0):
        raise ValueError("The mask has weights that are negative or not finite.")
    return weight


def less_offset(data: np.ndarray, offset: float | np.ndarray) -> np.ndarray:
    """Subtract in double precision; return float32, in which a small texture is then kept.

    Raises
    ------
    ValueError
        If squares of what is left would not fit into float32.
    """
    centred = np.subtract(data, offset, dtype=np.float64)
    largest = float(np.abs(centred).max(initial=0.0))
    if largest > _LARGEST:
        raise ValueError(
            f"The image's values differ by up to {largest:.3g}, whose square does not fit into "
            "float32: divide the image by its standard deviation first."
        )
    return centred.astype(np.float32)


def cut_patches(image: TextureImage, size: int) -> list[TextureImage]:
    """Cut an image into squares (cubes) of one side; what is left at the ends is dropped.

    Axes that are shorter than `size` are kept whole.
    """
    starts = [range(0, max(n - size, 0) + 1, size) for n in image.shape]
    patches = []
    for corner in itertools.product(*starts):
        window = tuple(slice(start, start + size) for start in corner)
        weight = None if image.weight is None else image.weight[window]
        patches.append(TextureImage(image.data[(slice(None), *window)], weight))
    return patches
