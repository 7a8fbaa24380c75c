"""What every deconvolution returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Deconvolution:
    """A deconvolved image and how it came about.

    Attributes
    ----------
    estimate : numpy.ndarray
        Of the image's shape, float32 unless float64 was asked for, in the image's units.
    strength : float or None
        The regularization that was applied: of the prior; the threshold `rcond` of the
        pseudo-inverse; None where there is none.
    rule : str
        How it was chosen: ``"given"``, ``"generalized cross-validation"``, ``"L-curve"``
        (where the noise is correlated) or ``"discrepancy"``; for Richardson-Lucy, how the
        iteration was stopped.
    iterations : int
        Iterations of the leading item that took most; 0 for a direct method.
    converged : bool
        Whether every leading item reached its tolerance.
    history : tuple of float
        Estimated relative error after each iteration, of the leading item that took most;
        for Richardson-Lucy, the log-likelihood.
    message : str
        What the user should know, in sentences.
    engine : str
        How convolutions were computed: ``"fft"`` or ``"fused"``. Which of them
        ``engine="auto"`` takes is measured, and they differ by round-off.
    intermediate : numpy.ndarray or None
        ``(m, *n)``, every `keep_every`-th estimate of Richardson-Lucy.
    """

    estimate: np.ndarray
    strength: float | None
    rule: str
    iterations: int
    converged: bool
    history: tuple[float, ...]
    message: str
    engine: str = "fft"
    intermediate: np.ndarray | None = None
