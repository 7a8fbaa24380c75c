"""What solving ``y = A x`` gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Solution:
    """A solution of ``y = A x`` and how it was found.

    Attributes
    ----------
    estimate : numpy.ndarray
        x, ``(..., *input_shape)``.
    method : {"fourier", "cosine", "border", "iterative", "dense"}
        What was done.
    strength : float
        Weight of the prior.
    iterations : int
        0 for the direct methods.
    converged : bool
        Whether the tolerance was reached; True for the direct methods.
    history : tuple of float
        Relative residual of the normal equations after each iteration.
    message : str
        One sentence for the user; empty if there is nothing to say.
    """

    estimate: np.ndarray
    method: str
    strength: float
    iterations: int
    converged: bool
    history: tuple[float, ...]
    message: str

    @classmethod
    def direct(cls, estimate: np.ndarray, method: str, strength: float = 0.0) -> Solution:
        """Return the solution of a method that does not iterate."""
        return cls(estimate, method, strength, 0, True, (), "")
