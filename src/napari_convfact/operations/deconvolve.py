"""Deconvolve: the operation behind the widget, the command line and recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.colours import colours_first, colours_last
from napari_convfact.operations.deconvolve_parameters import Deconvolve
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.voxels import voxel_size

if TYPE_CHECKING:
    from napari_convfact.deconvolution.deconvolve import Deconvolution

# Parameters of the form and the command line that are not arguments of `deconvolve`.
_OF_THE_FACES = ("center", "match_voxels", "residual", "spectrum")
# Padded float32 volumes at the peak, as measured: direct filters, conjugate gradients,
# Richardson-Lucy with an automatic stop. The image and the result come on top.
_DIRECT, _ITERATIVE, _MULTIPLICATIVE = 5, 11.5, 11
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


def job(inputs: Mapping[str, SpatialImage], parameters: Deconvolve) -> Job[list[Result]]:
    """Deconvolve ``inputs["image"]`` with ``inputs["psf"]``."""
    image, psf = inputs["image"], inputs["psf"]
    check_inputs(image, psf)
    yield Step(0, 0, "Preparing the PSF")
    from napari_convfact.deconvolution.deconvolve import deconvolve_job

    kernel, report = prepare_psf(image, psf, parameters)
    data = colours_first(image, kernel.ndim)
    found = yield from deconvolve_job(data, kernel, **solver_options(parameters))
    estimate, notes = colours_last(found.estimate, image, kernel.ndim)
    summary = _summary(found, report, notes)
    results = [
        Result(
            estimate,
            f"{image.name} deconvolved",
            rgb=image.rgb,
            summary=summary,
            settled={"engine": found.engine},
        )
    ]
    if found.intermediate is not None:
        results.append(
            Result(
                found.intermediate,
                f"{image.name} iterations",
                leading_axes=(f"iteration / {parameters.keep_every}",),
                summary={"message": f"Every {parameters.keep_every}. estimate, from the first."},
            )
        )
    if parameters.residual:
        yield Step(0, 0, "Computing the residual")
        results.append(_residual(data, kernel, found, image, parameters))
    if parameters.spectrum:
        yield Step(0, 0, "Computing the spectra")
        results += _spectra(data.shape[-kernel.ndim :], kernel, found, image, parameters)
    return results


def solver_options(parameters: Deconvolve) -> dict[str, Any]:
    """Return the parameters that `deconvolve` takes by the same name."""
    return {
        name: value for name, value in parameters.to_dict().items() if name not in _OF_THE_FACES
    }


def check_inputs(image: SpatialImage, psf: SpatialImage) -> None:
    """Raise a ValueError if the PSF does not fit the image."""
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


def prepare_psf(
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


def _residual(
    data: Any,
    kernel: np.ndarray,
    found: Deconvolution,
    image: SpatialImage,
    parameters: Deconvolve,
) -> Result:
    from napari_convfact.deconvolution.spectrum import residual_image

    residual = residual_image(
        data,
        found.estimate,
        kernel,
        boundary=parameters.boundary,
        background=parameters.background,
        device=parameters.device,
    )
    limit = float(np.nanpercentile(np.abs(residual), 99.8)) or 1.0
    return Result(
        residual,
        f"{image.name} residual",
        leading_axes=("colour",) if image.rgb else (),
        summary={"message": "The image less the blurred estimate: noise alone, if all is well."},
        # Shown, it would cover the result.
        display={"colormap": "PiYG", "contrast_limits": (-limit, limit), "visible": False},
    )


def _spectra(
    shape: Sequence[int],
    kernel: np.ndarray,
    found: Deconvolution,
    image: SpatialImage,
    parameters: Deconvolve,
) -> list[Result]:
    """Return the transfer function and the inverse's gain, in cycles per pixel from the middle."""
    from napari_convfact.deconvolution.spectrum import deconvolution_spectra

    if found.strength is None:
        return []  # Richardson-Lucy is not linear, so it has no gain to show
    spectra = deconvolution_spectra(
        kernel,
        shape,
        method=parameters.method,
        boundary=parameters.boundary,
        prior=parameters.prior,
        strength=found.strength,
    )
    labels = tuple(f"frequency {label}" for label in image.axis_labels[-kernel.ndim :])
    return [
        Result(
            values,
            f"{image.name} {word}",
            like=None,
            scale=spectra.spacing,
            leading_axes=labels,
            summary={"message": message},
            display={"colormap": "magma", "visible": False},
        )
        for values, word, message in (
            (spectra.transfer, "transfer", "What the PSF passes of each frequency."),
            (spectra.gain, "gain", "By how much the inverse raises each frequency."),
        )
    ]


def plan(inputs: Mapping[str, SpatialImage], parameters: Deconvolve) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    image, psf = inputs["image"], inputs["psf"]
    check_inputs(image, psf)
    kernel = _kernel_shape(psf)
    ndim = len(kernel)
    shape = tuple(image.data.shape[: image.ndim])
    text = f"{ndim}-D over {image.last_axes(ndim)} ({_times(shape[-ndim:])}), PSF {_times(kernel)}."
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


__all__ = ["OPERATION", "Deconvolve"]

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
