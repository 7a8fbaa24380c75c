"""Gabor banks of the literature, as arguments of `gabor_bank`."""

from __future__ import annotations

import math
from typing import Any

PRESETS = ("lee1996", "manjunath", "ibsi")


def preset_arguments(name: str) -> dict[str, Any]:
    """Return the arguments of a named bank.

    Parameters
    ----------
    name : {"lee1996", "manjunath", "ibsi"}
        ``"lee1996"``: wavelets modelled on simple cells, twice as long across the wave as
        along it, 1.5 octaves wide, of unit energy. ``"manjunath"``: four scales from .05 to
        .4 cycles per pixel and six orientations whose spectra touch at half their peak, for
        texture retrieval. ``"ibsi"``: the filter of the Image Biomarker Standardisation
        Initiative's test 4.b for voxels of 2 mm (wavelength 4, sigma 10, gamma 5/2), at
        orientations every 22.5 degrees, with its mean kept and an envelope of height 1.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If there is no such bank.

    References
    ----------
    T. S. Lee, "Image representation using 2D Gabor wavelets", IEEE TPAMI 18 (1996).
    B. S. Manjunath and W. Y. Ma, "Texture features for browsing and retrieval of image data",
    IEEE TPAMI 18 (1996).
    P. Whybra et al., "The Image Biomarker Standardization Initiative: standardized
    convolutional filters", Radiology 310 (2024).
    """
    if name == "lee1996":
        return {"bandwidth": 1.5, "aspect": 2.0, "n_orientations": 8, "normalize": "l2"}
    if name == "manjunath":
        return _manjunath(low=0.05, high=0.4, n_scales=4, n_orientations=6)
    if name == "ibsi":
        return {
            "wavelengths": (4.0,),
            "sigma": 10.0,
            "aspect": 1 / 2.5,
            "n_orientations": 8,
            "dc_free": False,
            "normalize": "envelope",
        }
    raise ValueError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")


def _manjunath(low: float, high: float, n_scales: int, n_orientations: int) -> dict[str, Any]:
    ratio = (high / low) ** (1 / (n_scales - 1))
    two_log_two = 2 * math.log(2)
    radial = (ratio - 1) * high / ((ratio + 1) * math.sqrt(two_log_two))
    shift = high - two_log_two * radial**2 / high
    shrink = math.sqrt(two_log_two - (two_log_two * radial / high) ** 2)
    tangential = math.tan(math.pi / (2 * n_orientations)) * shift / shrink
    return {
        "frequencies": tuple(high / ratio**scale for scale in range(n_scales)),
        # Neighbouring scales touch at half their peak.
        "bandwidth": math.log2(ratio),
        "aspect": radial / tangential,
        "n_orientations": n_orientations,
    }
