"""Measure a PSF from an image of beads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.foundation.scale import to_unit_scale
from napari_convfact.foundation.validate import check_image
from napari_convfact.kernels import bead_averaging as averaging
from napari_convfact.kernels import bead_detection as detection
from napari_convfact.kernels.gaussian_fit import GaussianPeak, fit_gaussian
from napari_convfact.kernels.sizes import odd_sizes, per_axis

_ALIGNMENTS = 3
# Half the default size in widths, the first that leaves enough beads: a larger box holds more
# of the PSF's tails, but more beads touch the edge.
_HALF_SIZES = (2.5, 2.0, 1.5)
_ENOUGH_BEADS = 8
# No other spot within this many widths of a bead.
_ISOLATION = 2.5
# Of a bead, a Gaussian explains so much of the variance around the peak, and its width is that
# of the spots up to this factor.
_EXPLAINED = 0.5
_OTHER_WIDTH = 2.0

# Positions of the beads, and how many spots were left out for which reason.
Choice = tuple[np.ndarray, dict[str, int]]


@dataclass(frozen=True)
class BeadReport:
    """How a PSF was measured; ``str()`` of it is for the user.

    Attributes
    ----------
    n_beads : int
        Beads that were averaged.
    positions : tuple of tuple of float
        Their centres, in voxels of the image.
    rejected : dict
        Reason to number of spots that were left out.
    fwhm : tuple of float
        Full width at half maximum of the PSF along each axis, in voxels, from a Gaussian
        fitted to it.
    fwhm_physical : tuple of float or None
        The same in the unit of the voxel size.
    signal_to_noise : float
        Peak of the averaged bead over the standard deviation of its background.
    background : float
        Mean level that was subtracted from the image.
    shape : tuple of int
        Size of the PSF.
    unit : str
        Unit of `fwhm_physical`; may be empty.
    notes : tuple of str
        Further remarks, in sentences.
    like_a_bead : bool
        Whether the average is one spot of about the width that was measured first.
    """

    n_beads: int
    positions: tuple[tuple[float, ...], ...]
    rejected: dict[str, int]
    fwhm: tuple[float, ...]
    fwhm_physical: tuple[float, ...] | None
    signal_to_noise: float
    background: float
    shape: tuple[int, ...]
    unit: str = ""
    notes: tuple[str, ...] = ()
    like_a_bead: bool = True

    def __str__(self) -> str:
        beads = "1 bead was" if self.n_beads == 1 else f"{self.n_beads} beads were"
        left_out = [f"{number} {reason}" for reason, number in self.rejected.items() if number]
        sentences = [
            f"{beads} averaged" + (f" ({', '.join(left_out)}: left out)." if left_out else "."),
            f"Width at half maximum: {_numbers(self.fwhm)} voxels{self._physical()}.",
            f"The peak is {self.signal_to_noise:.0f} times the noise{self._quality()}.",
        ]
        return " ".join((*sentences, *self.notes))

    def _physical(self) -> str:
        if self.fwhm_physical is None:
            return ""
        return f", that is {_numbers(self.fwhm_physical)} {self.unit}".rstrip()

    def _quality(self) -> str:
        if not self.like_a_bead:
            return ", but it does not look like a bead: put points on beads, and nowhere else"
        if self.signal_to_noise >= 100:
            return ": good"
        if self.signal_to_noise >= 30:
            return ": usable, more beads would make it smoother"
        return ": noisy, average more or brighter beads"


def psf_from_beads(
    image: Any,
    points: Any = None,
    *,
    size: int | Sequence[int] | None = None,
    voxel_size: float | Sequence[float] | None = None,
    unit: str = "",
) -> tuple[np.ndarray, BeadReport]:
    """Measure a PSF by averaging beads.

    Beads are found (or refined, if points are given), aligned to a fraction of a voxel by
    cross-correlation with their average, averaged in proportion to their brightness, and
    freed from background. What does not stand out of the noise is set to zero.

    Parameters
    ----------
    image : array_like
        Real, 2-D or 3-D, of beads smaller than the PSF.
    points : array_like, optional
        ``(n, ndim)`` approximate positions of the beads in voxels. By default they are
        found: isolated spots that fit into the image, are not saturated and look alike.
    size : int or sequence of int, optional
        Size of the PSF in voxels, odd; by default five widths along each axis,
        or down to three where that makes more beads usable.
    voxel_size : float or sequence of float, optional
        Only for the report: widths are then given in its unit too.
    unit : str
        The unit of the voxel size, for the report.

    Returns
    -------
    psf : numpy.ndarray
        float32, non-negative, of sum 1 and odd size; its peak (after smoothing by half a
        width, so that noise does not move it) is at index ``n // 2``.
    report : BeadReport
        Number and positions of the beads, widths, quality.

    Raises
    ------
    ValueError
        If the image is not 2-D or 3-D or not finite, an option is not legal, or there is
        no bead to be used.
    """
    return run(psf_from_beads_job(image, points, size=size, voxel_size=voxel_size, unit=unit))


def psf_from_beads_job(
    image: Any,
    points: Any = None,
    *,
    size: int | Sequence[int] | None = None,
    voxel_size: float | Sequence[float] | None = None,
    unit: str = "",
) -> Job[tuple[np.ndarray, BeadReport]]:
    """Measure a PSF as `psf_from_beads` does, step by step."""
    total = 3 + _ALIGNMENTS
    checked = check_image(image, ndim=2)
    data = checked.data
    if data.ndim > 3:
        raise ValueError(
            f"Beads are measured in 2-D or 3-D, but the image has {data.ndim} axes: "
            "choose one time point and one channel."
        )
    # float32 has no squares of 1e-23 and 1e20.
    data, exponent = to_unit_scale(data)
    seeds = _check_points(points, data)
    saturation = float(data.max()) if np.asarray(image).dtype.kind in "iu" else None
    spacing = None if voxel_size is None else per_axis(voxel_size, data.ndim, "voxel_size")
    sizes = None if size is None else odd_sizes(size, data.ndim)

    yield Step(0, total, "Looking for beads")
    fwhm = detection.estimate_fwhm(data, seeds)
    yield Step(0, total, f"Looking for beads of {_numbers(fwhm)} voxels")
    spots = detection.find_spots(data, fwhm)
    twice = 0
    if seeds is not None:
        marked = len(seeds)
        seeds = _different(_refine(seeds, spots.smoothed, fwhm))
        twice = marked - len(seeds)
    isolation = tuple(int(np.ceil(_ISOLATION * w)) for w in fwhm)

    def choose(half: tuple[int, ...]) -> Choice:
        if seeds is not None:
            return detection.inside(seeds, data.shape, half)
        return detection.select_beads(spots, data, half, isolation, saturation)

    half, (beads, rejected) = _choose_size(sizes, fwhm, choose)
    rejected["marked twice"] = twice
    if not len(beads):
        raise ValueError(_no_beads(rejected, half, data.shape))

    yield Step(1, total, f"Aligning {len(beads)} beads")
    outside = averaging.outside_spots(data.shape, spots.positions, half)
    background = averaging.measure_background(data, outside)
    noise = averaging.measure_noise(data, outside) / math.sqrt(len(beads))
    signal = data - background
    if seeds is None:
        beads, rejected["unlike the others"] = averaging.keep_alike(signal, beads, half)
    centers = beads.astype(float)
    for iteration in range(_ALIGNMENTS):
        centers = averaging.align_beads(signal, centers, fwhm)
        yield Step(2 + iteration, total, f"Aligning {len(beads)} beads")
    # The beads agree with each other; now the peak of their average comes to the middle.
    centers += averaging.find_peak(averaging.average_beads(signal, centers, half), fwhm) - half
    average = averaging.average_beads(signal, centers, half)
    if average[half] <= 0:
        raise ValueError(
            "What the points mark is not brighter than its surroundings: put them on beads."
        )
    peak = fit_gaussian(average, half, fwhm)
    yield Step(2 + _ALIGNMENTS, total, "Removing the noise floor")
    psf = averaging.keep_significant(average, fwhm, spots.noise / math.sqrt(len(beads)))
    report = BeadReport(
        n_beads=len(beads),
        positions=tuple(tuple(round(float(c), 3) for c in center) for center in centers),
        rejected=rejected,
        fwhm=peak.fwhm,
        fwhm_physical=spacing and tuple(w * s for w, s in zip(peak.fwhm, spacing, strict=True)),
        # Without noise, rounding errors stand for it.
        signal_to_noise=peak.amplitude / max(noise, 1e-9 * peak.amplitude),
        background=math.ldexp(float(background.mean()), exponent),
        shape=psf.shape,
        unit=unit,
        notes=checked.notes,
        like_a_bead=_like_a_bead(peak, fwhm),
    )
    return (psf / psf.sum()).astype(np.float32), report


def _like_a_bead(peak: GaussianPeak, fwhm: Sequence[float]) -> bool:
    ratios = np.asarray(peak.fwhm) / fwhm
    widths_agree = bool((ratios < _OTHER_WIDTH).all() and (ratios > 1 / _OTHER_WIDTH).all())
    return peak.amplitude > 0 and peak.explained > _EXPLAINED and widths_agree


def _check_points(points: Any, data: np.ndarray) -> np.ndarray | None:
    if points is None:
        return None
    seeds = np.atleast_2d(np.asarray(points, dtype=float))
    if seeds.ndim != 2 or seeds.shape[1] != data.ndim or not len(seeds):
        raise ValueError(
            f"The points must be a table of {data.ndim} columns, one per axis of the image, "
            f"not of shape {np.shape(points)}."
        )
    whole = np.round(seeds).astype(int)
    if (whole < 0).any() or (whole >= data.shape).any():
        raise ValueError(
            f"A point lies outside the image of {data.shape} voxels: points are given in voxels."
        )
    return whole


def _choose_size(
    sizes: tuple[int, ...] | None,
    fwhm: Sequence[float],
    choose: Callable[[tuple[int, ...]], Choice],
) -> tuple[tuple[int, ...], Choice]:
    """Return half-widths and the beads they leave; the sizes the user gave, if any."""
    if sizes is not None:
        half = tuple(s // 2 for s in sizes)
        return half, choose(half)
    halves = [tuple(int(np.ceil(factor * w)) for w in fwhm) for factor in _HALF_SIZES]
    choices = [(half, choose(half)) for half in halves]
    most = max(len(beads) for _, (beads, _) in choices)
    enough = max(1, min(_ENOUGH_BEADS, most))
    return next((c for c in choices if len(c[1][0]) >= enough), choices[-1])


def _no_beads(rejected: dict[str, int], half: tuple[int, ...], shape: tuple[int, ...]) -> str:
    found = [f"{number} {reason}" for reason, number in rejected.items() if number]
    spots = (
        f"the spots that were found are unusable ({', '.join(found)})" if found else "none found"
    )
    box = " x ".join(str(2 * h + 1) for h in half)
    return (
        f"No bead can be measured with a PSF of {box} voxels in an image of "
        f"{' x '.join(map(str, shape))}: {spots}. Give a smaller size, or points on the beads."
    )


def _refine(seeds: np.ndarray, smoothed: np.ndarray, fwhm: Sequence[float]) -> np.ndarray:
    """Move points to the brightest voxel within a width."""
    refined = []
    reach = np.ceil(fwhm).astype(int)
    for seed in seeds:
        low = np.maximum(seed - reach, 0)
        near = smoothed[tuple(slice(a, b) for a, b in zip(low, seed + reach + 1, strict=True))]
        refined.append(low + np.unravel_index(near.argmax(), near.shape))
    return np.array(refined)


def _different(positions: np.ndarray) -> np.ndarray:
    """Return each position once: two points on a bead do not make it two beads."""
    _, first = np.unique(positions, axis=0, return_index=True)
    return positions[np.sort(first)]


def _numbers(values: Sequence[float]) -> str:
    return " x ".join(f"{v:.3g}" for v in values)
