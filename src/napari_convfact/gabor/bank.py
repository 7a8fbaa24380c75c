"""Make a Gabor bank from what users know: frequencies, octaves, bandwidths, or a preset."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, get_args

import numpy as np

from napari_convfact.gabor.directions import check_directions, spread_directions
from napari_convfact.gabor.kernels import GaborBank, Normalization, Radial
from napari_convfact.gabor.presets import preset_arguments

#: Octaves that a bandwidth may have; beyond them its arithmetic ends.
_NARROWEST, _WIDEST = 1e-3, 32.0

#: Arguments that say the same thing in different words: giving one drops a preset's others.
_GROUPS = (
    {"frequencies", "wavelengths", "highest", "n_scales", "octave_spacing"},
    {"orientations", "n_orientations"},
    {"bandwidth", "sigma"},
)


P = ParamSpec("P")


def _beside_a_preset(make: Callable[P, GaborBank]) -> Callable[P, GaborBank]:
    """Let the arguments that are given win over the preset's, also where they are the default."""

    @functools.wraps(make)
    def choose(*args: P.args, **given: P.kwargs) -> GaborBank:
        preset = given.pop("preset", None)
        if preset is not None:
            given.update(_with_preset(given, str(preset)))
        return make(*args, **given)

    return choose


@_beside_a_preset
def gabor_bank(
    *,
    frequencies: Sequence[float] | None = None,
    wavelengths: Sequence[float] | None = None,
    highest: float = 0.354,
    n_scales: int = 5,
    octave_spacing: float = 1.0,
    n_orientations: int = 8,
    orientations: Any = None,
    bandwidth: float = 1.0,
    sigma: float | Sequence[float] | None = None,
    aspect: float | None = None,
    phase: float = 0.0,
    dc_free: bool = True,
    normalize: Normalization = "peak",
    radial: Radial = "gabor",
    ndim: int = 2,
    preset: str | None = None,
) -> GaborBank:
    """Make a bank of complex Gabor kernels.

    A kernel is ``exp(i (2 pi f u + phase))`` under a Gaussian, where u is the distance along
    its wave vector.

    Parameters
    ----------
    frequencies : sequence of float, optional
        Cycles per pixel, at most 0.5, one for each scale.
    wavelengths : sequence of float, optional
        Pixels per cycle, instead of `frequencies`.
    highest : float
        The first scale's frequency, where neither is given.
    n_scales : int
        Number of scales below `highest`, itself included.
    octave_spacing : float
        Octaves from one scale to the next.
    n_orientations : int
        Number of orientations, spread evenly: in 2-D ``pi * i / n_orientations``, in 3-D
        over the half sphere.
    orientations : array_like, optional
        Instead: radians ``(n,)`` of the wave vector in the plane of the last two axes, from
        +x towards +y (rows go down), or wave vectors ``(n, ndim)`` in the order of the axes.
    bandwidth : float
        Width in octaves at half the peak.
    sigma : float or sequence of float, optional
        Standard deviation of the Gaussian along the wave vector in pixels, for all scales or
        for each, instead of `bandwidth`.
    aspect : float, optional
        Standard deviation across the wave vector over that along it. By default
        neighbouring orientations cross at half their peak.
    phase : float
        Phase of the wave at the origin, in radians.
    dc_free : bool
        Subtract from each kernel the multiple of its Gaussian that makes it sum to zero, so
        that constants give no response.
    normalize : {"peak", "l2", "envelope"}
        What is 1: the largest gain (a grating of amplitude 1 then has magnitude 1/2), the
        kernel's energy, or the height of its Gaussian.
    radial : {"gabor", "log-gabor"}
        Profile over the frequency: Gaussian, or Gaussian over its logarithm, which has no
        response to constants and a longer tail to high frequencies.
    ndim : {2, 3}
        Number of spatial axes.
    preset : {"lee1996", "manjunath", "ibsi"}, optional
        Take the arguments from the literature; see `preset_arguments`. Arguments that are
        given beside it win.

    Returns
    -------
    GaborBank

    Raises
    ------
    ValueError
        If an argument is out of range or contradicts another one.

    References
    ----------
    J. G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and
    orientation optimized by two-dimensional visual cortical filters", JOSA A 2 (1985).
    T. S. Lee, "Image representation using 2D Gabor wavelets", IEEE TPAMI 18 (1996).
    D. J. Field, "Relations between the statistics of natural images and the response
    properties of cortical cells", JOSA A 4 (1987).

    Examples
    --------
    >>> bank = gabor_bank(wavelengths=[4, 8], n_orientations=6)
    >>> bank.shape
    (2, 6)
    """
    del preset  # its arguments are among the others
    return _make(
        frequencies=frequencies,
        wavelengths=wavelengths,
        highest=highest,
        n_scales=n_scales,
        octave_spacing=octave_spacing,
        n_orientations=n_orientations,
        orientations=orientations,
        bandwidth=bandwidth,
        sigma=sigma,
        aspect=aspect,
        phase=phase,
        dc_free=dc_free,
        normalize=normalize,
        radial=radial,
        ndim=ndim,
    )


