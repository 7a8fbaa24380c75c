"""The matrix of a convolution, for small images, tests and teaching."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from napari_convfact.convolution.forward_model import ForwardModel

_MOST_ENTRIES = 2**28
_BLOCK_ENTRIES = 2**22


def dense_matrix(operator: ForwardModel) -> np.ndarray:
    """Return the matrix of an operator by applying it to the unit vectors.

    Parameters
    ----------
    operator : ForwardModel
        The operator.

    Returns
    -------
    numpy.ndarray
        ``(outputs, inputs)``, both flattened in C order, in the operator's dtype.

    Raises
    ------
    ValueError
        If the matrix would have more than 2**28 entries.
    """
    outputs, inputs = prod(operator.output_shape), prod(operator.input_shape)
    if outputs * inputs > _MOST_ENTRIES:
        raise ValueError(
            f"The matrix would have {outputs} x {inputs} entries: use a smaller shape."
        )
    block = max(1, _BLOCK_ENTRIES // max(outputs, inputs))
    rows = []
    for first in range(0, inputs, block):
        chosen = torch.arange(first, min(first + block, inputs), device=operator.device)
        units = torch.zeros(len(chosen), inputs, dtype=operator.dtype, device=operator.device)
        units.scatter_(1, chosen[:, None], 1)
        images = operator.apply(units.reshape(-1, *operator.input_shape))
        rows.append(operator.to_numpy(images).reshape(-1, outputs))
    return np.ascontiguousarray(np.concatenate(rows).T)
