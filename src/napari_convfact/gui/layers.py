"""Between layers and images: what a job reads of a layer, and results as new layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.gui.arrange import beside_everything
from napari_convfact.gui.own_grid import at_every_plane, labels_beside
from napari_convfact.operations.operation import Result, SpatialImage
from napari_convfact.operations.provenance import METADATA_KEY

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer


def spatial_image(layer: Image) -> SpatialImage:
    """Return what a job needs of a layer; its data are not copied and not computed.

    A multiscale layer gives its full resolution.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    return SpatialImage(
        data,
        layer.name,
        tuple(float(s) for s in layer.scale),
        tuple(str(unit) for unit in layer.units),
        tuple(layer.axis_labels),
        rgb=bool(getattr(layer, "rgb", False)),
        path=layer.source.path,
        translate=tuple(float(t) for t in layer.translate),
    )


def add_result(
    viewer: Viewer, result: Result, sources: Mapping[str, Layer], record: dict[str, Any]
) -> Layer:
    """Add a result as a new layer that lies where its source lies.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where to add it; names are made unique, no layer is changed.
    result : Result
        What the job returned.
    sources : mapping of str to layer
        The layers that the job was given.
    record : dict
        The provenance record.
    """
    options: dict[str, Any] = {"name": result.name, "metadata": {METADATA_KEY: record}}
    data, ndim = result.data, result.data.ndim - result.rgb
    if result.like is not None:
        options |= placement(sources[result.like], ndim, result.leading_axes)
    else:
        options |= _own_placement(result, ndim, sources)
        scale, units = options.get("scale", (1.0,) * ndim), options.get("units", ("pixel",) * ndim)
        options["translate"] = beside_everything(viewer, scale, units)
        if sources and "units" in options:
            source = next(iter(sources.values()))
            shape = spatial_image(source).data.shape
            data, options = at_every_plane(data, options, source, shape)
        if "axis_labels" in options:
            options["axis_labels"] = labels_beside(viewer, options["axis_labels"])
    options |= dict(result.display)
    if result.kind == "labels":
        return viewer.add_labels(data, **options)
    if result.like is not None and not result.rgb:
        options = look_of(sources[result.like], result.leading_axes, options) | options
    return viewer.add_image(data, rgb=result.rgb, **options)


def look_of(
    layer: Layer, leading_axes: Sequence[str], display: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how a layer is shown, for a result of it that may have a colour map of its own.

    What is made of a channel that is added to others is one too.
    """
    look = colormap_of(layer)
    added = look and layer.blending == "additive" and not leading_axes
    return look | ({"blending": "additive"} if added and "colormap" not in display else {})


def colormap_of(layer: Layer) -> dict[str, Any]:
    """Return the colour map of a layer of one channel, for a result that has none of its own."""
    if getattr(layer, "rgb", True):  # labels have no intensities
        return {}
    return {"colormap": layer.colormap}


def placement(layer: Layer, ndim: int, leading_axes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return where a layer lies, for a result with `ndim` axes.

    Trailing axes are those of the layer. Further leading axes are counted in pixels; axes
    that the result lacks are dropped from the front.

    Returns
    -------
    dict
        scale, translate, rotate, shear, affine, units and axis_labels.
    """
    extra = max(ndim - layer.ndim, 0)
    kept = ndim - extra
    labels = (*leading_axes, *(f"axis {i}" for i in range(extra)))[:extra]
    return {
        "scale": np.concatenate([np.ones(extra), layer.scale[-kept:]]),
        "translate": np.concatenate([np.zeros(extra), layer.translate[-kept:]]),
        "rotate": _resized(layer.rotate, ndim),
        "shear": _shear_vector(_resized(_shear_matrix(layer.shear, layer.ndim), ndim)),
        "affine": _resized_affine(layer.affine.affine_matrix, ndim),
        "units": ("pixel",) * extra + tuple(layer.units[-kept:]),
        "axis_labels": labels + tuple(layer.axis_labels[-kept:]),
    }


def linear_matrix(layer: Layer) -> np.ndarray:
    """Return the matrix by which a layer's index moves in the world, without its affine."""
    shear = _shear_matrix(layer.shear, layer.ndim)
    return layer.rotate @ shear @ np.diag(layer.scale)


def _own_placement(result: Result, ndim: int, sources: Mapping[str, Layer]) -> dict[str, Any]:
    """Return its own pixel size, or that of the first source, and its axes.

    Layers in different units would make the viewer ignore all of them.
    """
    options: dict[str, Any] = {}
    if result.units:
        options = {"scale": result.scale, "units": result.units}
    elif sources:
        source = next(iter(sources.values()))
        like = placement(source, ndim)
        options = {"scale": like["scale"], "units": like["units"]}
        if not result.scale and min(ndim, source.ndim) > 1:
            # A picture without a pixel size is as tall as its source, to be seen beside it.
            low, high = source.extent.world
            height = result.data.shape[-2 - result.rgb]
            options["scale"] = np.full(ndim, (high[-2] - low[-2]) / height)
    if result.leading_axes:
        options["axis_labels"] = result.leading_axes
    return options


def _resized(matrix: np.ndarray, ndim: int) -> np.ndarray:
    """Return a matrix of `ndim` axes that acts on the last axes as the given one does."""
    resized = np.eye(ndim)
    kept = min(ndim, len(matrix))
    resized[-kept:, -kept:] = matrix[-kept:, -kept:]
    return resized


def _resized_affine(matrix: np.ndarray, ndim: int) -> np.ndarray:
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = _resized(matrix[:-1, :-1], ndim)
    kept = min(ndim, len(matrix) - 1)
    affine[ndim - kept : ndim, -1] = matrix[-1 - kept : -1, -1]
    return affine


def _shear_matrix(shear: np.ndarray, ndim: int) -> np.ndarray:
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix


def _shear_vector(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), 1)]
