"""The choices of a deconvolution, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_convfact.foundation.validate import Missing, check_count

Method = Literal["tikhonov", "wiener", "pseudo-inverse", "richardson-lucy"]
Boundary = Literal["extended", "reflect", "periodic", "zero"]
Prior = Literal["gradient", "identity"]
Dtype = Literal["float32", "float64"]
StrengthRule = Literal["auto", "discrepancy"]
Engine = Literal["auto", "fft", "fused"]

# Where a singular value of the PSF is no more than round-off.
_LEAST_RCOND = 1e-12

_LEAST_POSITIVE = math.ulp(0.0)

# Of weights, with room to be multiplied in float32, and of intensities.
_HEAVIEST, _BRIGHTEST = 1e30, 3.4e38


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
    warm_start: bool = False
    keep_every: int | None = None
    missing: Missing = "error"
    channel_axis: int | None = None
    engine: Engine = "auto"
    dtype: Dtype = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            _check_choice(name, getattr(self, name), allowed)
        if not isinstance(self.strength, str):
            check_strength(self.strength)
        elif self.strength not in ("auto", "discrepancy"):
            raise ValueError(
                f"strength must be auto, discrepancy or a positive number, not {self.strength!r}."
            )
        if self.rcond is not None:
            _check_number("rcond", self.rcond, least=_LEAST_RCOND, most=1)
        check_count("iterations", self.iterations, or_else="auto")
        if self.keep_every is not None:
            check_count("keep_every", self.keep_every)
        _check_number("tolerance", self.tolerance, least=_LEAST_POSITIVE)
        _check_number("background", self.background, least=-_BRIGHTEST, most=_BRIGHTEST)
        _check_number("read_noise", self.read_noise, least=0, most=_BRIGHTEST)
        _check_number("total_variation", self.total_variation, least=0, most=_HEAVIEST)
        _check_channel_axis(self.channel_axis)


_CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("tikhonov", "wiener", "pseudo-inverse", "richardson-lucy"),
    "boundary": ("extended", "reflect", "periodic", "zero"),
    "prior": ("gradient", "identity"),
    "missing": ("error", "fill"),
    "engine": ("auto", "fft", "fused"),
    "dtype": ("float32", "float64"),
}


def check_strength(value: Any, name: str = "strength") -> None:
    """Raise a ValueError unless a strength can be computed with."""
    _check_number(name, value, least=_LEAST_POSITIVE, most=_HEAVIEST)


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        *first, last = allowed
        raise ValueError(f"{name} must be {', '.join(first)} or {last}, not {value!r}.")


def _check_number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if number and math.isfinite(value) and least <= value <= most:
        return
    kind = "a number above 0" if least == _LEAST_POSITIVE else f"a number from {least:g}"
    if math.isfinite(most):
        kind += f" and at most {most:g}" if least == _LEAST_POSITIVE else f" to {most:g}"
    raise ValueError(f"{name} must be {kind}, not {value!r}.")


def _check_channel_axis(value: Any) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if value is not None and not whole:
        raise ValueError(f"channel_axis must be None or a whole number, not {value!r}.")
