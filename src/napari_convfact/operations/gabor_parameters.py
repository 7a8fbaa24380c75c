"""Parameters of the Gabor bank: what the form, the flags and recipes offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_convfact.operations.parameters import Field, Parameters
from napari_convfact.operations.shared_parameters import Device

_CUSTOM = {"preset": ("none",)}


def _result(label: str, help_text: str) -> Field:
    """Return the field of a tick box that asks for a result."""
    return Field(label, help_text, group="Results")


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
        bool, _result("Energies", "Squared magnitudes: a stack by scale and orientation.")
    ] = True
    colours: Annotated[
        bool,
        _result(
            "Orientation as colour",
            "Hue: direction of the wave. Saturation: coherence. Brightness: strength.",
        ),
    ] = True
    strongest: Annotated[
        bool, _result("Strongest response", "The largest energy of all kernels.")
    ] = False
    orientation: Annotated[
        bool, _result("Orientation", "Angle of the dominant wave in radians, from +x towards +y.")
    ] = False
    coherence: Annotated[
        bool, _result("Coherence", "From 0, no orientation stands out, to 1, a grating.")
    ] = False
    phase: Annotated[
        bool, _result("Phase", "Phases in radians: a stack by scale and orientation.")
    ] = False
    kernels: Annotated[bool, _result("Kernels", "The kernels' real parts, as layers.")] = False
    coverage: Annotated[
        bool, _result("Coverage", "How well the bank sees each frequency; zero is in the middle.")
    ] = False
    reconstruction: Annotated[
        bool, _result("Reconstruction", "Weight the responses and go back to an image.")
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
