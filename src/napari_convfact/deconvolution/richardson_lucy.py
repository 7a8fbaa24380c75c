"""Richardson-Lucy deconvolution: the most likely non-negative scene behind photon counts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from napari_convfact.convolution.operator import Convolution
from napari_convfact.deconvolution.iteration import Iteration
from napari_convfact.deconvolution.poisson import PoissonModel, scene_level
from napari_convfact.deconvolution.richardson_lucy_result import (
    RichardsonLucy,
    RichardsonLucyStep,
    StoppedBy,
)
from napari_convfact.deconvolution.stopping import HeldOutError, best_iteration, thin
from napari_convfact.foundation.job import Job
from napari_convfact.foundation.threads import on_one_torch_thread
from napari_convfact.foundation.validate import check_count, check_image, check_psf

__all__ = ["RichardsonLucy", "RichardsonLucySolver", "RichardsonLucyStep", "richardson_lucy_job"]

BOUNDARIES = ("extended", "periodic", "reflect", "zero")
# An estimate that is darker than this share of the next image is no start for it.
_LEAST_START = 0.1
# Where iterations="auto" gives up.
MOST_ITERATIONS = 200


class RichardsonLucySolver:
    """Everything that images of one size and one PSF share.

    The parameters are those of `richardson_lucy_job`; `shape` is the images'.
    """

    def __init__(
        self,
        psf: Any,
        shape: tuple[int, ...],
        *,
        boundary: str = "extended",
        accelerate: bool = True,
        background: float = 0.0,
        read_noise: float = 0.0,
        total_variation: float = 0.0,
        engine: str = "auto",
        dtype: str = "float32",
        device: str = "auto",
    ) -> None:
        if boundary not in BOUNDARIES:
            raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, not {boundary!r}.")
        for name, value in (
            ("background", background),
            ("read_noise", read_noise),
            ("total_variation", total_variation),
        ):
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number from 0, not {value!r}.")
        self.psf, self.notes = check_psf(psf)
        self.dtype = dtype
        self.accelerate = accelerate
        self.background = background
        self.read_noise = read_noise
        self.total_variation = total_variation
        operator = Convolution(
            self.psf, shape, boundary=boundary, engine=engine, dtype=dtype, device=device
        )
        self.model = PoissonModel(operator, background + read_noise)
        if operator.engine == "fused":
            self.notes += (operator.engine_choice.reason,)

    def job(
        self,
        image: Any,
        *,
        iterations: int | Literal["auto"] = "auto",
        start: Any = None,
        keep_every: int | None = None,
    ) -> Job[RichardsonLucy]:
        """Deconvolve one image; see `richardson_lucy_job`."""
        return on_one_torch_thread(self._job(image, iterations, start, keep_every))

    def _job(
        self, image: Any, iterations: int | Literal["auto"], start: Any, keep_every: int | None
    ) -> Job[RichardsonLucy]:
        check_count("iterations", iterations, or_else="auto")
        if keep_every is not None:
            check_count("keep_every", keep_every)
        data, clipped = self._check_data(image)
        trial: list[float] = []
        gain = 1.0
        stopped_by: StoppedBy = "iterations"
        if iterations == "auto":
            trial, gain = yield from self._trial(data, start)
            count = max(1, int(np.argmin(trial)))
            stopped_by = "limit" if best_iteration(trial) is None else "held-out photons"
        else:
            count = int(iterations)
        run = self._begin(self._to_device(data), start)
        kept = []
        for done in range(1, count + 1):
            run.advance()
            yield RichardsonLucyStep(done, count, f"Iteration {done} of {count}", run)
            if keep_every and done % keep_every == 0:
                kept.append(self.model.to_numpy(run.scene))
        estimate = self.model.to_numpy(run.scene)
        run.release()
        return RichardsonLucy(
            estimate=estimate,
            iterations=count,
            likelihood=tuple(run.likelihood),
            held_out=tuple(trial),
            stopped_by=stopped_by,
            intermediate=np.stack(kept) if kept else None,
            gain=gain,
            clipped=clipped,
            notes=self.notes,
        )

    def _trial(self, data: np.ndarray, start: Any) -> Job[tuple[list[float], float]]:
        """Iterate without a tenth of the photons until they are explained worse."""
        device = self.model.operator.device
        thinned = thin(data)
        held_out = torch.as_tensor(thinned.held_out, device=device).add_(self.read_noise)
        training = torch.as_tensor(thinned.training, device=device)
        run = self._begin(training, start, HeldOutError(held_out, self.psf))
        for done in range(1, MOST_ITERATIONS + 1):
            run.advance()
            message = f"Choosing the number of iterations: trial {done}"
            yield RichardsonLucyStep(done, 0, message, run)
            if best_iteration(run.held_out) is not None:
                break
        run.release()
        return run.held_out, thinned.gain

    def _begin(
        self, values: torch.Tensor, start: Any, held_out: HeldOutError | None = None
    ) -> Iteration:
        """Begin to iterate on values whose memory is given away."""
        if start is not None and not np.any(start):
            raise ValueError(
                "The start is zero everywhere: steps multiply, and nothing grows there."
            )
        if start is None:
            scene = self.model.flat_scene(self._level(float(values.mean())))
        else:
            scene = self.model.scene_from(self._to_device(self._check_data(start, "start")[0]))
        return Iteration(
            self.model,
            values.add_(self.read_noise),
            scene,
            accelerate=self.accelerate,
            total_variation=self.total_variation,
            held_out=held_out,
        )

    def outshines(self, image: np.ndarray, estimate: np.ndarray) -> bool:
        """Whether an image is much brighter than an estimate that it might start from.

        Steps multiply: nothing grows from black, and little from next to it.
        """
        level = self._level(float(image.clip(min=0).mean(dtype=np.float64)))
        return float(estimate.mean(dtype=np.float64)) <= _LEAST_START * level

    def _level(self, mean: float) -> float:
        return scene_level(mean, self.background)

    def _check_data(self, array: Any, name: str = "image") -> tuple[np.ndarray, int]:
        """Return values from 0, and how many were below."""
        checked = check_image(array, name=name, dtype=self.dtype)
        shape = self.model.operator.output_shape
        if checked.data.shape != shape:
            raise ValueError(f"The {name} has shape {checked.data.shape} but needs {shape}.")
        negative = int((checked.data < 0).sum())
        return (checked.data.clip(min=0) if negative else checked.data), negative

    def _to_device(self, data: np.ndarray) -> torch.Tensor:
        # A copy: the caller's memory is never written to.
        return torch.tensor(data, device=self.model.operator.device)


def richardson_lucy_job(
    image: Any,
    psf: Any,
    *,
    boundary: str = "extended",
    iterations: int | Literal["auto"] = "auto",
    accelerate: bool = True,
    background: float = 0.0,
    read_noise: float = 0.0,
    total_variation: float = 0.0,
    start: Any = None,
    keep_every: int | None = None,
    dtype: str = "float32",
    device: str = "auto",
) -> Job[RichardsonLucy]:
    """Deconvolve one image, yielding a `RichardsonLucyStep` after each iteration.

    Each step multiplies the scene x by ``A^T (y / (A x + background)) / A^T 1``, which
    never lowers the likelihood of Poisson data y and keeps x non-negative.

    Parameters
    ----------
    image : array_like
        ``(*n)``, proportional to photon counts, without the camera's offset. Negative
        values are set to zero.
    psf : array_like
        ``(*k)``, origin at ``k // 2``; it is divided by its sum.
    boundary : {"extended", "periodic", "reflect", "zero"}
        What lies beyond the picture; ``"extended"`` estimates it as well.
    iterations : int or "auto"
        ``"auto"`` holds a tenth of the photons out of a first run, takes the number of
        iterations that explains them best, and repeats that many with all photons. It
        needs photon noise: intensities that are not counts are scaled by the gain that
        their noise shows.
    accelerate : bool
        Extrapolate between steps (see `Extrapolation`). A prediction that is less likely
        than the estimate before it is replaced by the plain step.
    background : float
        Light in the image that is not of the scene, per sample.
    read_noise : float
        Variance of the camera's noise, in squared photons. It is added to the data and the
        model, which makes their sum nearly Poisson.
    total_variation : float
        Weight of the total variation; 0.002 to 0.02 where noise limits the iterations.
    start : array_like, optional
        ``(*n)``: begin from this estimate instead of an even one.
    keep_every : int, optional
        Keep each such estimate in the result.
    dtype : {"float32", "float64"}
        Working precision and type of the result.
    device : str
        See `choose_device`.

    Returns
    -------
    generator of RichardsonLucyStep
        Returns a `RichardsonLucy`.

    Raises
    ------
    ValueError
        When the first step is asked for, if an argument is not legal.

    References
    ----------
    W. H. Richardson, "Bayesian-based iterative method of image restoration", J. Opt. Soc.
    Am. 62, 55-59 (1972).
    L. B. Lucy, "An iterative technique for the rectification of observed distributions",
    Astronomical Journal 79, 745-754 (1974).
    M. Bertero and P. Boccacci, "A simple method for the reduction of boundary effects in
    the Richardson-Lucy approach to image deconvolution", Astronomy and Astrophysics 437,
    369-374 (2005): the extended scene.
    D. L. Snyder et al., "Compensation for readout noise in CCD images", J. Opt. Soc. Am. A
    12, 272-283 (1995): the read noise.
    """
    solver = RichardsonLucySolver(
        psf,
        np.shape(image),
        boundary=boundary,
        accelerate=accelerate,
        background=background,
        read_noise=read_noise,
        total_variation=total_variation,
        dtype=dtype,
        device=device,
    )
    result = yield from solver.job(image, iterations=iterations, start=start, keep_every=keep_every)
    return result
