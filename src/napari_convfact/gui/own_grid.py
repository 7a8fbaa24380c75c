"""Results with a grid of their own: they must not take the sliders of what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_SPACE = ("z", "y", "x")


def stack_axes(labels: Sequence[str], source: Layer) -> int:
    """Return how many axes of kernels come before those of space; 0 if none is of space."""
    stack = len(labels)
    while stack and labels[stack - 1] in (*_SPACE, *source.axis_labels):
        stack -= 1
    return stack if stack < len(labels) else 0


def at_every_plane(
    data: np.ndarray, options: dict[str, Any], source: Layer, shape: Sequence[int]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return a stack of kernels with axes of one sample that spans the source's time or depth.

    Without them the viewer, which counts axes from the last, would step through kernels with
    the slider of time.

    Parameters
    ----------
    data : numpy.ndarray
        The stack.
    options : dict
        Its scale, translate, units and, of each axis, axis_labels.
    source : Layer
        What the kernels are for.
    shape : sequence of int
        The source's, without colours.

    Returns
    -------
    data, options
    """
    labels = options.get("axis_labels", ())
    stack = stack_axes(labels, source)
    missing = source.ndim - (len(labels) - stack)
    if not stack or missing <= 0:
        return data, options
    samples = np.asarray(shape[:missing])
    step, begin = np.asarray(source.scale)[:missing], np.asarray(source.translate)[:missing]
    return np.expand_dims(data, tuple(range(stack, stack + missing))), options | {
        "scale": (*(1.0,) * stack, *step * samples, *options["scale"][stack:]),
        "translate": (
            *(0.0,) * stack,
            *begin + step * (samples - 1) / 2,
            *options["translate"][stack:],
        ),
        "units": (*("pixel",) * stack, *source.units[:missing], *options["units"][stack:]),
        "axis_labels": (*labels[:stack], *source.axis_labels[:missing], *labels[stack:]),
    }


def labels_beside(viewer: Viewer, labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels of which those that the layers share are the viewer's.

    The newest layer names the sliders: a spectrum would rename depth to a frequency.
    """
    shared = min(len(labels), viewer.layers.ndim) if viewer.layers else 0
    first = len(labels) - shared
    there = viewer.dims.axis_labels[len(viewer.dims.axis_labels) - shared :]
    return tuple(labels[:first]) + tuple(
        own if _is_unnamed(here) and own in _SPACE else here
        for own, here in zip(labels[first:], there, strict=True)
    )


def _is_unnamed(label: str) -> bool:
    return label.lstrip("-").isdecimal()
