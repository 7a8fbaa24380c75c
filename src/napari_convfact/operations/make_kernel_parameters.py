"""The parameters of Make kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_convfact.operations.parameters import Field, Parameters

OPTICAL = ("theoretical-psf",)
FROM_IMAGE = ("beads", "region")
FLAT = ("motion", "gabor", "wavelet")
_BY_SIGMA = ("gaussian", "laplacian-of-gaussian")
_WITH_ANGLE = ("motion", "gabor")


@dataclass(frozen=True)
class MakeKernel(Parameters):
    """Parameters of a kernel."""

    kind: Annotated[
        Literal[
            "theoretical-psf",
            "beads",
            "region",
            "gaussian",
            "disk",
            "motion",
            "box",
            "delta",
            "laplacian-of-gaussian",
            "gabor",
            "wavelet",
        ],
        Field("Kernel", "What to make: by optics, from the image, or by formula."),
    ] = "theoretical-psf"
    modality: Annotated[
        Literal["widefield", "confocal", "light-sheet"],
        Field("Microscope", "How the light is excited and detected.", when={"kind": OPTICAL}),
    ] = "widefield"
    na: Annotated[
        float,
        Field(
            "Numerical aperture",
            "Of the detection objective.",
            minimum=0.01,
            maximum=1.7,
            step=0.05,
            when={"kind": OPTICAL},
        ),
    ] = 1.2
    refractive_index: Annotated[
        float,
        Field(
            "Refractive index",
            "Of the immersion: air 1, water 1.33, glycerol 1.47, oil 1.515.",
            minimum=1.0,
            maximum=2.0,
            step=0.005,
            when={"kind": OPTICAL},
        ),
    ] = 1.33
    sample_index: Annotated[
        float | Literal["auto"],
        Field(
            "Sample index",
            "Refractive index of the sample; auto takes the immersion's. Where the two differ, "
            "light from below the cover glass has spherical aberration.",
            minimum=1.0,
            maximum=2.0,
            step=0.005,
            when={"kind": OPTICAL},
            advanced=True,
        ),
    ] = "auto"
    depth: Annotated[
        float,
        Field(
            "Depth",
            "Of what is imaged below the cover glass.",
            minimum=0.0,
            maximum=10000,
            step=1.0,
            unit="um",
            when={"kind": OPTICAL},
            advanced=True,
        ),
    ] = 0.0
    reverse_z: Annotated[
        bool,
        Field(
            "Reverse z",
            "Tick if the first plane of the stack is the deepest; the PSF of a sample with an "
            "index of its own differs above and below.",
            when={"kind": OPTICAL},
            advanced=True,
        ),
    ] = False
    emission: Annotated[
        float,
        Field(
            "Emission",
            "Wavelength of the light that is detected.",
            minimum=100,
            maximum=5000,
            step=5,
            unit="nm",
            when={"kind": OPTICAL},
        ),
    ] = 520.0
    excitation: Annotated[
        float,
        Field(
            "Excitation",
            "Wavelength of the laser.",
            minimum=100,
            maximum=5000,
            step=5,
            unit="nm",
            when={"kind": OPTICAL, "modality": ("confocal",)},
        ),
    ] = 488.0
    pinhole: Annotated[
        float,
        Field(
            "Pinhole",
            "Diameter in Airy units, 1.22 wavelengths / NA.",
            minimum=0.01,
            maximum=20,
            step=0.1,
            unit="AU",
            when={"kind": OPTICAL, "modality": ("confocal",)},
        ),
    ] = 1.0
    sheet_thickness: Annotated[
        float,
        Field(
            "Sheet thickness",
            "Full width of the light sheet at half maximum.",
            minimum=0.01,
            maximum=1000,
            step=0.1,
            unit="um",
            when={"kind": OPTICAL, "modality": ("light-sheet",)},
        ),
    ] = 2.0
    pixel_size: Annotated[
        float | Literal["auto"],
        Field(
            "Pixel size",
            "Along y and x; auto takes the image's.",
            minimum=1e-4,
            maximum=1000,
            step=0.01,
            unit="um",
            when={"kind": OPTICAL},
        ),
    ] = "auto"
    z_step: Annotated[
        float | Literal["auto"],
        Field(
            "Step along z",
            "Distance between planes; auto takes the image's.",
            minimum=1e-4,
            maximum=1000,
            step=0.05,
            unit="um",
            when={"kind": OPTICAL},
        ),
    ] = "auto"
    points: Annotated[
        str,
        Field(
            "Beads",
            "Positions in voxels, as '24 82 75; 24 73 29'. Empty: they are found.",
            when={"kind": ("beads",)},
        ),
    ] = ""
    region: Annotated[
        str,
        Field(
            "Region",
            "First and last voxel along each axis, as '3:20, 40:72, 18:50'. ':' is the whole "
            "axis, empty the whole image.",
            when={"kind": ("region",)},
        ),
    ] = ""
    sigma: Annotated[
        float,
        Field(
            "Sigma",
            "Standard deviation.",
            minimum=0.1,
            maximum=200,
            step=0.5,
            unit="pixel",
            when={"kind": _BY_SIGMA},
        ),
    ] = 2.0
    radius: Annotated[
        float,
        Field(
            "Radius",
            "Of the disk, or of the ball in 3-D.",
            minimum=0.1,
            maximum=200,
            step=0.5,
            unit="pixel",
            when={"kind": ("disk",)},
        ),
    ] = 4.0
    length: Annotated[
        float,
        Field(
            "Length",
            "Of the path of the motion.",
            minimum=1,
            maximum=500,
            step=1,
            unit="pixel",
            when={"kind": ("motion",)},
        ),
    ] = 9.0
    wavelength: Annotated[
        float,
        Field(
            "Wavelength",
            "Of the Gabor kernel's wave.",
            minimum=2,
            maximum=200,
            step=1,
            unit="pixel",
            when={"kind": ("gabor",)},
        ),
    ] = 8.0
    angle: Annotated[
        float,
        Field(
            "Angle",
            "Direction of the motion or of the wave, from +x towards +y (down).",
            minimum=-360,
            maximum=360,
            step=5,
            unit="deg",
            when={"kind": _WITH_ANGLE},
        ),
    ] = 0.0
    phase: Annotated[
        Literal["even", "odd"],
        Field(
            "Phase",
            "even answers to lines, odd to edges.",
            when={"kind": ("gabor",)},
        ),
    ] = "even"
    band: Annotated[
        Literal["ll", "lh", "hl", "hh"],
        Field(
            "Band",
            "Filter along x, then along y: l is low-pass, h is high-pass (near_sym_a).",
            when={"kind": ("wavelet",)},
        ),
    ] = "ll"
    ndim: Annotated[
        int | Literal["auto"],
        Field(
            "Axes",
            "2 or 3; auto takes the image's, and 2 without an image.",
            minimum=2,
            maximum=3,
            advanced=True,
            when={"kind": (*OPTICAL, *_BY_SIGMA, "disk", "box", "delta")},
        ),
    ] = "auto"
    size: Annotated[
        int | Literal["auto"],
        Field(
            "Size",
            "Odd number of voxels along each axis; auto holds the kernel.",
            minimum=1,
            maximum=1025,
            step=2,
            unit="pixel",
            advanced=True,
            when={
                "kind": (
                    *OPTICAL,
                    "beads",
                    *_BY_SIGMA,
                    "disk",
                    "box",
                    "delta",
                    "motion",
                    "gabor",
                )
            },
        ),
    ] = "auto"
