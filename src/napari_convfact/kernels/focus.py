"""The focus of a lens: intensity by vectorial diffraction, as a function of radius and depth."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import jv

from napari_convfact.kernels.microscope import Lens

# Samples of the radius per period of the finest fringe, for interpolation to 1e-6.
_RADII_PER_FRINGE = 24


class Focus:
    """Intensity of unpolarized light in planes near the focus of a lens.

    Parameters
    ----------
    lens : Lens
        The lens.
    largest_radius, largest_depth : float
        The region in which it will be asked for.

    Notes
    -----
    The diffraction integrals I0, I1, I2 are evaluated by Gauss-Legendre quadrature. The
    average over all directions of polarization is ``|I0|^2 + 2 |I1|^2 + |I2|^2``, which
    is symmetric about the axis.

    References
    ----------
    B. Richards and E. Wolf, "Electromagnetic diffraction in optical systems II",
    Proc. R. Soc. A 253 (1959).
    """

    def __init__(self, lens: Lens, largest_radius: float, largest_depth: float) -> None:
        self._wavenumber = 2 * np.pi * lens.refractive_index / lens.wavelength
        largest_angle = float(np.arcsin(lens.na / lens.refractive_index))
        fringe = lens.wavelength / (2 * lens.na)
        count = int(np.ceil(_RADII_PER_FRINGE * largest_radius / fringe)) + 8
        self._radii = np.arange(count) * fringe / _RADII_PER_FRINGE
        cycles = largest_depth * (1 - np.cos(largest_angle)) + self._radii[-1] * np.sin(
            largest_angle
        )
        n_nodes = 32 + int(np.ceil(self._wavenumber * cycles))
        nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
        angle = (nodes + 1) * largest_angle / 2
        self._cosine = np.cos(angle)
        sine = np.sin(angle)
        # The square root of the cosine keeps the energy of a plane wave (aplanatic lens).
        weight = weights * largest_angle / 2 * np.sqrt(self._cosine) * sine
        argument = self._wavenumber * np.outer(self._radii, sine)
        self._integrands = (
            jv(0, argument) * (weight * (1 + self._cosine)),
            jv(1, argument) * (weight * sine),
            jv(2, argument) * (weight * (1 - self._cosine)),
        )

    def profile(self, depth: float) -> CubicSpline:
        """Return the intensity at a depth as a function of the radius."""
        phase = np.exp(1j * self._wavenumber * depth * (self._cosine - 1))
        squares = [np.abs(integrand @ phase) ** 2 for integrand in self._integrands]
        # I1 carries a factor 2 in the field, so 4 in the intensity; half of it is averaged away.
        intensity = squares[0] + 2 * squares[1] + squares[2]
        # The slope vanishes on the axis; the far end lies beyond what is asked for.
        return CubicSpline(self._radii, intensity, bc_type="clamped")
