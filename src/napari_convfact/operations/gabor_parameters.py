"""Parameters of the Gabor bank: what the form, the flags and recipes offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_convfact.operations.parameters import Field, Parameters
from napari_convfact.operations.shared_parameters import Device

_RESULTS = "Results"
_CUSTOM = {"preset": ("none",)}


@dataclass(frozen=True)
class Gabor(Parameters):
    """Parameters of a Gabor bank; see `napari_convfact.gabor_bank`."""

    preset: Annotated[
        Literal["none", "lee1996", "manjunath", "ibsi"],
        Field("Preset", "Take the bank from the literature, or none: set it below."),
    ] = "none"
    highest: Annotated[
        float,
        Field(
            "Highest frequency",
            "Frequency of the finest scale.",
            minimum=0.001,
            maximum=0.5,
            step=0.01,
            unit="cycles/pixel",
            when=_CUSTOM,
        ),
    ] = 0.354
    n_scales: Annotated[
        int,
        Field("Scales", "Number of frequencies.", minimum=1, maximum=12, when=_CUSTOM),
    ] = 5
    n_orientations: Annotated[
        int,
        Field("Orientations", "Number of orientations.", minimum=1, maximum=64, when=_CUSTOM),
    ] = 8
    bandwidth: Annotated[
        float,
        Field(
            "Bandwidth",
            "Width of each kernel's pass band at half its peak.",
            minimum=0.1,
            maximum=4.0,
            step=0.1,
            unit="octaves",
            when=_CUSTOM,
        ),
    ] = 1.0
    octave_spacing: Annotated[
        float,
        Field(
            "Spacing of scales",
            "Step from one scale's frequency to the next.",
            minimum=0.1,
            maximum=4.0,
            step=0.1,
            unit="octaves",
            advanced=True,
            when=_CUSTOM,
        ),
    ] = 1.0
    aspect: Annotated[
        float | None,
        Field(
            "Aspect",
            "Length of a kernel across its wave over that along it. None: neighbouring "
            "orientations cross at half their peak.",
            minimum=0.05,
            maximum=20.0,
            step=0.1,
            advanced=True,
            when=_CUSTOM,
        ),
    ] = None
    radial: Annotated[
        Literal["gabor", "log-gabor"],
        Field(
            "Profile",
            "Gaussian over the frequency, or over its logarithm.",
            advanced=True,
            when=_CUSTOM,
        ),
    ] = "gabor"
    dc_free: Annotated[
        bool,
        Field(
            "Zero mean",
            "Kernels sum to zero, so that constants give no response.",
            advanced=True,
            when=_CUSTOM,
        ),
    ] = True
    ndim: Annotated[
        int,
        Field(
            "Dimensions",
            "Filter planes (2) or volumes (3); further axes are independent.",
            minimum=2,
            maximum=3,
        ),
    ] = 2
    boundary: Annotated[
        Literal["reflect", "periodic", "zero"],
        Field("Boundary", "What lies beyond the edges.", advanced=True),
    ] = "reflect"
    energy: Annotated[
        bool,
        Field("Energies", "Squared magnitudes: a stack by scale and orientation.", group=_RESULTS),
    ] = True
    colours: Annotated[
        bool,
        Field(
            "Orientation as colour",
            "Hue: direction of the wave. Saturation: coherence. Brightness: strength.",
            group=_RESULTS,
        ),
    ] = True
    strongest: Annotated[
        bool, Field("Strongest response", "The largest energy of all kernels.", group=_RESULTS)
    ] = False
    orientation: Annotated[
        bool,
        Field(
            "Orientation",
            "Angle of the dominant wave in radians, from +x towards +y.",
            group=_RESULTS,
        ),
    ] = False
    coherence: Annotated[
        bool,
        Field("Coherence", "From 0, no orientation stands out, to 1, a grating.", group=_RESULTS),
    ] = False
    phase: Annotated[
        bool, Field("Phase", "Phases in radians: a stack by scale and orientation.", group=_RESULTS)
    ] = False
    kernels: Annotated[
        bool, Field("Kernels", "The kernels' real parts, as layers.", group=_RESULTS)
    ] = False
    coverage: Annotated[
        bool,
        Field(
            "Coverage",
            "How well the bank sees each frequency; zero is in the middle.",
            group=_RESULTS,
        ),
    ] = False
    reconstruction: Annotated[
        bool,
        Field("Reconstruction", "Weight the responses and go back to an image.", group=_RESULTS),
    ] = False
    scale_weights: Annotated[
        str,
        Field(
            "Weights of scales",
            "One number for each scale, the finest first, as '1, 1, 0.5'; empty: 1.",
            when={"reconstruction": (True,)},
        ),
    ] = ""
    orientation_weights: Annotated[
        str,
        Field(
            "Weights of orientations",
            "One number for each orientation, as '0, 1, 1, 1'; empty: 1.",
            when={"reconstruction": (True,)},
        ),
    ] = ""
    residual_weight: Annotated[
        float,
        Field(
            "Weight of the residual",
            "Of what no kernel sees: the mean and the lowest and highest frequencies.",
            minimum=-10.0,
            maximum=10.0,
            step=0.1,
            when={"reconstruction": (True,)},
        ),
    ] = 1.0
    device: Device = "auto"
