"""Where a result lies: the axes and voxel size of the input that it was made from."""

from __future__ import annotations

from collections.abc import Mapping

from napari_convfact.operations.operation import Result, SpatialImage


def placed(result: Result, inputs: Mapping[str, SpatialImage]) -> SpatialImage:
    """Return a result as an image with voxel size, units and axis labels.

    Parameters
    ----------
    result : Result
        What a job returned.
    inputs : mapping of str to SpatialImage
        What it was given.

    Returns
    -------
    SpatialImage
        Trailing axes are those of the input ``result.like``; leading ones that it does not
        have are counted in pixels.
    """
    if result.like is None:
        return SpatialImage(
            result.data, result.name, result.scale, result.units, result.leading_axes, result.rgb
        )
    source = inputs[result.like]
    ndim = result.data.ndim - result.rgb
    extra = max(ndim - source.ndim, 0)
    kept = ndim - extra
    labels = (*result.leading_axes, *("axis",) * extra)[:extra]
    return SpatialImage(
        result.data,
        result.name,
        (1.0,) * extra + source.scale[-kept:],
        ("pixel",) * extra + source.units[-kept:],
        labels + source.axis_labels[-kept:],
        result.rgb,
        translate=(0.0,) * extra + source.translate[-kept:],
    )
