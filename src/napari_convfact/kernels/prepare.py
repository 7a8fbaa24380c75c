"""Make a kernel ready to be convolved with: centre, background, sum, size, voxel size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_convfact.foundation.memory import memory_budget
from napari_convfact.foundation.validate import check_float32, check_kernel, check_psf
from napari_convfact.kernels import geometry
from napari_convfact.kernels.background import estimate_background
from napari_convfact.kernels.sizes import per_axis

Center = Literal["peak", "centroid", "keep"]

# Of a sample at the peak: the spline's in and out, and magnitudes, in float64.
_BYTES = 32


@dataclass(frozen=True)
class KernelReport:
    """What `prepare_kernel` did; ``str()`` of it is for the user.

    Attributes
    ----------
    shape_before, shape : tuple of int
        Sizes.
    shift : tuple of float
        How far the centre was moved to come to index ``n // 2``, in the samples of the input.
    background : float
        What was subtracted.
    lost_energy : float
        Fraction of the sum that the crop cut off.
    voxel_size_before, voxel_size : tuple of float or None
        Voxel sizes, None where they were not given.
    notes : tuple of str
        Further remarks, in sentences.
    """

    shape_before: tuple[int, ...]
    shape: tuple[int, ...]
    shift: tuple[float, ...]
    background: float
    lost_energy: float
    voxel_size_before: tuple[float, ...] | None = None
    voxel_size: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((*self._sentences(), *self.notes))

    @property
    def resampled(self) -> bool:
        """Whether the voxel size was changed."""
        return self.voxel_size_before != self.voxel_size

    def _sentences(self) -> list[str]:
        moved = any(abs(s) >= 5e-4 for s in self.shift)
        sentences = [
            f"The centre was moved by {_numbers(self.shift, '+.3g')} voxels to the middle."
            if moved
            else "The centre was in the middle already."
        ]
        if self.background:
            sentences.append(f"A background of {self.background:.4g} was removed.")
        if self.resampled and self.voxel_size_before and self.voxel_size:
            sentences.append(
                f"It was resampled from voxels of {_numbers(self.voxel_size_before, '.4g')} "
                f"to {_numbers(self.voxel_size, '.4g')}."
            )
        if self.shape != self.shape_before:
            lost = (
                f", which lost {100 * self.lost_energy:.2f} % of its energy"
                if self.lost_energy >= 5e-5
                else ""
            )
            sizes = f"{_numbers(self.shape_before, 'd')} to {_numbers(self.shape, 'd')}"
            sentences.append(f"Its size went from {sizes}{lost}.")
        return sentences


def prepare_kernel(
    kernel: Any,
    *,
    center: Center = "peak",
    background: float | Literal["auto"] | None = "auto",
    normalize: bool = True,
    energy: float = 0.999,
    voxel_size: Sequence[float] | float | None = None,
    target_voxel_size: Sequence[float] | float | None = None,
) -> tuple[np.ndarray, KernelReport]:
    """Make a kernel ready to be convolved with.

    In this order: the background is subtracted, negative values are clipped, the centre is
    found, the kernel is sampled around it (anew if the voxel size changes, otherwise only if
    the centre is not on a sample), cropped to the energy, and divided by its sum.

    Parameters
    ----------
    kernel : array_like
        Real and finite, of any number of axes and any size. It is not changed.
    center : {"peak", "centroid", "keep"}
        What comes to index ``n // 2`` of each axis: the largest value (a whole shift), the
        centre of mass (a fractional one, by a cubic spline), or what is there. Nothing
        wraps around: the kernel is padded with zeros.
    background : float, "auto" or None
        A constant to subtract. "auto" takes the darkest outer part of the kernel if it is
        level (see `estimate_background`), and nothing from filter kernels.
    normalize : bool
        True for PSFs: negative values are set to zero and the sum becomes 1. False for
        filter kernels, whose sum may be zero or negative: values keep their size and sign,
        "peak" and "centroid" refer to magnitudes, and only zeros are cut off.
    energy : float
        Fraction of the sum that the crop of a PSF keeps, in (0, 1]; 1 cuts off zeros only.
    voxel_size, target_voxel_size : float or sequence of float, optional
        The kernel's voxel size and the image's, in the same unit, one number or one per
        axis. If both are given and differ, the kernel is interpolated by a cubic spline.

    Returns
    -------
    kernel : numpy.ndarray
        float32, of odd size along each axis, centred at ``n // 2``.
    report : KernelReport
        What was done.

    Raises
    ------
    ValueError
        If the kernel is empty, complex, not finite or zero, if it is to be normalized and
        has no positive sum, if an option is not legal, or if the voxel sizes differ so much
        that the resampled kernel does not fit in memory.
    """
    _check_options(center, energy)
    values = check_kernel(kernel)
    shape_before = values.shape
    before = None if voxel_size is None else per_axis(voxel_size, values.ndim, "voxel_size")
    target = (
        None
        if target_voxel_size is None
        else per_axis(target_voxel_size, values.ndim, "target_voxel_size")
    )
    values, removed, notes = _remove_background(values, background, normalize)
    if normalize:
        values, clipped = check_psf(values)
        # Below a subtracted background, negative values are noise: no news to the user.
        notes += () if removed else clipped
    elif not values.any():
        raise ValueError("The kernel is zero everywhere: choose the layer that holds the kernel.")
    middle = _find_center(np.abs(values), center)
    shift = tuple(n // 2 - m for n, m in zip(shape_before, middle, strict=True))
    steps = _steps(values.shape, before, target)
    _check_samples(values.shape, steps)
    values = _sample(values, middle, steps, normalize)
    # Without its smallest values, a filter kernel would no longer have its sum.
    values, lost, hints = _finish(values, energy if normalize else 1.0, normalize)
    report = KernelReport(
        shape_before=shape_before,
        shape=values.shape,
        shift=shift,
        background=removed,
        lost_energy=lost,
        voxel_size_before=before,
        voxel_size=target if before and target else before,
        notes=notes + hints,
    )
    check_float32(values)
    return values.astype(np.float32), report


def _check_options(center: str, energy: float) -> None:
    if center not in ("peak", "centroid", "keep"):
        raise ValueError(f"center must be 'peak', 'centroid' or 'keep', not {center!r}.")
    if not 0 < energy <= 1:
        raise ValueError(f"energy must be above 0 and at most 1, not {energy!r}.")


def _remove_background(
    values: np.ndarray, background: float | Literal["auto"] | None, normalize: bool
) -> tuple[np.ndarray, float, tuple[str, ...]]:
    if background is None or (background == "auto" and not normalize):
        return values, 0.0, ()
    note = ""
    if background == "auto":
        level, note = estimate_background(values)
    else:
        level = float(background)
    if level and values.max() <= level:
        raise ValueError(
            f"A background of {level:.4g} leaves nothing of the kernel, whose largest value "
            f"is {values.max():.4g}: give a smaller one."
        )
    return values - level, level, (note,) if note else ()


def _find_center(weights: np.ndarray, center: str) -> tuple[float, ...]:
    if center == "peak":
        return geometry.peak_position(weights)
    if center == "centroid":
        return geometry.centroid(weights)
    return tuple(n // 2 for n in weights.shape)


def _steps(
    shape: tuple[int, ...],
    before: tuple[float, ...] | None,
    target: tuple[float, ...] | None,
) -> tuple[float, ...]:
    """Return the new sample distance in old ones; an axis of one sample has no extent."""
    if before is None or target is None:
        return (1.0,) * len(shape)
    ratios = zip(shape, before, target, strict=True)
    return tuple(1.0 if n == 1 or np.isclose(b, t) else t / b for n, b, t in ratios)


def _check_samples(shape: tuple[int, ...], steps: tuple[float, ...]) -> None:
    """Refuse what no memory holds: mostly one of the voxel sizes has the wrong unit."""
    sizes = [n if s == 1 else math.ceil(n / s) for n, s in zip(shape, steps, strict=True)]
    if math.prod(sizes) > math.prod(shape) and _BYTES * math.prod(sizes) > memory_budget():
        raise ValueError(
            f"At the image's voxel size the kernel would have {_numbers(sizes, '.3g')} voxels, "
            "more than fit in memory: check both voxel sizes and their units."
        )


def _sample(
    values: np.ndarray, middle: tuple[float, ...], steps: tuple[float, ...], normalize: bool
) -> np.ndarray:
    extents = zip(values.shape, middle, steps, strict=True)
    # One more sample than the kernel reaches: a spline ends a little later than its data.
    half_widths = [int(np.ceil((max(m, n - 1 - m)) / s)) + (n > 1) for n, m, s in extents]
    sampled = geometry.sample_around(values, middle, half_widths, steps)
    sampled *= np.prod(steps)
    if normalize:
        sampled[sampled < 0] = 0
    else:
        # A filter kernel need not end in zeros: what the spline puts beyond the grid comes
        # back, or a Laplacian would answer to a constant image.
        sampled += (values.sum() - sampled.sum()) * _shares(sampled)
    return sampled


def _shares(values: np.ndarray) -> np.ndarray:
    """Return magnitudes as parts of their sum, or zeros if that is zero."""
    weights = np.abs(values)
    return np.asarray(weights / (weights.sum() or 1.0))


def _finish(
    values: np.ndarray, energy: float, normalize: bool
) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """Crop and normalize; return the kernel, the lost fraction and hints."""
    weights = np.abs(values)
    cropped = geometry.crop_to(values, geometry.energy_half_widths(weights, energy))
    lost = max(0.0, 1 - float(np.abs(cropped).sum() / weights.sum()))
    hints: tuple[str, ...] = ()
    if normalize:
        cropped = cropped / cropped.sum()
        if values.size > 1 and cropped.max() > 0.9:
            hints = ("Nearly all of it is in one voxel: at this voxel size it does not blur.",)
    return cropped, lost, hints


def _numbers(values: Sequence[float], spec: str) -> str:
    separator = " x " if spec == "d" else ", "
    return separator.join(format(v, spec) for v in values)
