"""Make kernel: PSFs and filter kernels by formula, by optics, or from an image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_convfact.foundation.job import Job, Step
from napari_convfact.kernels.microscope import Microscope
from napari_convfact.operations.coordinates import parse_points, parse_region
from napari_convfact.operations.make_kernel_parameters import (
    FLAT,
    FROM_IMAGE,
    OPTICAL,
    MakeKernel,
)
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.voxels import voxel_size

_MICROMETRES_PER_NANOMETRE = 1e-3
_DEFAULT_SIZE = 5
# Voxels of a PSF that nobody waits for by choice.
_LARGE = 2**26


def job(inputs: Mapping[str, SpatialImage], parameters: MakeKernel) -> Job[list[Result]]:
    """Make the kernel, with the voxel size of ``inputs["image"]`` if there is one."""
    image = inputs.get("image")
    _check(image, parameters)
    if parameters.kind in OPTICAL:
        return (yield from _theoretical(image, parameters))
    if parameters.kind == "beads":
        return (yield from _from_beads(_needed(image), parameters))
    yield Step(0, 1, "Making the kernel")
    if parameters.kind == "region":
        return [_from_region(_needed(image), parameters)]
    kernel = _by_formula(image, parameters)
    return [_result(kernel, _words(parameters.kind), image, _describe(kernel))]


def _theoretical(image: SpatialImage | None, parameters: MakeKernel) -> Job[list[Result]]:
    from napari_convfact.kernels.psf import theoretical_psf_job

    voxels = _voxels(image, parameters)
    psf = yield from theoretical_psf_job(_microscope(parameters), voxels, size=_size(parameters))
    if parameters.reverse_z and len(voxels) == 3:
        psf = np.ascontiguousarray(psf[::-1])
    name = f"{_words(parameters.modality)} PSF"
    labels = ("z", "y", "x")[-len(voxels) :]
    return [
        Result(
            psf,
            name,
            like=None,
            leading_axes=labels,
            scale=voxels,
            units=("um",) * len(voxels),
            summary={"message": _describe(psf)},
            display={"colormap": "viridis"},
        )
    ]


def _microscope(parameters: MakeKernel) -> Microscope:
    return Microscope(
        na=parameters.na,
        wavelength=parameters.emission * _MICROMETRES_PER_NANOMETRE,
        refractive_index=parameters.refractive_index,
        modality=parameters.modality,
        excitation_wavelength=parameters.excitation * _MICROMETRES_PER_NANOMETRE,
        pinhole=parameters.pinhole,
        sheet_thickness=parameters.sheet_thickness,
        sample_index=None if parameters.sample_index == "auto" else parameters.sample_index,
        depth=parameters.depth,
    )


def _from_beads(image: SpatialImage, parameters: MakeKernel) -> Job[list[Result]]:
    from napari_convfact.kernels.beads import psf_from_beads_job

    psf, report = yield from psf_from_beads_job(
        image.data,
        parse_points(parameters.points),
        size=_size(parameters),
        voxel_size=image.scale if image.calibrated else None,
        unit=image.units[-1],
    )
    findings = {"fwhm": [round(w, 3) for w in report.fwhm], "positions": report.positions}
    return [_result(psf, f"PSF from {image.name}", image, str(report), **findings)]


def _from_region(image: SpatialImage, parameters: MakeKernel) -> Result:
    from napari_convfact.kernels.crop import kernel_from_rectangle

    corners = parse_region(parameters.region, image.data.shape)
    kernel, report = kernel_from_rectangle(image.data, corners)
    return _result(kernel, f"Kernel from {image.name}", image, str(report))


def _by_formula(image: SpatialImage | None, parameters: MakeKernel) -> np.ndarray:
    from napari_convfact.kernels import shapes, wavelets

    p = parameters
    size, ndim = _size(p), _ndim(image, p)
    match p.kind:
        case "gaussian":
            return shapes.gaussian(p.sigma, ndim=ndim, size=size)
        case "laplacian-of-gaussian":
            return shapes.laplacian_of_gaussian(p.sigma, ndim=ndim, size=size)
        case "disk":
            return shapes.disk(p.radius, ndim=ndim, size=size)
        case "box":
            return shapes.box(size or _DEFAULT_SIZE, ndim=ndim)
        case "delta":
            return shapes.delta(size or _DEFAULT_SIZE, ndim=ndim)
        case "motion":
            return shapes.motion(p.length, math.radians(p.angle), size=size)
        case "gabor":
            return _gabor(p)
        case _:
            return wavelets.near_sym_a(p.band)


def _gabor(parameters: MakeKernel) -> np.ndarray:
    from napari_convfact.gabor.bank import gabor_bank

    bank = gabor_bank(
        wavelengths=[parameters.wavelength],
        orientations=[math.radians(parameters.angle)],
        aspect=1.0,
    )
    kernel = bank.kernels(_size(parameters))[0, 0]
    part = kernel.real if parameters.phase == "even" else kernel.imag
    return np.ascontiguousarray(part, dtype=np.float32)


def _result(
    kernel: np.ndarray,
    name: str,
    image: SpatialImage | None,
    message: str,
    **findings: Any,
) -> Result:
    ndim = kernel.ndim
    display: dict[str, Any] = {"colormap": "viridis"}
    if kernel.min() == kernel.max() > 0:  # which the viewer would show as almost nothing
        display["contrast_limits"] = (0.0, float(kernel.max()))
    return Result(
        kernel,
        name,
        like=None,
        leading_axes=image.axis_labels[-ndim:] if image else ("z", "y", "x")[-ndim:],
        scale=image.scale[-ndim:] if image else (1.0,) * ndim,
        units=image.units[-ndim:] if image else ("pixel",) * ndim,
        summary={"message": message, **findings},
        display=display,
    )


def _describe(kernel: np.ndarray) -> str:
    return f"{' x '.join(map(str, kernel.shape))} voxels, sum {kernel.sum():.4g}."


def _words(choice: str) -> str:
    return choice.replace("-", " ").capitalize()


def _check(image: SpatialImage | None, parameters: MakeKernel) -> None:
    """Raise ValueError if the kernel cannot be made from what is given."""
    if image is not None and image.rgb:
        raise ValueError(f"{image.name} is a colour image: choose a single-channel layer.")
    if parameters.kind in FROM_IMAGE:
        source = _needed(image)
        if parameters.kind == "region":
            parse_region(parameters.region, source.data.shape)
        else:
            parse_points(parameters.points)
    if parameters.kind in OPTICAL:
        _microscope(parameters)
        _voxels(image, parameters)
    if parameters.size != "auto" and parameters.size % 2 == 0:
        raise ValueError(f"The size must be odd to have a middle, not {parameters.size}.")


def _needed(image: SpatialImage | None) -> SpatialImage:
    if image is None:
        raise ValueError("Choose the image that the kernel is to be measured in.")
    return image


def _size(parameters: MakeKernel) -> int | None:
    return None if parameters.size == "auto" else parameters.size


def _ndim(image: SpatialImage | None, parameters: MakeKernel) -> int:
    if parameters.kind in FLAT:
        return 2
    if parameters.ndim != "auto":
        return parameters.ndim
    return min(max(image.ndim, 2), 3) if image else 2


def _voxels(image: SpatialImage | None, parameters: MakeKernel) -> tuple[float, ...]:
    """Return the voxel size in micrometres: as given, the rest from the image."""
    ndim = _ndim(image, parameters)
    if image is None and parameters.ndim == "auto" and parameters.z_step != "auto":
        ndim = 3
    own = voxel_size(image, min(ndim, image.ndim)) if image else None
    taken = (None,) * 3 if own is None else (None,) * (3 - len(own)) + own
    given = (parameters.z_step, parameters.pixel_size, parameters.pixel_size)
    pairs = list(zip(given, taken, strict=True))[-ndim:]
    voxels = [from_image if own_value == "auto" else own_value for own_value, from_image in pairs]
    if any(v is None for v in voxels):
        raise ValueError(
            "The voxel size is not known: choose an image with units of length, or give the "
            "pixel size" + (" and the step along z." if ndim == 3 else ".")
        )
    return tuple(float(v) for v in voxels if v is not None)


def plan(inputs: Mapping[str, SpatialImage], parameters: MakeKernel) -> Plan:
    """Say what will be made; raise ValueError if it cannot."""
    image = inputs.get("image")
    _check(image, parameters)
    if parameters.kind in OPTICAL:
        return _plan_optics(_voxels(image, parameters), parameters)
    if parameters.kind in FROM_IMAGE:
        source = _needed(image)
        return Plan(
            f"Measured in {source.name}, with its voxel size.",
            16.0 * math.prod(source.data.shape),
        )
    where = f", with the voxel size of {image.name}" if image else ""
    text = f"{_ndim(image, parameters)}-D kernel by formula{where}."
    return Plan(text, 1e7 + _formula_bytes(_ndim(image, parameters), parameters))


def _formula_bytes(ndim: int, parameters: MakeKernel) -> float:
    """Return how much memory the largest arrays take: a wide Gaussian in 3-D is gigabytes."""
    half = {
        "gaussian": 4 * parameters.sigma,
        "laplacian-of-gaussian": 5 * parameters.sigma,
        "disk": parameters.radius,
        "motion": parameters.length / 2,
        "gabor": 2 * parameters.wavelength,
    }.get(parameters.kind, _DEFAULT_SIZE)
    side = _size(parameters) or 2 * math.ceil(half) + 1
    # float64, its terms (three in a Laplacian) and the result
    bytes_per_sample = 40.0 if parameters.kind == "laplacian-of-gaussian" else 24.0
    return bytes_per_sample * float(side) ** ndim


def _plan_optics(voxels: tuple[float, ...], parameters: MakeKernel) -> Plan:
    from napari_convfact.kernels.psf import psf_bytes, psf_shape

    microscope = _microscope(parameters)
    shape = psf_shape(microscope, voxels, _size(parameters))
    sizes = " × ".join(map(str, shape))
    text = f"At most {sizes} voxels of {' × '.join(f'{v:.4g}' for v in voxels)} um."
    if math.prod(shape) > _LARGE and parameters.size == "auto":
        text += " Give a size under More options: little light is that far out."
    return Plan(text, psf_bytes(microscope, voxels, shape))


OPERATION = Operation(
    name="make-kernel",
    title="Make kernel",
    summary="Make a PSF or a filter kernel: by optics, from beads, or by formula.",
    parameters=MakeKernel,
    inputs=(
        Input(
            "image",
            "Image",
            "Gives the kernel its voxel size; beads and regions are taken from it.",
            optional=True,
        ),
    ),
    job=job,
    plan=plan,
)
