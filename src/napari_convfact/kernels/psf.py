"""Theoretical PSFs of microscopes, sampled at an image's voxel size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.signal
from scipy.interpolate import CubicSpline

from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.kernels import geometry
from napari_convfact.kernels.focus import Focus, Lens
from napari_convfact.kernels.gaussian_fit import FWHM_PER_SIGMA
from napari_convfact.kernels.shapes import disk
from napari_convfact.kernels.sizes import odd_sizes

Modality = Literal["widefield", "confocal", "light sheet"]
MODALITIES: tuple[Modality, ...] = ("widefield", "confocal", "light sheet")

# Half the default extent, in axial and lateral widths of the emission.
_AXIAL_REACH = 2.5
_LATERAL_REACH = 4.0
# A pixel that is larger than this part of the lateral width is integrated over, in parts of
# that size; for a smaller one the integral and the middle differ by less than 0.5 %.
_LARGEST_PIXEL = 0.125
_ENERGY = 0.999


def theoretical_psf(voxel_size: Sequence[float], **options: Any) -> np.ndarray:
    """Return the PSF of an ideal microscope.

    Parameters
    ----------
    voxel_size : sequence of float
        z, y, x for a volume, or y, x for the plane in focus. All lengths are in one unit
        of choice, usually micrometres.
    na : float
        Numerical aperture of the objective.
    wavelength : float
        Of the emitted light, in vacuum.
    refractive_index : float
        Of the immersion medium and the sample; 1.33 by default.
    modality : {"widefield", "confocal", "light sheet"}
        Confocal multiplies the focus of the excitation by the emission's, blurred by the
        pinhole; light sheet multiplies the emission's by the sheet's Gaussian profile.
    excitation_wavelength : float, optional
        Of a confocal microscope; by default that of the emission.
    pinhole : float
        Diameter in Airy units (1.22 wavelength / NA of the emission); 1 by default.
    sheet_thickness : float, optional
        Full width at half maximum of a light sheet; necessary there.
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
        If a number is not positive, the aperture exceeds the refractive index, the size is
        even or the modality unknown.

    Notes
    -----
    Vectorial diffraction of unpolarized light by an aplanatic lens without aberrations
    (`Focus`). Where a pixel is larger than an eighth of the lateral width, the intensity is
    averaged over it.

    References
    ----------
    B. Richards and E. Wolf, Proc. R. Soc. A 253 (1959); F. Aguet, "Super-resolution
    fluorescence microscopy based on physical models", thesis, EPFL (2009).
    """
    return run(theoretical_psf_job(voxel_size, **options))


def theoretical_psf_job(
    voxel_size: Sequence[float],
    *,
    na: float,
    wavelength: float,
    refractive_index: float = 1.33,
    modality: Modality = "widefield",
    excitation_wavelength: float | None = None,
    pinhole: float = 1.0,
    sheet_thickness: float | None = None,
    size: int | Sequence[int] | None = None,
) -> Job[np.ndarray]:
    """Compute `theoretical_psf` plane by plane."""
    voxels = _check_voxel_size(voxel_size)
    emission = Lens(na, wavelength, refractive_index)
    excitation = Lens(na, excitation_wavelength or wavelength, refractive_index)
    _check_modality(modality, pinhole, sheet_thickness)
    # Two of its widths away, a light sheet is 1e-5 of its height.
    sheet_reach = 2 * sheet_thickness if sheet_thickness else np.inf
    half_widths = _half_widths(emission, voxels, len(voxel_size), size, sheet_reach)

    confocal = modality == "confocal"
    grid = _LateralGrid(half_widths[1:], voxels[1:], emission, pinhole if confocal else 0.0)
    yield Step(0, half_widths[0] + 1, "Preparing the diffraction integrals")
    depth = half_widths[0] * voxels[0]
    emitted = Focus(emission, grid.largest_radius, depth)
    excited = Focus(excitation, grid.largest_radius, depth) if confocal else None

    planes = []
    for i in range(half_widths[0] + 1):
        yield Step(i, half_widths[0] + 1, "Computing the PSF, plane by plane")
        z = i * voxels[0]
        plane = grid.sample(emitted.profile(z), excited.profile(z) if excited else None)
        if modality == "light sheet" and sheet_thickness:
            plane = plane * np.exp(-0.5 * (FWHM_PER_SIGMA * z / sheet_thickness) ** 2)
        planes.append(plane)
    psf = np.stack(planes[:0:-1] + planes)
    if size is None:
        psf = geometry.crop_to(psf, geometry.energy_half_widths(psf, _ENERGY))
    psf = psf if len(voxel_size) == 3 else psf[0]
    return (psf / psf.sum()).astype(np.float32)


class _LateralGrid:
    """The pixels of a plane, oversampled where they are coarse, and the pinhole on them."""

    def __init__(
        self,
        half_widths: Sequence[int],
        pixel: Sequence[float],
        emission: Lens,
        pinhole: float,
    ) -> None:
        largest = _LARGEST_PIXEL * emission.lateral_fwhm
        # Odd, so that the middle of a pixel is a sample.
        self._factors = [2 * int(np.ceil((p / largest - 1) / 2 - 1e-9)) + 1 for p in pixel]
        fine = [p / f for p, f in zip(pixel, self._factors, strict=True)]
        self._margins = [0, 0]
        self._aperture: np.ndarray | None = None
        if pinhole:
            radii = [pinhole * emission.airy_diameter / 2 / f for f in fine]
            self._aperture = disk(radii)
            self._margins = [n // 2 for n in self._aperture.shape]
        offsets = [
            (np.arange(n) - n // 2) * f
            for n, f in zip(self._fine_shape(half_widths), fine, strict=True)
        ]
        self._radius = np.hypot(offsets[0][:, np.newaxis], offsets[1])
        self.largest_radius = float(self._radius.max())

    def _fine_shape(self, half_widths: Sequence[int]) -> list[int]:
        sides = zip(half_widths, self._factors, self._margins, strict=True)
        return [(2 * h + 1) * f + 2 * m for h, f, m in sides]

    def sample(self, emitted: CubicSpline, excited: CubicSpline | None) -> np.ndarray:
        """Return the intensity in each pixel."""
        plane = emitted(self._radius)
        if self._aperture is not None:
            plane = scipy.signal.fftconvolve(plane, self._aperture, mode="valid")
        if excited is not None:
            rows, columns = self._margins
            inner = self._radius[rows : rows + plane.shape[0], columns : columns + plane.shape[1]]
            plane = plane * excited(inner)
        first, second = self._factors
        blocks = plane.reshape(plane.shape[0] // first, first, plane.shape[1] // second, second)
        average: np.ndarray = blocks.mean(axis=(1, 3)).clip(min=0)
        return average


def _check_voxel_size(voxel_size: Sequence[float]) -> tuple[float, float, float]:
    sizes = np.asarray(voxel_size, dtype=float)
    if sizes.shape not in ((2,), (3,)) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(
            "voxel_size must be two (y, x) or three (z, y, x) positive numbers, "
            f"not {voxel_size!r}."
        )
    z, y, x = sizes if len(sizes) == 3 else (1.0, *sizes)
    return float(z), float(y), float(x)


def _check_modality(modality: str, pinhole: float, sheet_thickness: float | None) -> None:
    if modality not in MODALITIES:
        raise ValueError(f"modality must be one of {', '.join(MODALITIES)}, not {modality!r}.")
    if modality == "confocal" and not pinhole > 0:
        raise ValueError(f"pinhole must be positive, not {pinhole!r}.")
    if modality == "light sheet" and not (sheet_thickness and sheet_thickness > 0):
        raise ValueError("A light sheet needs its sheet_thickness: a positive length.")


def _half_widths(
    lens: Lens,
    voxels: tuple[float, float, float],
    ndim: int,
    size: int | Sequence[int] | None,
    sheet_reach: float,
) -> tuple[int, ...]:
    if size is not None:
        sizes = odd_sizes(size, ndim)
        return tuple(n // 2 for n in (*(1,) * (3 - ndim), *sizes))
    depth = min(_AXIAL_REACH * lens.axial_fwhm, sheet_reach) if ndim == 3 else 0.0
    radius = max(_LATERAL_REACH * lens.lateral_fwhm, depth * lens.cone_slope)
    reach = (depth, radius, radius)
    return tuple(int(np.ceil(r / v)) for r, v in zip(reach, voxels, strict=True))
