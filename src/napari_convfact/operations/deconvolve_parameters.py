"""The parameters of the operation Deconvolve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_convfact.operations.parameters import Field, Parameters
from napari_convfact.operations.shared_parameters import Device, Missing

_REGULARIZED = ("tikhonov", "wiener")


@dataclass(frozen=True)
class Deconvolve(Parameters):
    """Parameters of a deconvolution; see `napari_convfact.deconvolve`."""

    method: Annotated[
        Literal["tikhonov", "richardson-lucy", "wiener", "pseudo-inverse"],
        Field(
            "Method",
            "tikhonov: regularized least squares. richardson-lucy: for photon noise. "
            "wiener: one pass with a noise-to-signal ratio. pseudo-inverse: exact where the PSF "
            "lets light through, nothing elsewhere.",
        ),
    ] = "tikhonov"
    boundary: Annotated[
        Literal["extended", "reflect", "periodic", "zero"],
        Field(
            "Boundary",
            "What lies beyond the edges. extended: the scene goes on and is estimated too. "
            "reflect: a mirror image. periodic: the opposite edge. zero: nothing.",
        ),
    ] = "extended"
    strength: Annotated[
        float | Literal["auto"],
        Field(
            "Strength",
            "How much noise is held back: weight of the prior (tikhonov) or noise-to-signal "
            "power ratio (wiener). auto chooses it by generalized cross-validation.",
            minimum=1e-12,
            maximum=1e6,
            logarithmic=True,
            when={"method": _REGULARIZED},
        ),
    ] = "auto"
    prior: Annotated[
        Literal["gradient", "identity"],
        Field(
            "Prior",
            "What is held small: the differences of neighbours, or the values themselves.",
            advanced=True,
            when={"method": ("tikhonov",)},
        ),
    ] = "gradient"
    rcond: Annotated[
        float | None,
        Field(
            "Cut-off (rcond)",
            "Frequencies that the PSF passes with less than this share of its largest gain "
            "are cut. None takes the default.",
            minimum=1e-12,
            maximum=1.0,
            logarithmic=True,
            when={"method": ("pseudo-inverse",)},
        ),
    ] = None
    iterations: Annotated[
        int | Literal["auto"],
        Field(
            "Iterations",
            "At most so many. auto: 100 for least squares; richardson-lucy stops when held-out "
            "photons are predicted best.",
            minimum=1,
            maximum=100_000,
            when={"method": ("tikhonov", "wiener", "richardson-lucy")},
        ),
    ] = "auto"
    accelerate: Annotated[
        bool,
        Field(
            "Accelerate",
            "Extrapolate between iterations; the likelihood never gets worse by it.",
            advanced=True,
            when={"method": ("richardson-lucy",)},
        ),
    ] = True
    background: Annotated[
        float,
        Field(
            "Background",
            "Constant offset of the camera or of stray light, in intensity units.",
            minimum=0.0,
            advanced=True,
            when={"method": ("richardson-lucy",)},
        ),
    ] = 0.0
    read_noise: Annotated[
        float,
        Field(
            "Read noise variance",
            "Variance of the camera's read noise, in squared intensity units.",
            minimum=0.0,
            advanced=True,
            when={"method": ("richardson-lucy",)},
        ),
    ] = 0.0
    total_variation: Annotated[
        float,
        Field(
            "Total variation",
            "Weight of total-variation smoothing; 0.002 is a usual value, 0 is none.",
            minimum=0.0,
            maximum=1.0,
            step=0.001,
            advanced=True,
            when={"method": ("richardson-lucy",)},
        ),
    ] = 0.0
    warm_start: Annotated[
        bool,
        Field(
            "Warm start",
            "Begin each frame at the estimate of the one before, as suits a movie.",
            advanced=True,
            when={"method": ("richardson-lucy",)},
        ),
    ] = False
    keep_every: Annotated[
        int | None,
        Field(
            "Keep every",
            "Also return every so many estimates as a stack with a slider.",
            minimum=1,
            maximum=100_000,
            unit="iterations",
            advanced=True,
            when={"method": ("richardson-lucy",)},
        ),
    ] = None
    center: Annotated[
        Literal["peak", "centroid", "keep"],
        Field(
            "PSF centre",
            "What is put at the PSF's origin, so that the image does not move.",
            advanced=True,
        ),
    ] = "peak"
    match_voxels: Annotated[
        bool,
        Field(
            "Match voxel sizes",
            "Resample the PSF to the image's voxel size where the two differ.",
            advanced=True,
        ),
    ] = True
    missing: Missing = "error"
    residual: Annotated[
        bool,
        Field(
            "Residual layer",
            "Also return the image minus the blurred estimate.",
            advanced=True,
        ),
    ] = False
    spectrum: Annotated[
        bool,
        Field(
            "Show spectrum",
            "Also return the PSF's transfer function and the gain of the inverse.",
            advanced=True,
        ),
    ] = False
    engine: Annotated[
        Literal["auto", "fft", "fused"],
        Field(
            "Engine",
            "How convolutions are computed. auto takes what it measures to be faster: Fourier "
            "transforms, or fused passes for separable and small PSFs.",
            advanced=True,
        ),
    ] = "auto"
    device: Device = "auto"
