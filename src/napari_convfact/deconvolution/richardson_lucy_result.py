"""What Richardson-Lucy reports on the way and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_convfact.deconvolution.iteration import Iteration
from napari_convfact.foundation.job import Step

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
    message : str
        Sentences for the user.
    """

    estimate: np.ndarray
    iterations: int
    likelihood: tuple[float, ...]
    held_out: tuple[float, ...]
    stopped_by: StoppedBy
    intermediate: np.ndarray | None
    message: str
