"""The focus of a lens: intensity by vectorial diffraction, as a function of radius and depth."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import jv, roots_legendre

from napari_convfact.kernels.microscope import Lens

# Samples of the radius per period of the finest fringe, for interpolation to 1e-6.
_RADII_PER_FRINGE = 24
# Rays that show how much the optical path differs among them.
_COARSE = 64


class Focus:
    """Intensity of unpolarized light around a point in a sample while a lens is focused.

    Parameters
    ----------
    lens : Lens
        The lens.
    largest_radius, largest_defocus : float
        The region in which it will be asked for.

    Notes
    -----
    The diffraction integrals I0, I1, I2 are evaluated by Gauss-Legendre quadrature. The
    average over all directions of polarization is ``|I0|^2 + 2 |I1|^2 + |I2|^2``, which
    is symmetric about the axis.

    With n the index of the immersion, m that of the sample, d the depth and u the defocus,
    by which the lens is moved towards the sample from where rays near the axis meet, the
    optical path is ``m d cos(b) - n (d n / m + u) cos(a)``: a and b are the angles of a ray
    in immersion and sample. Fresnel's coefficients weigh what passes between them.

    References
    ----------
    B. Richards and E. Wolf, "Electromagnetic diffraction in optical systems II",
    Proc. R. Soc. A 253 (1959).
    S. F. Gibson and F. Lanni, "Experimental test of an analytical model of aberration in an
    oil-immersion objective lens used in three-dimensional light microscopy", J. Opt. Soc. Am.
    A 9 (1992): the optical path, for an objective with the cover glass that it is made for.
    P. Török et al., "Electromagnetic diffraction of light focused through a planar interface
    between materials of mismatched refractive indices", J. Opt. Soc. Am. A 12 (1995).
    """

    def __init__(self, lens: Lens, largest_radius: float, largest_defocus: float) -> None:
        self._wavenumber = 2 * np.pi / lens.wavelength
        fringe = lens.wavelength / (2 * lens.aperture)
        count = int(np.ceil(_RADII_PER_FRINGE * largest_radius / fringe)) + 8
        self._radii = np.arange(count) * fringe / _RADII_PER_FRINGE
        coarse = _Rays(lens, _COARSE)
        path = np.ptp(coarse.aberration) + largest_defocus * np.ptp(coarse.defocus)
        cycles = path + self._radii[-1] * lens.aperture
        self._rays = _Rays(lens, 32 + int(np.ceil(self._wavenumber * cycles)))
        rays = self._rays
        argument = self._wavenumber * np.outer(self._radii, rays.transverse)
        self._integrands = tuple(
            jv(order, argument) * part for order, part in enumerate(rays.polarization)
        )

    def profile(self, defocus: float) -> CubicSpline:
        """Return the intensity at a defocus as a function of the radius."""
        phase = self._phase(defocus)
        squares = [np.abs(integrand @ phase) ** 2 for integrand in self._integrands]
        # I1 carries a factor 2 in the field, so 4 in the intensity; half of it is averaged away.
        intensity = squares[0] + 2 * squares[1] + squares[2]
        # The slope vanishes on the axis; the far end lies beyond what is asked for.
        return CubicSpline(self._radii, intensity, bc_type="clamped")

    def on_axis(self, defocus: float) -> float:
        """Return the intensity on the axis at a defocus."""
        return float(np.abs(self._rays.polarization[0] @ self._phase(defocus)) ** 2)

    def _phase(self, defocus: float) -> np.ndarray:
        path = self._rays.aberration + defocus * self._rays.defocus
        phase: np.ndarray = np.exp(1j * self._wavenumber * path)
        return phase


class _Rays:
    """Quadrature over the rays that leave the sample through the lens.

    Attributes
    ----------
    transverse : numpy.ndarray
        Index times sine of the angle, which refraction keeps.
    aberration, defocus : numpy.ndarray
        Optical path relative to the axis, by the sample and per unit of defocus.
    polarization : tuple of numpy.ndarray
        Weights in I0, I1 and I2.
    """

    def __init__(self, lens: Lens, count: int) -> None:
        n, m = lens.refractive_index, lens.sample if lens.aberrated else lens.refractive_index
        nodes, weights = roots_legendre(count)
        # By the angle in the thinner medium both cosines are smooth, up to total reflection.
        thinner = min(n, m)
        largest = float(np.arcsin(lens.aperture / thinner))
        angle = (nodes + 1) * largest / 2
        self.transverse = thinner * np.sin(angle)
        a, b = (np.sqrt(1 - (self.transverse / index) ** 2) for index in (n, m))
        steps = weights * largest / 2 * thinner * np.cos(angle) / (n * a)
        # The square root of the cosine keeps the energy of a plane wave (aplanatic lens).
        weight = steps * np.sqrt(a) * self.transverse / n
        across, along = 2 * n * a / (n * a + m * b), 2 * n * a / (m * a + n * b)
        self.polarization = (
            weight * (across + along * b),
            weight * along * self.transverse / m,
            weight * (across - along * b),
        )
        self.defocus = n * (1 - a)
        self.aberration = lens.depth * (m * (b - 1) - n**2 / m * (a - 1))
