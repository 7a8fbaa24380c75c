"""Run an operation by name: what a script calls to repeat what the viewer did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_convfact.foundation.job import Step, run
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.placement import placed
from napari_convfact.operations.registry import find_operation


def run_operation(
    name: str,
    inputs: Mapping[str, SpatialImage | Any],
    *,
    on_step: Callable[[Step], object] | None = None,
    **parameters: Any,
) -> list[SpatialImage]:
    """Run an operation on images.

    Parameters
    ----------
    name : str
        As on the command line: ``"deconvolve"``.
    inputs : mapping of str to SpatialImage or array_like
        The operation's inputs; arrays count as images without a voxel size.
    on_step : callable, optional
        Called with each `Step`.
    **parameters
        The operation's parameters; the others take their defaults.

    Returns
    -------
    list of SpatialImage
        The results with their voxel sizes.

    Raises
    ------
    ValueError
        If the operation, an input or a parameter is not legal.

    Examples
    --------
    >>> import numpy as np
    >>> import napari_convfact as cf
    >>> image, psf = np.ones((16, 16)), np.ones((3, 3))
    >>> (sharp,) = cf.run_operation("deconvolve", {"image": image, "psf": psf}, strength=0.1)
    >>> sharp.data.shape
    (16, 16)
    """
    operation = find_operation(name)
    check_names(operation, inputs)
    images = {key: as_image(value, key) for key, value in inputs.items()}
    results = run(operation.job(images, operation.parameters.from_dict(parameters)), on_step)
    return [placed(result, images) for result in results]


def check_names(operation: Operation, inputs: Mapping[str, Any]) -> None:
    """Raise a ValueError unless the inputs are those that an operation takes."""
    name, known = operation.name, [item.name for item in operation.inputs]
    for key in inputs:
        if key not in known:
            raise ValueError(f"{name} has no input {key!r}: it takes {', '.join(known)}.")
    for item in operation.inputs:
        if item.name not in inputs and not item.optional:
            raise ValueError(f"{name} needs the input {item.name!r}: {item.help}")


def as_image(value: SpatialImage | Any, name: str) -> SpatialImage:
    """Return an array as an image without a voxel size; images as they are."""
    if isinstance(value, SpatialImage):
        return value
    import numpy as np

    return SpatialImage(value if hasattr(value, "shape") else np.asarray(value), name)
