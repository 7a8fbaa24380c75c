"""A convolution of few taps and many channels by direct sums, for the window of a boundary."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import pad, pad_adjoint
from napari_convfact.convolution.geometry import Geometry, Shape

# Above, the transforms measured faster on the CPU, for 2 to 32 channels.
_MOST_TAPS = 25
_CONVOLVE = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d}


class SpatialEngine:
    """A mixing convolution and its adjoint by torch's direct convolution.

    Parameters
    ----------
    kernel : numpy.ndarray
        ``(c_out, c_in, *geometry.kernel)`` with one or two spatial axes.
    geometry : Geometry
        Sizes of the operator.
    boundary : str
        One of `geometry.BOUNDARIES`.
    dtype : torch.dtype
        Type of the images.
    """

    name = "direct"

    def __init__(
        self, kernel: np.ndarray, geometry: Geometry, boundary: str, dtype: torch.dtype
    ) -> None:
        axes = tuple(range(2, kernel.ndim))
        weights = torch.as_tensor(kernel, dtype=dtype)
        # torch correlates: the kernel is flipped for the product and not for the adjoint.
        self._flipped = weights.flip(axes).contiguous()
        self._transposed = weights.transpose(0, 1).contiguous()
        self._padding = boundary if boundary in ("periodic", "reflect") else "zero"
        self._before, self._after = _margins(geometry, boundary)
        self._all = tuple(k - 1 for k in geometry.kernel)

    def apply(self, x: Tensor) -> Tensor:
        """Map ``(..., c_in, *geometry.input)`` to ``(..., c_out, *geometry.window)``."""
        padded = pad(x, self._before, self._after, self._padding)
        return _convolve(padded, self._flipped)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Map ``(..., c_out, *geometry.window)`` to ``(..., c_in, *geometry.input)``."""
        spread = _convolve(pad(y, self._all, self._all, "zero"), self._transposed)
        return pad_adjoint(spread, self._before, self._after, self._padding)


def direct_sums_are_faster(
    kernel: np.ndarray, geometry: Geometry, dtype: torch.dtype, device: torch.device
) -> bool:
    """Whether `SpatialEngine` applies and measured faster than transforms for such kernels.

    In float64 torch falls back to slower code, and on CUDA it may round to ten bits.
    """
    ndim = len(geometry.kernel)
    return (
        kernel.ndim == ndim + 2
        and ndim in _CONVOLVE
        and device.type == "cpu"
        and dtype == torch.float32
        and prod(geometry.kernel) <= _MOST_TAPS
    )


def _convolve(x: Tensor, weights: Tensor) -> Tensor:
    ndim = weights.ndim - 2
    batch = x.shape[: -ndim - 1]
    frames = x.reshape(-1, *x.shape[-ndim - 1 :])
    result = _CONVOLVE[ndim](frames, weights)
    return result.reshape(*batch, *result.shape[1:])


def _margins(geometry: Geometry, boundary: str) -> tuple[Shape, Shape]:
    """Return the samples to add on each side, so that only complete overlaps are left."""
    nothing = (0,) * len(geometry.kernel)
    if boundary in ("valid", "extended"):
        return nothing, nothing
    margin = tuple(k - 1 for k in geometry.kernel)
    if boundary == "full":
        return margin, margin
    origin = geometry.kernel_origin
    return tuple(m - o for m, o in zip(margin, origin, strict=True)), origin
