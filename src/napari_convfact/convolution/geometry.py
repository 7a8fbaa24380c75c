"""Where the samples of a convolution lie: every boundary as a window on a torus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_convfact.convolution.circulant import default_origin
from napari_convfact.foundation.fft import fast_shape

BOUNDARIES = ("periodic", "zero", "valid", "full", "reflect", "extended")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """The sizes that a boundary leads to.

    The operator continues its input by `before` and `after` (only where `padding` is not
    None), lays it at index 0 of the torus among zeros, convolves there with the kernel's
    origin at `origin`, and takes `window` from index 0 on, of which every `stride`-th
    sample is the output. The torus is so large that wrapping around never reaches the window.

    Attributes
    ----------
    kernel, kernel_origin : tuple of int
        Size of the dilated kernel and the index of its origin.
    input, output : tuple of int
        Spatial sizes.
    before, after : tuple of int
        Samples that the boundary adds to the input.
    padding : str or None
        How it adds them; see `boundary.pad`.
    torus : tuple of int
        Size of the periodic domain.
    window : tuple of int
        Size of the output before the stride.
    origin : tuple of int
        Index of the dilated kernel that lies at index 0 of the torus, so that input and
        output both begin there.
    stride, dilation : tuple of int
        Step between outputs, and between the kernel's samples.
    estimate_start : tuple of int
        Where the data begin inside the input; not zero only for ``"extended"``.
    """

    kernel: Shape
    kernel_origin: Shape
    input: Shape
    output: Shape
    before: Shape
    after: Shape
    padding: str | None
    torus: Shape
    window: Shape
    origin: Shape
    stride: Shape
    dilation: Shape
    estimate_start: Shape


def plan_geometry(
    kernel_shape: Sequence[int],
    shape: Sequence[int],
    *,
    boundary: str,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    origin: Sequence[int] | None = None,
) -> Geometry:
    """Work out the sizes of a convolution.

    Parameters
    ----------
    kernel_shape : sequence of int
        Size of the kernel before dilation.
    shape : sequence of int
        Size of the input, or of the data for ``"extended"``.
    boundary : str
        One of `BOUNDARIES`.
    stride, dilation : int or sequence of int
        At least 1.
    origin : sequence of int, optional
        Index of the kernel's origin before dilation; ``k // 2`` by default.

    Returns
    -------
    Geometry

    Raises
    ------
    ValueError
        If the boundary is unknown, a number is out of range, or the kernel is larger than
        the image where only complete overlaps count (``"valid"``).
    """
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, not {boundary!r}.")
    n = _sizes(shape, len(shape), "shape")
    strides = _sizes(stride, len(n), "stride")
    dilations = _sizes(dilation, len(n), "dilation")
    start = _origin(kernel_shape, origin)
    k = tuple((size - 1) * d + 1 for size, d in zip(kernel_shape, dilations, strict=True))
    o = tuple(i * d for i, d in zip(start, dilations, strict=True))
    nothing = (0,) * len(n)
    margin = tuple(size - 1 for size in k)
    low = tuple(m - i for m, i in zip(margin, o, strict=True))
    grown = _add(n, margin)

    input_shape, before, after, padding = n, nothing, nothing, None
    estimate_start, on_torus = nothing, margin
    if boundary == "periodic":
        torus, window, on_torus = n, n, o
    elif boundary == "zero":
        reach = tuple(max(a, b) for a, b in zip(low, o, strict=True))
        torus, window, on_torus = fast_shape(_add(n, reach)), n, o
    elif boundary == "full":
        torus, window, on_torus = fast_shape(grown), grown, nothing
    elif boundary == "valid":
        torus, window = fast_shape(n), _valid_window(n, k)
    elif boundary == "reflect":
        torus, window, before, after, padding = fast_shape(grown), n, low, o, "reflect"
    else:
        torus, window, input_shape, estimate_start = fast_shape(grown), n, grown, low
    output = tuple(-(-w // s) for w, s in zip(window, strides, strict=True))
    return Geometry(
        kernel=k,
        kernel_origin=o,
        input=input_shape,
        output=output,
        before=before,
        after=after,
        padding=padding,
        torus=torus,
        window=window,
        origin=on_torus,
        stride=strides,
        dilation=dilations,
        estimate_start=estimate_start,
    )


def _add(a: Shape, b: Shape) -> Shape:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _sizes(value: int | Sequence[int], ndim: int, name: str) -> Shape:
    sizes = (int(value),) * ndim if isinstance(value, int) else tuple(int(v) for v in value)
    if len(sizes) != ndim or not sizes or min(sizes) < 1:
        raise ValueError(f"{name} must be {ndim or 'some'} whole numbers from 1, not {value!r}.")
    return sizes


def _origin(kernel_shape: Sequence[int], origin: Sequence[int] | None) -> Shape:
    if origin is None:
        return default_origin(kernel_shape)
    start = tuple(int(i) for i in origin)
    if len(start) != len(kernel_shape) or not all(
        0 <= i < k for i, k in zip(start, kernel_shape, strict=True)
    ):
        raise ValueError(
            f"origin must be an index into the kernel of shape {tuple(kernel_shape)}, "
            f"not {tuple(origin)}."
        )
    return start


def _valid_window(n: Shape, k: Shape) -> Shape:
    if any(size > length for size, length in zip(k, n, strict=True)):
        raise ValueError(
            f"The kernel {k} is larger than the image {n}, so boundary='valid' leaves no output: "
            "use 'full', 'zero' or 'extended'."
        )
    return tuple(length - size + 1 for size, length in zip(k, n, strict=True))