def _with_preset(arguments: Mapping[str, Any], preset: str) -> dict[str, Any]:
    values = preset_arguments(preset)
    given = {name: value for name, value in arguments.items() if value is not None}
    for group in _GROUPS:
        if group & given.keys():
            values = {name: value for name, value in values.items() if name not in group}
    return values | given


def _make(
    *,
    frequencies: Sequence[float] | None,
    wavelengths: Sequence[float] | None,
    highest: float,
    n_scales: int,
    octave_spacing: float,
    n_orientations: int,
    orientations: Any,
    bandwidth: float,
    sigma: float | Sequence[float] | None,
    aspect: float | None,
    phase: float,
    dc_free: bool,
    normalize: Normalization,
    radial: Radial,
    ndim: int,
) -> GaborBank:
    if ndim not in (2, 3):
        raise ValueError(f"ndim must be 2 or 3, not {ndim!r}.")
    _check_choice("normalize", normalize, get_args(Normalization))
    _check_choice("radial", radial, get_args(Radial))
    if radial == "log-gabor" and (sigma is not None or normalize == "envelope"):
        raise ValueError("A log-Gabor kernel has no Gaussian envelope: give a bandwidth instead.")
    _check_positive("bandwidth", bandwidth)
    if not _NARROWEST <= bandwidth <= _WIDEST:
        raise ValueError(
            f"bandwidth must be from {_NARROWEST:g} to {_WIDEST:g} octaves, not {bandwidth!r}."
        )
    if not math.isfinite(phase):
        raise ValueError(f"phase must be a number of radians, not {phase!r}.")
    scales = _frequencies(frequencies, wavelengths, highest, n_scales, octave_spacing)
    directions = _directions(orientations, n_orientations, ndim)
    along = _along(scales, bandwidth, sigma)
    across = _across(scales, along, aspect, _spacing(len(directions), ndim))
    return GaborBank(
        frequencies=scales,
        directions=directions,
        along=along,
        across=across,
        radial=radial,
        log_width=bandwidth * math.log(2) / 2 / math.sqrt(2 * math.log(2)),
        dc_free=bool(dc_free) or radial == "log-gabor",
        phase=float(phase),
        normalize=normalize,
    )


def _frequencies(
    frequencies: Sequence[float] | None,
    wavelengths: Sequence[float] | None,
    highest: float,
    n_scales: int,
    octave_spacing: float,
) -> tuple[float, ...]:
    if frequencies is not None and wavelengths is not None:
        raise ValueError("Give frequencies or wavelengths, not both.")
    if wavelengths is not None:
        _check_positive("wavelengths", *np.atleast_1d(wavelengths))
        frequencies = [1 / float(wavelength) for wavelength in np.atleast_1d(wavelengths)]
    if frequencies is None:
        _check_positive("octave_spacing", octave_spacing)
        _check_count("n_scales", n_scales)
        frequencies = [highest * 2 ** (-octave_spacing * scale) for scale in range(n_scales)]
    values = tuple(float(f) for f in np.atleast_1d(frequencies))
    if not values or not all(0 < f <= 0.5 for f in values):
        raise ValueError(
            "Frequencies must be above 0 and at most 0.5 cycles per pixel (wavelengths of at "
            f"least 2 pixels), not {', '.join(f'{f:g}' for f in values) or 'empty'}."
        )
    return values


def _directions(orientations: Any, n_orientations: int, ndim: int) -> np.ndarray:
    if orientations is not None:
        return check_directions(orientations, ndim)
    _check_count("n_orientations", n_orientations)
    return spread_directions(n_orientations, ndim)


def _along(
    frequencies: Sequence[float], bandwidth: float, sigma: float | Sequence[float] | None
) -> tuple[float, ...]:
    if sigma is None:
        ratio = 2.0**bandwidth
        cycles = math.sqrt(math.log(2) / 2) / math.pi * (ratio + 1) / (ratio - 1)
        return tuple(cycles / f for f in frequencies)
    values = np.atleast_1d(np.asarray(sigma, dtype=np.float64))
    if len(values) not in (1, len(frequencies)):
        raise ValueError(f"sigma has {len(values)} values for {len(frequencies)} scales.")
    _check_positive("sigma", *values)
    return tuple(map(float, np.broadcast_to(values, len(frequencies))))


def _across(
    frequencies: Sequence[float], along: Sequence[float], aspect: float | None, spacing: float
) -> tuple[float, ...]:
    if aspect is not None:
        _check_positive("aspect", aspect)
        return tuple(aspect * sigma for sigma in along)
    half = math.sin(spacing / 2)
    return tuple(math.sqrt(math.log(2) / 2) / (math.pi * f * half) for f in frequencies)


def _spacing(count: int, ndim: int) -> float:
    """Return the angle between neighbouring directions when `count` of them are spread."""
    if ndim == 2:
        return math.pi / count
    # The side of a square patch whose area is a direction's share of the half sphere.
    return min(math.pi / 2, math.sqrt(2 * math.pi / count))


def _check_positive(name: str, *values: float) -> None:
    for value in values:
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (number and value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a positive number, not {value!r}.")


def _check_count(name: str, value: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (whole and value >= 1):
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}.")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
