"""Microscopes as data: what a theoretical PSF depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Modality = Literal["widefield", "confocal", "light-sheet"]
MODALITIES: tuple[Modality, ...] = ("widefield", "confocal", "light-sheet")


@dataclass(frozen=True)
class Lens:
    """An aplanatic objective without aberrations. Lengths are in one unit of choice.

    Attributes
    ----------
    na : float
        Numerical aperture.
    wavelength : float
        In vacuum.
    refractive_index : float
        Of the immersion and the sample.
    """

    na: float
    wavelength: float
    refractive_index: float

    def __post_init__(self) -> None:
        for name in ("na", "wavelength", "refractive_index"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}.")
        if self.na >= self.refractive_index:
            raise ValueError(
                f"The numerical aperture {self.na:g} must be below the refractive index "
                f"{self.refractive_index:g}: check the immersion medium."
            )

    @property
    def lateral_fwhm(self) -> float:
        """Width of the Airy pattern, ``0.51 wavelength / NA``."""
        return 0.51 * self.wavelength / self.na

    @property
    def axial_fwhm(self) -> float:
        """Textbook width along z, ``0.88 wavelength / (n - sqrt(n^2 - NA^2))``."""
        n = self.refractive_index
        return 0.88 * self.wavelength / float(n - np.sqrt(n**2 - self.na**2))

    @property
    def airy_diameter(self) -> float:
        """Diameter of the first dark ring, ``1.22 wavelength / NA``: one Airy unit."""
        return 1.22 * self.wavelength / self.na

    @property
    def cone_slope(self) -> float:
        """Radius of the geometric light cone per unit of depth."""
        return float(np.tan(np.arcsin(self.na / self.refractive_index)))


@dataclass(frozen=True)
class Microscope:
    """A microscope without aberrations. Lengths are in one unit, usually micrometres.

    Attributes
    ----------
    na : float
        Numerical aperture of the detection objective.
    wavelength : float
        Of the emitted light, in vacuum.
    refractive_index : float
        Of the immersion medium and the sample.
    modality : {"widefield", "confocal", "light-sheet"}
        A confocal microscope multiplies the focus of the excitation by the emission's,
        blurred by the pinhole; a light sheet multiplies the emission's by its Gaussian profile.
    excitation_wavelength : float or None
        Of a confocal microscope; None takes that of the emission.
    pinhole : float
        Diameter in Airy units (1.22 wavelength / NA of the emission).
    sheet_thickness : float or None
        Full width at half maximum of the light sheet.

    Raises
    ------
    ValueError
        If a number is not positive, the aperture exceeds the refractive index, the modality
        is unknown or a light sheet has no thickness.
    """

    na: float
    wavelength: float
    refractive_index: float = 1.33
    modality: Modality = "widefield"
    excitation_wavelength: float | None = None
    pinhole: float = 1.0
    sheet_thickness: float | None = None

    def __post_init__(self) -> None:
        _ = self.emission, self.excitation  # a lens checks its numbers
        if self.modality not in MODALITIES:
            raise ValueError(
                f"modality must be one of {', '.join(MODALITIES)}, not {self.modality!r}."
            )
        if self.modality == "confocal" and not self.pinhole > 0:
            raise ValueError(f"pinhole must be positive, not {self.pinhole!r}.")
        if self.modality == "light-sheet" and not (self.sheet_thickness or 0) > 0:
            raise ValueError("A light sheet needs its sheet_thickness: a positive length.")

    @property
    def emission(self) -> Lens:
        """The objective, for the light that is detected."""
        return Lens(self.na, self.wavelength, self.refractive_index)

    @property
    def excitation(self) -> Lens:
        """The objective, for the light that excites."""
        wavelength = self.excitation_wavelength or self.wavelength
        return Lens(self.na, wavelength, self.refractive_index)
