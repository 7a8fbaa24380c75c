"""What Richardson-Lucy reports on the way and returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_convfact.deconvolution.iteration import Iteration
from napari_convfact.foundation.job import Step

# So few iterations say that the data want smoothing rather than sharpening.
_FEW_ITERATIONS = 3

StoppedBy = Literal["iterations", "held-out photons", "limit"]


class RichardsonLucyStep(Step):
    """A `Step` with the likelihood, whose preview is made only when it is asked for.

    Attributes
    ----------
    likelihood : float
        Poisson log-likelihood of the estimate, less that of a perfect fit.
    held_out : float or None
        Error against the held-out photons, while the number of iterations is being chosen.
    preview : numpy.ndarray
        The newest estimate, of the image's shape (a copy).
    """

    likelihood: float
    held_out: float | None

    def __init__(self, done: int, total: int, message: str, iteration: Iteration) -> None:
        values = {
            "done": done,
            "total": total,
            "message": message,
            "likelihood": iteration.likelihood[-1],
            "held_out": iteration.held_out[-1] if iteration.held_out else None,
            "_take": iteration.preview,
        }
        # The base class is frozen.
        self.__dict__.update(values)

    @property
    def preview(self) -> np.ndarray:
        """The newest estimate."""
        take: Callable[[], np.ndarray] = self.__dict__["_take"]
        return take()


@dataclass(frozen=True)
class RichardsonLucy:
    """What Richardson-Lucy found.

    Attributes
    ----------
    estimate : numpy.ndarray
        Of the image's shape, non-negative, in the image's intensity units.
    iterations : int
        How many led to the estimate.
    likelihood : tuple of float
        Poisson log-likelihood after 0, 1, ... iterations, less that of a perfect fit.
    held_out : tuple of float
        Error against the held-out photons (`HeldOutError`) after 0, 1, ... iterations of
        the trial that chose the number; empty if the number was given.
    stopped_by : {"iterations", "held-out photons", "limit"}
        The number that was asked for, the automatic rule, or the rule's limit.
    intermediate : numpy.ndarray or None
        ``(m, *n)``, every `keep_every`-th estimate.
    gain : float
        Intensity units per photon that the noise shows; 1 where it was not asked.
    clipped : int
        Negative values of the image, which were set to zero.
    notes : tuple of str
        What the solver says of the PSF.
    """

    estimate: np.ndarray
    iterations: int
    likelihood: tuple[float, ...]
    held_out: tuple[float, ...]
    stopped_by: StoppedBy
    intermediate: np.ndarray | None
    gain: float
    clipped: int
    notes: tuple[str, ...]

    @property
    def message(self) -> str:
        """Sentences for the user."""
        return " ".join(filter(None, (*self.notes, describe([self]))))


def describe(results: Sequence[RichardsonLucy]) -> str:
    """Return what the user should know of an image, or of all frames of a stack together."""
    clipped = sum(result.clipped for result in results)
    best = [result for result in results if result.stopped_by == "held-out photons"]
    ended = [result for result in results if result.stopped_by == "limit"]
    scaled = [result for result in results if result.gain != 1]
    few = [result for result in best if result.iterations <= _FEW_ITERATIONS]
    sentences = []
    if clipped:
        sentences.append(f"{clipped} negative values of the image were set to zero.")
    if best:
        count = _span([result.iterations for result in best])
        sentences.append(
            _where(
                best,
                results,
                f"stopped at iteration {count}, which explains held-out photons best.",
            )
        )
    if ended:
        text = (
            f"the held-out photons were still explained better after {ended[0].iterations} "
            "iterations, where the automatic choice ends: give a number to go on."
        )
        sentences.append(_where(ended, results, text))
    if scaled:
        gain = _span([result.gain for result in scaled])
        sentences.append(f"The noise shows {gain} intensity units per photon.")
    if few:
        text = (
            "so few say that noise or smooth structure leaves little to sharpen: "
            "method='tikhonov' with the gradient prior does better here."
        )
        sentences.append(_where(few, results, text))
    return " ".join(sentences)


def _where(some: Sequence[RichardsonLucy], results: Sequence[RichardsonLucy], text: str) -> str:
    if len(some) == len(results):
        return text[0].upper() + text[1:]
    return f"In {len(some)} of {len(results)} frames, {text}"


def _span(values: Sequence[float]) -> str:
    ends = [f"{value:.3g}" for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))
