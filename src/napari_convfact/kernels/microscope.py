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
    """An aplanatic objective that looks into a sample. Lengths are in one unit of choice.

    Attributes
    ----------
    na : float
        Numerical aperture.
    wavelength : float
        In vacuum.
    refractive_index : float
        Of the immersion, and of the cover glass that the objective is made for.
    sample_index : float or None
        Of the sample; None takes that of the immersion.
    depth : float
        Of the emitter below the cover glass.
    """

    na: float
    wavelength: float
    refractive_index: float
    sample_index: float | None = None
    depth: float = 0.0

    def __post_init__(self) -> None:
        for name in ("na", "wavelength", "refractive_index"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}.")
        if self.sample_index is not None and not 0 < self.sample_index < math.inf:
            raise ValueError(f"sample_index must be positive, not {self.sample_index!r}.")
        if not (self.depth >= 0 and np.isfinite(self.depth)):
            raise ValueError(f"depth must be a length from 0, not {self.depth!r}.")
        if self.na >= self.refractive_index:
            raise ValueError(
                f"The numerical aperture {self.na:g} must be below the refractive index "
                f"{self.refractive_index:g}: check the immersion medium."
            )

    @property
    def sample(self) -> float:
        """Refractive index of the sample."""
        return self.refractive_index if self.sample_index is None else self.sample_index

    @property
    def aberrated(self) -> bool:
        """Whether the sample refracts the light on its way to the emitter's depth."""
        return self.depth > 0 and self.sample != self.refractive_index

    @property
    def aperture(self) -> float:
        """Numerical aperture of the light that leaves the sample: beyond is total reflection."""
        return min(self.na, self.sample) if self.aberrated else self.na

    @property
    def lateral_fwhm(self) -> float:
        """Width of the Airy pattern, ``0.51 wavelength / NA``."""
        return 0.51 * self.wavelength / self.aperture

    @property
    def axial_fwhm(self) -> float:
        """Textbook width along z, ``0.88 wavelength / (n - sqrt(n^2 - NA^2))``."""
        n = self.refractive_index
        return 0.88 * self.wavelength / float(n - np.sqrt(n**2 - self.aperture**2))

    @property
    def airy_diameter(self) -> float:
        """Diameter of the first dark ring, ``1.22 wavelength / NA``: one Airy unit."""
        return 1.22 * self.wavelength / self.na

    @property
    def cone_slope(self) -> float:
        """Radius of the geometric light cone per unit of defocus."""
        return float(np.tan(np.arcsin(self.aperture / self.refractive_index)))

    @property
    def axial_spread(self) -> float:
        """How far the foci of the axis's and of nearly all other rays lie apart, in defocus.

        The rays are those within nine tenths of the aperture; the last ones of a larger
        aperture than the sample's index would meet nowhere.
        """
        if not self.aberrated:
            return 0.0
        sine = 0.9 * self.aperture / np.array([self.refractive_index, self.sample])
        immersion, sample = np.sqrt(1 - sine**2)
        paraxial = self.depth * self.refractive_index / self.sample
        return float(abs(paraxial * (immersion / sample - 1)))


@dataclass(frozen=True)
class Microscope:
    """A microscope. Lengths are in one unit, usually micrometres.

    Attributes
    ----------
    na : float
        Numerical aperture of the detection objective.
    wavelength : float
        Of the emitted light, in vacuum.
    refractive_index : float
        Of the immersion medium, and of the sample if that has none of its own.
    modality : {"widefield", "confocal", "light-sheet"}
        A confocal microscope multiplies the focus of the excitation by the emission's,
        blurred by the pinhole; a light sheet multiplies the emission's by its Gaussian profile.
    excitation_wavelength : float or None
        Of a confocal microscope; None takes that of the emission.
    pinhole : float
        Diameter in Airy units (1.22 wavelength / NA of the emission).
    sheet_thickness : float or None
        Full width at half maximum of the light sheet.
    sample_index : float or None
        Refractive index of the sample, where it is another than the immersion's: light from
        below the cover glass is then focused with spherical aberration.
    depth : float
        Of what is imaged below the cover glass.

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
    sample_index: float | None = None
    depth: float = 0.0

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
        return self._lens(self.wavelength)

    @property
    def excitation(self) -> Lens:
        """The objective, for the light that excites."""
        return self._lens(self.excitation_wavelength or self.wavelength)

    def _lens(self, wavelength: float) -> Lens:
        return Lens(self.na, wavelength, self.refractive_index, self.sample_index, self.depth)
