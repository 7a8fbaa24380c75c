"""What the kernels of a bank cannot predict: the image minus its convolution with each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_convfact.convolution.boundary import pad
from napari_convfact.convolution.circulant import default_origin
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.passes import FusedPass
from napari_convfact.foundation.validate import CheckedImage, check_image
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.correlation import correlate
from napari_convfact.texture.images import less_offset, working_dtype


class Residuals:
    """The residual of each kernel of a bank.

    Parameters
    ----------
    bank : KernelBank
        Kernels of one channel.
    device : str
        Where the images lie.

    Raises
    ------
    ValueError
        If the bank's kernels mix channels.
    """

    def __init__(self, bank: KernelBank, device: str = "cpu") -> None:
        if bank.channels is not None:
            raise ValueError(
                f"The bank's kernels mix {bank.channels} channels: residuals need kernels "
                "(n, *k) of one channel."
            )
        self.ndim = bank.ndim
        self._kernels = bank.kernels
        self._shape = bank.kernels.shape[1:]
        self._fused = None
        if device == "cpu":
            # A kernel of zeros predicts the mean.
            self._fused = [FusedPass([Chain.of([k])]) if k.any() else None for k in bank.kernels]

    @property
    def reach(self) -> tuple[int, ...]:
        """How far the kernels extend to each side, in pixels."""
        return default_origin(self._shape)

    def __len__(self) -> int:
        return len(self._kernels)

    def of(self, x: Tensor, index: int, boundary: str = "reflect") -> Tensor:
        """Return the residual of one kernel on images ``(..., *n)`` of mean zero."""
        if self._fused is None:
            return x - self._convolve(x, index, boundary)
        fused = self._fused[index]
        return x.clone() if fused is None else x - fused(x, boundary)

    def _convolve(self, x: Tensor, index: int, boundary: str) -> Tensor:
        origin = default_origin(self._shape)
        before = [n - 1 - o for n, o in zip(self._shape, origin, strict=True)]
        images = pad(x.reshape(-1, 1, *x.shape[-self.ndim :]), before, origin, boundary)
        # torch correlates.
        weight = torch.as_tensor(self._kernels[index], dtype=x.dtype, device=x.device)
        weight = weight.flip(*range(self.ndim))[None, None]
        return correlate(images, weight).reshape(x.shape)


def centred_image(image: Any, ndim: int, mean: float | None = None) -> CheckedImage:
    """Check an image that maps are made of and subtract its mean.

    Parameters
    ----------
    image : array_like
        ``(*n)``; NaN and infinite pixels are filled from their neighbours.
    ndim : int
        The number of axes that it must have.
    mean : float, optional
        What to subtract; by default the image's own mean.

    Returns
    -------
    CheckedImage

    Raises
    ------
    ValueError
        If the image has another number of axes, or values too large for their squares.
    """
    checked = check_image(image, missing="fill", ndim=ndim, dtype=working_dtype(image))
    if checked.data.ndim != ndim:
        raise ValueError(
            f"The kernels have {ndim} axes but the image {checked.data.ndim}: pass one image "
            f"of {ndim} axes."
        )
    mean = float(checked.data.mean(dtype="float64")) if mean is None else mean
    return CheckedImage(less_offset(checked.data, mean), checked.missing, checked.notes)
