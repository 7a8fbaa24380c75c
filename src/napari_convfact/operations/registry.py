"""The list of operations; every face is made from it."""

from __future__ import annotations

from napari_convfact.operations import (
    classify_pixels,
    convolve,
    deconvolve,
    factorize,
    gabor,
    make_kernel,
    texture,
)
from napari_convfact.operations.operation import Operation

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        deconvolve.OPERATION,
        factorize.OPERATION,
        gabor.OPERATION,
        convolve.OPERATION,
        make_kernel.OPERATION,
        texture.OPERATION,
        classify_pixels.OPERATION,
    )
}


def find_operation(name: object) -> Operation:
    """Return an operation by name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if not isinstance(name, str) or name not in OPERATIONS:
        raise ValueError(f"There is no operation {name!r}: known are {', '.join(OPERATIONS)}.")
    return OPERATIONS[name]
