"""Small kernels that mix channels, applied by a matrix product over channels and taps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import pad
from napari_convfact.convolution.circulant import default_origin

_CORRELATIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


class DirectMixing:
    """A convolution from `c` channels to `n`, as `Convolution` defines it.

    Parameters
    ----------
    kernels : numpy.ndarray
        ``(n, c, *k)`` with up to three axes, origin at ``k // 2``.
    boundary : {"reflect", "periodic", "zero", "valid", "full"}
        What lies beyond the edges.
    dtype : {"float32", "float64"}
    device : str
        What ``torch.device`` takes.
    """

    def __init__(self, kernels: np.ndarray, boundary: str, dtype: str, device: str) -> None:
        shape = kernels.shape[2:]
        # torch correlates.
        flipped = np.flip(kernels, tuple(range(-len(shape), 0))).astype(dtype)
        self._weights = torch.as_tensor(flipped).to(device)
        self._correlate = _CORRELATIONS[len(shape) - 1]
        self._boundary = "zero" if boundary in ("valid", "full") else boundary
        after = default_origin(shape)
        before = tuple(k - 1 - o for k, o in zip(shape, after, strict=True))
        if boundary == "valid":
            before = after = (0,) * len(shape)
        if boundary == "full":
            before = after = tuple(k - 1 for k in shape)
        self._before, self._after = before, after

    def __call__(self, x: Tensor) -> Tensor:
        """Map ``(c, *spatial)`` to ``(n, *m)``."""
        padded = pad(x, self._before, self._after, self._boundary)
        values: Tensor = self._correlate(padded[None], self._weights)
        return values[0]
