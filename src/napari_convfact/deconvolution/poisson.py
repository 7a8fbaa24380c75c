"""Poisson data of a blurred scene: blur, compare with the data, project back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import crop, pad, pad_adjoint, source_index
from napari_convfact.convolution.operator import Convolution
from napari_convfact.foundation import fft
from napari_convfact.foundation.blocks import map_blocks, total

# Data that lie below their background still start from this share of their brightness.
_LEAST_SHARE = 0.01

# A scene sample that sends less than this part of its light into the picture is left dark:
# the data say nothing about it.
_LEAST_SENSITIVITY = 1e-3


def scene_level(mean: float, background: float) -> float:
    """Return how bright a scene is whose data have some mean, above a background."""
    return max(mean - background, _LEAST_SHARE * mean)


class PoissonModel:
    """The forward model of Richardson-Lucy, without copies between its transforms.

    With transforms, scenes are kept on the operator's torus (only a reflecting operator keeps
    them in the picture's size), so that neither direction has to pad or crop. A fused engine
    knows no torus: scenes have the operator's input shape.

    Parameters
    ----------
    operator : Convolution
        A blur with a non-negative kernel of unit sum.
    background : float
        Light that is added everywhere after the blur.

    Attributes
    ----------
    inverse_sensitivity : torch.Tensor
        One over the share of each scene sample's light that reaches the data (the adjoint
        of ones), 0 where it is too little.
    """

    def __init__(self, operator: Convolution, background: float = 0.0) -> None:
        self.operator = operator
        self.background = background
        self._fused = operator.engine_choice.engine
        self.inverse_sensitivity = self._inverse_sensitivity()

    @property
    def periodic(self) -> bool:
        """Whether the scene goes on at its opposite face."""
        return self.operator.boundary == "periodic"

    def blur(self, scene: Tensor) -> Tensor:
        """Return the blurred scene on the torus; `in_picture` is the part that is seen."""
        if self._fused is not None:
            return self._fused.apply(scene)
        geometry = self.operator.geometry
        if geometry.padding:
            scene = pad(scene, geometry.before, geometry.after, geometry.padding)
        spectrum = fft.rfftn(scene, self.operator.torus_shape)
        map_blocks(Tensor.mul_, spectrum, self.operator.transfer)
        return fft.irfftn(spectrum, self.operator.torus_shape, overwrite=True)

    def back_project(self, blurred: Tensor) -> Tensor:
        """Apply the adjoint to what `blur` returns, of which only the picture counts."""
        if self._fused is not None:
            return self._fused.apply_adjoint(blurred)
        geometry = self.operator.geometry
        for axis, n in enumerate(geometry.window):
            blurred.narrow(axis, n, blurred.shape[axis] - n).zero_()
        spectrum = fft.rfftn(blurred, self.operator.torus_shape)
        del blurred  # its memory is needed if the caller gave it away
        map_blocks(lambda piece, gain: piece.mul_(gain.conj()), spectrum, self.operator.transfer)
        scene = fft.irfftn(spectrum, self.operator.torus_shape, overwrite=True)
        if not geometry.padding:
            return scene
        padded = [
            low + n + high
            for low, n, high in zip(geometry.before, geometry.input, geometry.after, strict=True)
        ]
        scene = crop(scene, [0] * scene.ndim, padded)
        return pad_adjoint(scene, geometry.before, geometry.after, geometry.padding)

    def in_picture(self, blurred: Tensor) -> Tensor:
        """Return the part of a blurred scene that the picture shows (a view)."""
        return crop(blurred, [0] * blurred.ndim, self.operator.geometry.window)

    def compare(self, blurred: Tensor, data: Tensor) -> float:
        """Replace a blurred scene by the data's ratio to it; return its log-likelihood.

        Parameters
        ----------
        blurred : torch.Tensor
            From `blur`, without background. Overwritten in the picture.
        data : torch.Tensor
            Non-negative, of the picture's size.

        Returns
        -------
        float
            Poisson log-likelihood less that of a perfect fit: at most 0 (up to round-off).
        """
        # Where the model is dark, the transforms leave round-off of either sign.
        floor = torch.finfo(data.dtype).eps * max(float(data.max()), self.background)
        tiny = torch.finfo(data.dtype).tiny
        floor = max(floor, tiny)

        def divergence(model: Tensor, count: Tensor) -> float:
            model.add_(self.background).clamp_min_(floor)
            excess = model - count
            torch.div(count, model, out=model)
            # Where there is no count the logarithm is finite and is multiplied by 0.
            return total(model.clamp_min(tiny).log_().mul_(count).add_(excess))

        return -sum(map_blocks(divergence, self.in_picture(blurred), data))

    def flat_scene(self, level: float) -> Tensor:
        """Return an even scene of some brightness."""
        return (self.inverse_sensitivity > 0).to(self.operator.dtype).mul_(level)

    def scene_from(self, estimate: Tensor) -> Tensor:
        """Return a scene that continues an estimate of the picture's size by reflection."""
        start, shape = self.operator.estimate_window
        scene = estimate.clamp_min(1e-3 * float(estimate.mean()))
        for axis, (first, n) in enumerate(zip(start, shape, strict=True)):
            rest = self.inverse_sensitivity.shape[axis] - first - n
            index = source_index(n, first, rest, "reflect").to(scene.device)
            scene = scene.index_select(axis, index)
        return scene.mul_(self.inverse_sensitivity > 0)

    def to_numpy(self, scene: Tensor) -> np.ndarray:
        """Return the part of a scene that lies in the picture (a copy)."""
        return crop(scene, *self.operator.estimate_window).cpu().numpy().copy()

    def _inverse_sensitivity(self) -> Tensor:
        operator = self.operator
        shape = operator.torus_shape if self._fused is None else operator.geometry.window
        ones = torch.ones(shape, dtype=operator.dtype, device=operator.device)
        sensitivity = self.back_project(ones)
        if not operator.geometry.padding:
            seen = torch.zeros_like(sensitivity)
            zero = [0] * seen.ndim
            inside = crop(seen, zero, operator.geometry.input)
            inside.copy_(crop(sensitivity, zero, operator.geometry.input))
            sensitivity = seen
        dark = sensitivity < _LEAST_SENSITIVITY
        return sensitivity.reciprocal_().masked_fill_(dark, 0)
