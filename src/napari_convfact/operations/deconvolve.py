"""Deconvolve: the operation behind the widget, the command line and recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.parameters import Field, Parameters
from napari_convfact.operations.voxels import voxel_size

if TYPE_CHECKING:
    from napari_convfact.deconvolution.deconvolve import Deconvolution

_REGULARIZED = ("tikhonov", "wiener")
# Padded float32 volumes at the peak: direct filters, conjugate gradients, Richardson-Lucy.
_DIRECT, _ITERATIVE, _MULTIPLICATIVE = 7, 13, 9
_VOLUMES = {
    ("tikhonov", True): _ITERATIVE,
    ("tikhonov", False): _DIRECT,
    ("wiener", True): _ITERATIVE,
    ("wiener", False): _DIRECT,
    ("pseudo-inverse", True): _DIRECT,
    ("pseudo-inverse", False): _DIRECT,
    ("richardson-lucy", True): _MULTIPLICATIVE,
    ("richardson-lucy", False): _MULTIPLICATIVE,
}


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
            "At most so many. auto: 50 for least squares; richardson-lucy stops when held-out "
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
    missing: Annotated[
        Literal["error", "fill"],
        Field(
            "Missing values",
            "NaN and infinite values: refuse them, or fill them from their neighbours and put "
            "them back into the result.",
            advanced=True,
        ),
    ] = "error"
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
    device: Annotated[
        str,
        Field(
            "Device",
            "auto, cpu, cuda, cuda:1 or mps.",
            advanced=True,
            suggestions=("auto", "cpu", "cuda", "mps"),
        ),
    ] = "auto"


def job(inputs: Mapping[str, SpatialImage], parameters: Deconvolve) -> Job[list[Result]]:
    """Deconvolve ``inputs["image"]`` with ``inputs["psf"]``."""
    image, psf = inputs["image"], inputs["psf"]
    _check(image, psf)
    yield Step(0, 0, "Preparing the PSF")
    from napari_convfact.deconvolution.deconvolve import deconvolve_job

    kernel, report = _prepare(image, psf, parameters)
    data = _colour_planes(image)
    result = yield from deconvolve_job(
        data,
        kernel,
        method=parameters.method,
        boundary=parameters.boundary,
        prior=parameters.prior,
        strength=parameters.strength,
        rcond=parameters.rcond,
        iterations=parameters.iterations,
        accelerate=parameters.accelerate,
        background=parameters.background,
        read_noise=parameters.read_noise,
        total_variation=parameters.total_variation,
        missing=parameters.missing,
        device=parameters.device,
    )
    estimate, notes = _like_source(result.estimate, image)
    summary = _summary(result, report, notes)
    results = [
        Result(
            estimate,
            f"{image.name} deconvolved",
            rgb=image.rgb,
            summary=summary,
        )
    ]
    if parameters.residual:
        results.append(_residual(data, kernel, result, image, parameters))
    if parameters.spectrum:
        results.extend(_spectra(data, kernel, result, parameters))
    return results


def _check(image: SpatialImage, psf: SpatialImage) -> None:
    if psf.rgb:
        raise ValueError(f"The PSF {psf.name} is a colour image: choose a single-channel layer.")
    ndim = len(_kernel_shape(psf))
    if ndim > image.ndim:
        raise ValueError(
            f"The PSF {psf.name} has {ndim} axes and the image {image.name} only {image.ndim}: "
            "use a PSF with as many axes as the image has in space."
        )


def _kernel_shape(psf: SpatialImage) -> tuple[int, ...]:
    """Return the PSF's shape without leading axes of one sample."""
    shape = tuple(psf.data.shape)
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _prepare(
    image: SpatialImage, psf: SpatialImage, parameters: Deconvolve
) -> tuple[np.ndarray, list[str]]:
    """Centre, clean and resample the PSF; say in words what was done."""
    from napari_convfact.kernels.prepare import prepare_kernel

    shape = _kernel_shape(psf)
    words = []
    own = wanted = None
    if parameters.match_voxels:
        own, wanted = voxel_size(psf, len(shape)), voxel_size(image, len(shape))
        if own is None or wanted is None:
            own = wanted = None
            words.append("The voxel size of image or PSF is not known: they are taken as equal.")
    kernel, report = prepare_kernel(
        np.asarray(psf.data).reshape(shape),
        center=parameters.center,
        voxel_size=own,
        target_voxel_size=wanted,
    )
    return kernel, [str(report), *words]


def _colour_planes(image: SpatialImage) -> Any:
    """Return the data with colours (not alpha) as the leading axis."""
    if not image.rgb:
        return image.data
    return np.moveaxis(np.asarray(image.data)[..., :3], -1, 0)


def _like_source(estimate: np.ndarray, image: SpatialImage) -> tuple[np.ndarray, list[str]]:
    """Put colours back where they were; viewers show colour in its own integer type only."""
    if not image.rgb:
        return estimate, []
    colours = np.moveaxis(estimate, 0, -1)
    source = np.asarray(image.data)
    notes = []
    if source.dtype.kind == "u":
        top = np.iinfo(source.dtype).max
        clipped = float(np.mean((colours < 0) | (colours > top)))
        colours = np.rint(colours.clip(0, top)).astype(source.dtype)
        notes.append(f"Colours were rounded to {source.dtype}; {clipped:.2%} were clipped.")
    return np.concatenate([colours, source[..., 3:].astype(colours.dtype)], axis=-1), notes


def _summary(result: Deconvolution, report: list[str], notes: list[str]) -> dict[str, Any]:
    message = " ".join([result.message, *notes]).strip()
    return {
        "strength": result.strength,
        "rule": result.rule,
        "iterations": result.iterations,
        "converged": result.converged,
        "kernel": " ".join(report),
        "message": message,
    }


def plan(inputs: Mapping[str, SpatialImage], parameters: Deconvolve) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    image, psf = inputs["image"], inputs["psf"]
    _check(image, psf)
    kernel = _kernel_shape(psf)
    ndim = len(kernel)
    shape = tuple(image.data.shape[: image.ndim])
    axes = ", ".join(image.axis_labels[-ndim:])
    text = f"{ndim}-D over {axes} ({_times(shape[-ndim:])}), PSF {_times(kernel)}."
    frames = math.prod(shape[:-ndim]) * (3 if image.rgb else 1)
    if frames > 1:
        text += f" {frames} frames or channels, one after the other."
    text += f" {choose_device(parameters.device).reason}"
    # Float32 volumes that are alive at the peak, for one frame and for the whole stack.
    per_frame = _VOLUMES[parameters.method, parameters.boundary == "extended"]
    padded = math.prod(n + k for n, k in zip(shape[-ndim:], kernel, strict=True))
    memory = 4.0 * (per_frame * padded + 2 * frames * math.prod(shape[-ndim:]))
    return Plan(text, memory)


def _times(shape: Sequence[int]) -> str:
    return " × ".join(str(n) for n in shape)


OPERATION = Operation(
    name="deconvolve",
    title="Deconvolve",
    summary="Undo the blur of a point spread function.",
    parameters=Deconvolve,
    inputs=(
        Input("image", "Image", "The blurred image."),
        Input("psf", "PSF", "The point spread function, a kernel layer.", kind="kernel"),
    ),
    job=job,
    plan=plan,
)
