"""Theoretical PSFs of microscopes, sampled at an image's voxel size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.kernels import geometry
from napari_convfact.kernels.focus import Focus
from napari_convfact.kernels.gaussian_fit import FWHM_PER_SIGMA
from napari_convfact.kernels.microscope import Lens, Microscope
from napari_convfact.kernels.shapes import disk
from napari_convfact.kernels.sizes import odd_sizes, per_axis

# Half the default extent, in axial and lateral widths of the emission.
_AXIAL_REACH = 2.5
_LATERAL_REACH = 4.0
# A pixel that is larger than this part of the lateral width is integrated over, in parts of
# that size; for a smaller one the integral and the middle differ by less than 0.5 %.
_LARGEST_PIXEL = 0.125
_ENERGY = 0.999
# Where the brightest point of the axis is first looked for.
_STEPS_PER_FWHM = 8
# Voxels larger than so many widths see a point; mostly they are in nanometres.
_MOST_WIDTHS = 50


def theoretical_psf(
    microscope: Microscope, voxel_size: Sequence[float], *, size: int | Sequence[int] | None = None
) -> np.ndarray:
    """Return the PSF of a microscope.

    Parameters
    ----------
    microscope : Microscope
        Its optics.
    voxel_size : sequence of float
        z, y, x for a volume, or y, x for the plane in focus, in the microscope's unit.
    size : int or sequence of int, optional
        Odd, in voxels. By default the PSF is computed as far as 2.5 of its axial widths and
        its light cone there, and cropped to 99.9 % of that energy.

    Returns
    -------
    numpy.ndarray
        float32, of unit sum and odd size, centred at ``n // 2``.

    Raises
    ------
    ValueError
        If a voxel size is not positive, or so large that its unit must be another than the
        wavelength's, or the size is even.

    Notes
    -----
    Vectorial diffraction of unpolarized light by an aplanatic lens (`Focus`). Where a pixel is
    larger than an eighth of the lateral width, the intensity is averaged over it.

    In a sample with an index of its own the planes are centred at the brightest point of the
    axis. They are those of a stack in which the focus moves from the cover glass into the
    sample, in steps of the objective or the stage; turn the PSF over along z for the other
    direction.

    References
    ----------
    B. Richards and E. Wolf, Proc. R. Soc. A 253 (1959); S. F. Gibson and F. Lanni, J. Opt. Soc.
    Am. A 9 (1992); F. Aguet, "Super-resolution fluorescence microscopy based on physical
    models", thesis, EPFL (2009).

    Examples
    --------
    >>> microscope = Microscope(na=0.8, wavelength=0.52, modality="confocal")
    >>> theoretical_psf(microscope, (0.2, 0.1), size=9).shape
    (9, 9)
    """
    return run(theoretical_psf_job(microscope, voxel_size, size=size))


def theoretical_psf_job(
    microscope: Microscope, voxel_size: Sequence[float], *, size: int | Sequence[int] | None = None
) -> Job[np.ndarray]:
    """Compute `theoretical_psf` plane by plane."""
    dz, *pixel = _three_axes(voxel_size)
    n_planes, *widths = (n // 2 + 1 for n in (1, *psf_shape(microscope, voxel_size, size))[-3:])
    yield Step(0, n_planes, "Preparing the diffraction integrals")
    confocal = microscope.modality == "confocal"
    grid = _LateralGrid(
        [w - 1 for w in widths], pixel, microscope.emission, microscope.pinhole if confocal else 0.0
    )
    lens = microscope.emission
    reach = (n_planes - 1) * dz + 2 * lens.axial_spread
    emitted = Focus(lens, grid.largest_radius, reach)
    excited = Focus(microscope.excitation, grid.largest_radius, reach) if confocal else None
    focus = _best_focus(lens, emitted, excited) if lens.aberrated else 0.0

    planes = []
    first = 1 - n_planes if lens.aberrated else 0  # both sides are alike without aberration
    for i in range(first, n_planes):
        yield Step(i - first, n_planes - first, "Computing the PSF, plane by plane")
        z = focus + i * dz
        plane = grid.sample(emitted.profile(z), excited.profile(z) if excited else None)
        planes.append(plane * _sheet(microscope, i * dz))
    psf = np.stack(planes if lens.aberrated else planes[:0:-1] + planes)
    if size is None:
        psf = geometry.crop_to(psf, geometry.energy_half_widths(psf, _ENERGY))
    psf = psf if len(voxel_size) == 3 else psf[0]
    return (psf / psf.sum()).astype(np.float32)


def psf_shape(
    microscope: Microscope, voxel_size: Sequence[float], size: int | Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the size to which a PSF is computed, before it is cropped to its energy."""
    voxels = _three_axes(voxel_size)
    ndim = len(voxel_size)
    lens = microscope.emission
    _check_voxels(lens, voxels, ndim)
    if size is not None:
        return odd_sizes(size, ndim)
    depth = _AXIAL_REACH * lens.axial_fwhm + lens.axial_spread if ndim == 3 else 0.0
    if microscope.modality == "light-sheet" and microscope.sheet_thickness:
        # Two of its widths away, a light sheet is 1e-5 of its height.
        depth = min(depth, 2 * microscope.sheet_thickness)
    radius = max(_LATERAL_REACH * lens.lateral_fwhm, depth * lens.cone_slope)
    reach = (depth, radius, radius)
    shape = (2 * int(np.ceil(r / v)) + 1 for r, v in zip(reach, voxels, strict=True))
    return tuple(shape)[-ndim:]


