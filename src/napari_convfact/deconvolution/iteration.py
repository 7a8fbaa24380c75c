"""One run of Richardson-Lucy, step by step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_convfact.deconvolution.acceleration import Extrapolation
from napari_convfact.deconvolution.poisson import PoissonModel
from napari_convfact.deconvolution.stopping import HeldOutError
from napari_convfact.deconvolution.total_variation import total_variation_denominator
from napari_convfact.foundation.blocks import map_blocks, total

# Darker than any photon; smaller numbers would slow the processor down.
_DARK = 1e-30


def corrected(factor: Tensor, scene: Tensor) -> Tensor:
    """Return a scene times its correction, in the correction's memory."""
    # Round-off of the transforms may be negative.
    map_blocks(
        lambda factor, scene: torch.threshold_(factor.mul_(scene), _DARK, 0.0), factor, scene
    )
    return factor


class Iteration:
    """The state of a run, with its likelihood after each step.

    The likelihood is concave, so a prediction from which it falls towards the plain step's
    result is at least as likely as that result. Other predictions are dropped and the plain
    step is taken, which costs a repetition in about one step of fifty. O'Donoghue and
    Candes restart accelerated gradient methods on the same sign.

    Parameters
    ----------
    model : PoissonModel
        How the data came about.
    data : torch.Tensor
        Non-negative, of the picture's size.
    scene : torch.Tensor
        Where to start, in the model's layout. Its memory is taken over.
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

    References
    ----------
    B. O'Donoghue and E. Candes, "Adaptive restart for accelerated gradient schemes",
    Foundations of Computational Mathematics 15, 715-732 (2015).
    schedule : list of tuple of float
        For each step the exponent of its extrapolation and the factor that kept the number of
        photons: what the step took from the image as a whole.
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
        self.schedule: list[tuple[float, float]] = []
        self._scale = 1.0
        self._data = data
        self._photons = total(data)
        self._total_variation = total_variation
        self._held_out_error = held_out
        self._extrapolation = Extrapolation() if accelerate else None
        # The last plain step's result; the scene itself where nothing is extrapolated.
        self._result = scene.clone() if accelerate else scene
        # In lists, so that a step can take them out and free their memory on the way.
        self._ratio: list[Tensor] = []
        self._factor: list[Tensor] = []
        self._compare()
        self._project_back()

    def advance(self) -> None:
        """Take one step."""
        result = self._step()
        if self._extrapolation is None:
            self.scene = self._result = result
            self._compare()
            self._project_back()
            self.schedule.append((0.0, 1.0))
            return
        before, self._result = self._result, result
        self.scene = self._extrapolation.predict(self.scene, before, result)
        self._compare()
        self._project_back()
        # Total variation trades likelihood for calm, so there the sign says nothing.
        # Where nothing was predicted, the slope is round-off of either sign.
        checked = self._extrapolation.factor > 0 and not self._total_variation
        if checked and self._slope_towards_result() > 0:
            self._take_plain_step()
        self.schedule.append((self._extrapolation.factor, self._scale))

    def preview(self) -> np.ndarray:
        """Return the newest estimate as a copy, also while a step is being taken."""
        return self.model.to_numpy(self._result)

    def release(self) -> None:
        """Free what only further steps need: a step's report may keep the rest alive."""
        self.scene = self._result
        self._ratio.clear()
        self._factor.clear()
        self._extrapolation = self._held_out_error = None

    def _step(self) -> Tensor:
        """Return the scene times its correction."""
        scene = corrected(self._factor.pop(), self.scene)
        if self._total_variation:
            scene.div_(
                total_variation_denominator(
                    self.scene, self._total_variation, periodic=self.model.periodic
                )
            )
        return scene

    def _compare(self) -> None:
        """Record how well the scene explains the data, and their ratio."""
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
        light = sum(map_blocks(total, seen))
        self._scale = self._photons / light if light > 0 else 1.0
        for tensor in (self.scene, seen):
            map_blocks(lambda piece: piece.mul_(self._scale), tensor)

    def _project_back(self) -> None:
        """Turn the data's ratio to the model into the scene's correction."""
        factor = self.model.back_project(self._ratio.pop())
        map_blocks(Tensor.mul_, factor, self.model.inverse_sensitivity)
        self._factor = [factor]

    def _slope_towards_result(self) -> float:
        """Return the likelihood's derivative from the scene towards the plain step's result."""
        tiny = torch.finfo(self.scene.dtype).tiny

        def slope(
            factor: Tensor, inverse_sensitivity: Tensor, result: Tensor, scene: Tensor
        ) -> float:
            change = (factor - 1).mul_(result - scene)
            return total(change.div_(inverse_sensitivity.clamp_min(tiny)))

        tensors = self._factor[0], self.model.inverse_sensitivity, self._result, self.scene
        return sum(map_blocks(slope, *tensors))

    def _take_plain_step(self) -> None:
        """Undo a prediction that may have overshot."""
        assert self._extrapolation is not None
        self._extrapolation.restart()
        self._factor.clear()
        self.scene.copy_(self._result)
        self.likelihood.pop()
        if self.held_out:
            self.held_out.pop()
        self._compare()
        self._project_back()
