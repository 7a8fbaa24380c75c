"""One run of Richardson-Lucy, step by step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_convfact.deconvolution.acceleration import Extrapolation
from napari_convfact.deconvolution.blocks import blocks, total
from napari_convfact.deconvolution.poisson import PoissonModel
from napari_convfact.deconvolution.stopping import HeldOutError
from napari_convfact.deconvolution.total_variation import total_variation_denominator

# Darker than any photon; smaller numbers would slow the processor down.
_DARK = 1e-30


class Iteration:
    """The state of a run, with its likelihood after each step.

    Parameters
    ----------
    model : PoissonModel
        How the data came about.
    data : torch.Tensor
        Non-negative, of the picture's size.
    scene : torch.Tensor
        Where to start, on the model's torus. Its memory is taken over.
    accelerate : bool
        Extrapolate between steps.
    total_variation : float
        Weight of the total variation; 0 for none.
    held_out : HeldOutError, optional
        Watched along the way.

    Attributes
    ----------
    scene : torch.Tensor
        The estimate as it stands.
    likelihood : list of float
        Log-likelihood after 0, 1, ... steps; never falls without total variation.
    held_out : list of float
        Error against the held-out photons after 0, 1, ... steps.
    """

    def __init__(
        self,
        model: PoissonModel,
        data: Tensor,
        scene: Tensor,
        *,
        accelerate: bool,
        total_variation: float = 0.0,
        held_out: HeldOutError | None = None,
    ) -> None:
        self.model = model
        self.scene = scene
        self.likelihood: list[float] = []
        self.held_out: list[float] = []
        self._data = data
        self._photons = total(data)
        self._total_variation = total_variation
        self._held_out_error = held_out
        self._extrapolation = Extrapolation() if accelerate else None
        # The last plain step's result; the scene itself where nothing is extrapolated.
        self._result = scene.clone() if accelerate else scene
        # In a list, so that a step can take it out and free its memory on the way.
        self._ratio: list[Tensor] = []
        self._compare()

    def advance(self) -> None:
        """Take one step."""
        result = self._step()
        if self._extrapolation is None:
            self.scene = self._result = result
            self._compare()
            return
        before, self._result = self._result, result
        self.scene = self._extrapolation.predict(self.scene, before, result)
        self._compare()
        if self.likelihood[-1] < self.likelihood[-2]:
            self._take_plain_step()

    def preview(self) -> np.ndarray:
        """Return the newest estimate as a copy, also while a step is being taken."""
        return self.model.to_numpy(self._result)

    def _step(self) -> Tensor:
        """Return the scene times the data's ratio to the model, projected back."""
        correction = self.model.back_project(self._ratio.pop())
        parts = blocks(correction, self.scene, self.model.inverse_sensitivity)
        for factor, scene, inverse_sensitivity in parts:
            factor.mul_(inverse_sensitivity).mul_(scene)
            # Round-off of the transforms may be negative.
            torch.threshold_(factor, _DARK, 0.0)
        if self._total_variation:
            correction.div_(total_variation_denominator(self.scene, self._total_variation))
        return correction

    def _compare(self) -> None:
        """Record how well the scene explains the data, and their ratio to step along."""
        model = self.model
        blurred = model.blur(self.scene)
        seen = model.in_picture(blurred)
        if self._extrapolation and not model.background:
            # Steps keep the number of photons, predictions nearly: this makes it exact.
            self._rescale(seen)
        if self._held_out_error is not None:
            self.held_out.append(self._held_out_error(seen, model.background))
        self.likelihood.append(model.compare(blurred, self._data))
        self._ratio = [blurred]

    def _rescale(self, seen: Tensor) -> None:
        light = total(seen)
        if light > 0:
            self.scene.mul_(self._photons / light)
            seen.mul_(self._photons / light)

    def _take_plain_step(self) -> None:
        """Undo a prediction that was less likely than the scene before."""
        assert self._extrapolation is not None
        self._extrapolation.restart()
        self.scene.copy_(self._result)
        self.likelihood.pop()
        if self.held_out:
            self.held_out.pop()
        self._compare()
