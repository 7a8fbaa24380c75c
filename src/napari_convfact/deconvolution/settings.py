"""The choices of a deconvolution, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_convfact.foundation.validate import Missing

Method = Literal["tikhonov", "wiener", "pseudo-inverse", "richardson-lucy"]
Boundary = Literal["extended", "reflect", "periodic", "zero"]
Prior = Literal["gradient", "identity"]
Dtype = Literal["float32", "float64"]
StrengthRule = Literal["auto", "discrepancy"]

# Where a singular value of the PSF is no more than round-off.
_LEAST_RCOND = 1e-12


@dataclass(frozen=True)
class Settings:
    """The arguments of `deconvolve`, which documents them.

    Raises
    ------
    ValueError
        If one is not legal.
    """

    method: Method = "tikhonov"
    boundary: Boundary = "extended"
    prior: Prior = "gradient"
    strength: float | StrengthRule = "auto"
    rcond: float | None = None
    iterations: int | Literal["auto"] = "auto"
    tolerance: float = 1e-3
    accelerate: bool = True
    background: float = 0.0
    read_noise: float = 0.0
    total_variation: float = 0.0
    missing: Missing = "error"
    channel_axis: int | None = None
    dtype: Dtype = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            _check_choice(name, getattr(self, name), allowed)
        if isinstance(self.strength, str):
            _check_choice("strength", self.strength, ("auto", "discrepancy", "a positive number"))
        else:
            _check_number("strength", self.strength, above=0)
        if self.rcond is not None and not _LEAST_RCOND <= self.rcond <= 1:
            raise ValueError(
                f"rcond must be None or from {_LEAST_RCOND:g} to 1, not {self.rcond!r}: it is a "
                "threshold relative to the PSF's largest gain."
            )
        _check_iterations(self.iterations)
        _check_number("tolerance", self.tolerance, above=0)
        _check_number("background", self.background)


_CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("tikhonov", "wiener", "pseudo-inverse", "richardson-lucy"),
    "boundary": ("extended", "reflect", "periodic", "zero"),
    "prior": ("gradient", "identity"),
    "missing": ("error", "fill"),
    "dtype": ("float32", "float64"),
}


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        *first, last = allowed
        raise ValueError(f"{name} must be {', '.join(first)} or {last}, not {value!r}.")


def _check_number(name: str, value: Any, above: float = -math.inf) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > above):
        kind = "a finite number" if above == -math.inf else f"a number above {above:g}"
        raise ValueError(f"{name} must be {kind}, not {value!r}.")


def _check_iterations(iterations: Any) -> None:
    whole = isinstance(iterations, (int, np.integer)) and not isinstance(iterations, bool)
    if iterations != "auto" and not (whole and iterations >= 1):
        raise ValueError(f"iterations must be 'auto' or a whole number from 1, not {iterations!r}.")