def _best_focus(lens: Lens, emitted: Focus, excited: Focus | None) -> float:
    """Return the defocus at which the axis is brightest."""
    from scipy.optimize import minimize_scalar

    def darkness(defocus: float) -> float:
        return -emitted.on_axis(defocus) * (excited.on_axis(defocus) if excited else 1.0)

    step = lens.axial_fwhm / _STEPS_PER_FWHM
    count = int(np.ceil((lens.axial_spread + lens.axial_fwhm) / step))
    coarse = np.arange(-count, count + 1) * step
    start = coarse[np.argmin([darkness(defocus) for defocus in coarse])]
    found = minimize_scalar(darkness, bounds=(start - step, start + step), method="bounded")
    return float(found.x)


def psf_bytes(microscope: Microscope, voxel_size: Sequence[float], shape: Sequence[int]) -> float:
    """Return about how much memory a PSF takes: its planes, and the fine samples of one."""
    pixel = _three_axes(voxel_size)[1:]
    factors = _oversampling(pixel, microscope.emission)
    fine = math.prod(n * f for n, f in zip(shape[-2:], factors, strict=True))
    # float64 planes, their stack, and the crop of it; radius, emission, excitation, product
    return 8.0 * (3 * math.prod(shape) + 4 * fine)


def _oversampling(pixel: Sequence[float], emission: Lens) -> list[int]:
    """Return in how many parts each pixel is integrated along y and x."""
    largest = _LARGEST_PIXEL * emission.lateral_fwhm
    # Odd, so that the middle of a pixel is a sample.
    return [2 * int(np.ceil((p / largest - 1) / 2 - 1e-9)) + 1 for p in pixel]


def _check_voxels(lens: Lens, voxels: Sequence[float], ndim: int) -> None:
    widths = (lens.axial_fwhm, lens.lateral_fwhm, lens.lateral_fwhm)
    for voxel, width in list(zip(voxels, widths, strict=True))[-ndim:]:
        if voxel > _MOST_WIDTHS * width:
            raise ValueError(
                f"A voxel size of {voxel:g} is {voxel / width:.0f} times the width of the PSF, "
                f"{width:.3g}: check that it is in the unit of the wavelength."
            )


def _sheet(microscope: Microscope, z: float) -> float:
    if microscope.modality != "light-sheet" or not microscope.sheet_thickness:
        return 1.0
    return float(np.exp(-0.5 * (FWHM_PER_SIGMA * z / microscope.sheet_thickness) ** 2))


class _LateralGrid:
    """The pixels of a plane, oversampled where they are coarse, and the pinhole on them."""

    def __init__(
        self,
        half_widths: Sequence[int],
        pixel: Sequence[float],
        emission: Lens,
        pinhole: float,
    ) -> None:
        self._factors = _oversampling(pixel, emission)
        fine = [p / f for p, f in zip(pixel, self._factors, strict=True)]
        self._margins = [0, 0]
        self._aperture: np.ndarray | None = None
        if pinhole:
            radii = [pinhole * emission.airy_diameter / 2 / f for f in fine]
            self._aperture = disk(radii)
            self._margins = [n // 2 for n in self._aperture.shape]
        shape = self._fine_shape(half_widths)
        offsets = [np.arange(n // 2 + 1) * f for n, f in zip(shape, fine, strict=True)]
        # One quarter is computed, the others are mirrored.
        self._radius = np.hypot(offsets[0][:, np.newaxis], offsets[1])
        self._mirrored = np.ix_(*(np.abs(np.arange(n) - n // 2) for n in shape))
        self.largest_radius = float(self._radius.max())

    def _fine_shape(self, half_widths: Sequence[int]) -> list[int]:
        sides = zip(half_widths, self._factors, self._margins, strict=True)
        return [(2 * h + 1) * f + 2 * m for h, f, m in sides]

    def sample(self, emitted: CubicSpline, excited: CubicSpline | None) -> np.ndarray:
        """Return the intensity in each pixel."""
        plane = emitted(self._radius)[self._mirrored]
        if self._aperture is not None:
            # Takes half a second to import, which a form that only asks for the size would feel.
            from scipy.signal import fftconvolve

            plane = fftconvolve(plane, self._aperture, mode="valid")
        if excited is not None:
            rows, columns = self._margins
            plane = (
                plane
                * excited(self._radius)[self._mirrored][
                    rows : rows + plane.shape[0], columns : columns + plane.shape[1]
                ]
            )
        first, second = self._factors
        blocks = plane.reshape(plane.shape[0] // first, first, plane.shape[1] // second, second)
        average: np.ndarray = blocks.mean(axis=(1, 3)).clip(min=0)
        return average


def _three_axes(voxel_size: Sequence[float]) -> tuple[float, ...]:
    """Return z, y, x; one plane has no extent along z."""
    if len(voxel_size) not in (2, 3):
        raise ValueError(f"voxel_size must be (y, x) or (z, y, x), not {voxel_size!r}.")
    return (1.0, *per_axis(voxel_size, len(voxel_size), "voxel_size"))[-3:]
