"""Gabor bank: the operation behind the widget, the command line and recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.colours import colours_first, colours_last, luminance
from napari_convfact.operations.gabor_parameters import Gabor
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.words import counted

if TYPE_CHECKING:
    from napari_convfact.gabor.kernels import GaborBank
    from napari_convfact.gabor.responses import GaborResponses

#: Size of the picture of the frequency plane that the bank covers.
_COVERAGE = {2: 256, 3: 64}
_MOST_MARGIN = 64
_TURN = {"colormap": "hsv", "contrast_limits": (-math.pi, math.pi)}
_HALF_TURN = {"colormap": "hsv", "contrast_limits": (0.0, math.pi)}


STACKS = ("energy", "phase")
MAPS = ("strongest", "orientation", "coherence")
DISPLAY: dict[str, dict[str, Any]] = {
    "energy": {"colormap": "magma"},
    "phase": _TURN,
    "strongest": {"colormap": "magma"},
    "orientation": _HALF_TURN,
    "coherence": {"colormap": "viridis", "contrast_limits": (0.0, 1.0)},
}


def job(inputs: Mapping[str, SpatialImage], parameters: Gabor) -> Job[list[Result]]:
    """Filter ``inputs["image"]`` with a Gabor bank and return what is ticked."""
    image = inputs["image"]
    check_inputs(image, parameters)
    yield Step(0, 0, "Making the bank")
    bank = make_bank(parameters)
    weights = _weights(bank, parameters)
    from napari_convfact.gabor.responses import gabor_filter

    results: list[Result] = []
    wanted = [name for name in (*STACKS, *MAPS) if getattr(parameters, name)]
    if wanted or parameters.colours:
        responses = gabor_filter(
            luminance(image), bank, boundary=parameters.boundary, device=parameters.device
        )
        results += yield from _analyse(responses, wanted, image, parameters)
    if parameters.reconstruction:
        results.append((yield from _reconstruct(bank, weights, image, parameters)))
    if parameters.kernels:
        results.append(_kernels(bank))
    if parameters.coverage:
        results.append(_coverage(bank))
    return _with_summary(results, bank, image)


def make_bank(parameters: Gabor) -> GaborBank:
    """Return the bank that the parameters describe."""
    from napari_convfact.gabor.bank import gabor_bank

    if parameters.preset != "none":
        return gabor_bank(preset=parameters.preset, ndim=parameters.ndim)
    return gabor_bank(
        highest=parameters.highest,
        n_scales=parameters.n_scales,
        octave_spacing=parameters.octave_spacing,
        n_orientations=parameters.n_orientations,
        bandwidth=parameters.bandwidth,
        aspect=parameters.aspect,
        radial=parameters.radial,
        dc_free=parameters.dc_free,
        ndim=parameters.ndim,
    )


def _analyse(
    responses: GaborResponses, wanted: list[str], image: SpatialImage, parameters: Gabor
) -> Job[list[Result]]:
    from napari_convfact.gabor.reductions import color_maps

    names = list(wanted)
    if parameters.colours:
        names += [n for n in ("orientation", "coherence", "total_energy") if n not in names]
    outputs = yield from responses.compute(names)
    results = []
    for name in wanted:
        axes: tuple[str, ...] = ("scale", "orientation") if name in STACKS else ()
        if name == "orientation" and parameters.ndim == 3:
            axes = ("component",)
        display = {} if axes == ("component",) else DISPLAY[name]
        results.append(
            Result(outputs[name], f"{image.name} {name}", leading_axes=axes, display=display)
        )
    if parameters.colours:
        results.append(Result(color_maps(outputs), f"{image.name} colours", rgb=True))
    return results


def _reconstruct(
    bank: GaborBank, weights: np.ndarray, image: SpatialImage, parameters: Gabor
) -> Job[Result]:
    from napari_convfact.gabor.responses import gabor_filter

    responses = gabor_filter(
        colours_first(image), bank, boundary=parameters.boundary, device=parameters.device
    )
    edited = yield from responses.reconstruct_job(weights, residual=parameters.residual_weight)
    notes: list[str] = []
    if image.rgb:
        edited, notes = colours_last(edited, image)
    summary = {"message": " ".join(notes)} if notes else {}
    return Result(edited, f"{image.name} reconstruction", rgb=image.rgb, summary=summary)


def _kernels(bank: GaborBank) -> Result:
    kernels = np.ascontiguousarray(bank.kernels().real)
    labels = ("scale", "orientation", *_axis_names(bank))
    return Result(
        kernels,
        "gabor kernels",
        like=None,
        leading_axes=labels,
        scale=(1.0,) * kernels.ndim,
        display={"colormap": "gray"},
    )


def coverage_job(parameters: Gabor) -> Job[tuple[np.ndarray, tuple[int, int]]]:
    """Return a small picture of the bank's coverage and its scales and orientations.

    The picture is float32 ``(y, x)`` with frequency 0 in the middle; of a 3-D bank it is the
    plane that x and y span.
    """
    yield Step(0, 1, "Making the bank")
    bank = make_bank(parameters)
    coverage = _centred_coverage(bank)
    plane = coverage[(coverage.shape[0] // 2,) * (bank.ndim - 2)]
    return plane, (bank.shape[0], bank.shape[1])


def _centred_coverage(bank: GaborBank) -> np.ndarray:
    size = _COVERAGE[bank.ndim]
    return np.fft.fftshift(bank.coverage((size,) * bank.ndim)).astype(np.float32)


def _coverage(bank: GaborBank) -> Result:
    return Result(
        _centred_coverage(bank),
        "gabor coverage",
        like=None,
        leading_axes=tuple(f"frequency {name}" for name in _axis_names(bank)),
        display={"colormap": "viridis"},
    )


def _axis_names(bank: GaborBank) -> tuple[str, ...]:
    return ("z", "y", "x")[-bank.ndim :]


def _with_summary(results: list[Result], bank: GaborBank, image: SpatialImage) -> list[Result]:
    summary: dict[str, Any] = {
        "frequencies": [round(f, 6) for f in bank.frequencies],
        "orientations": bank.shape[1],
        "reach (pixels)": bank.reach,
    }
    if image.rgb:
        summary["colour"] = "Responses are of the luminance."
    return [
        Result(**{**vars(result), "summary": {**summary, **result.summary}}) for result in results
    ]


def _weights(bank: GaborBank, parameters: Gabor) -> np.ndarray:
    scales = _numbers(parameters.scale_weights, bank.shape[0], "scale_weights")
    orientations = _numbers(parameters.orientation_weights, bank.shape[1], "orientation_weights")
    return np.outer(scales, orientations)


def _numbers(text: str, count: int, name: str) -> np.ndarray:
    """Read as many numbers as there are scales or orientations."""
    if not text.strip():
        return np.ones(count)
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise ValueError(f"{name} must be numbers, as '1, 1, 0.5', not {text!r}.") from None
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} numbers but the bank has {count}.")
    return np.array(values)


def check_inputs(image: SpatialImage, parameters: Gabor) -> None:
    """Raise a ValueError if the parameters do not fit the image."""
    if image.ndim < 2:
        raise ValueError(f"{image.name} has a single axis: a Gabor bank filters planes or volumes.")
    if parameters.ndim > image.ndim:
        raise ValueError(f"{image.name} has {image.ndim} axes: set the dimensions to that.")
    if image.rgb and parameters.ndim == 3:
        raise ValueError(f"{image.name} is a colour image: its planes are filtered in 2-D only.")
    ticked = (*STACKS, *MAPS, "colours", "kernels", "coverage", "reconstruction")
    if not any(getattr(parameters, name) for name in ticked):
        raise ValueError("Nothing is to be computed: tick at least one output.")


def plan(inputs: Mapping[str, SpatialImage], parameters: Gabor) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    image = inputs["image"]
    check_inputs(image, parameters)
    scales, orientations = parameters.n_scales, parameters.n_orientations
    shape = tuple(image.data.shape[: image.ndim])
    axes = image.last_axes(parameters.ndim)
    kernels = "" if parameters.preset != "none" else f"{counted(scales * orientations, 'kernel')}. "
    text = f"{parameters.ndim}-D over {axes}. {kernels}{choose_device(parameters.device).reason}"
    samples = math.prod(shape)
    stacks = scales * orientations * sum(getattr(parameters, name) for name in STACKS)
    # A frame on its torus, at most twice as long along each axis, complex, four times.
    frame = 2**parameters.ndim * math.prod(shape[-parameters.ndim :])
    return Plan(text, 4.0 * samples * (stacks + 8) + 32.0 * frame)


def margin(inputs: Mapping[str, SpatialImage], parameters: Gabor) -> tuple[int, ...]:
    """Return how far the kernels reach: a wavelength of the coarsest, but not without end."""
    del inputs
    octaves = parameters.octave_spacing * (parameters.n_scales - 1)
    wavelength = math.ceil(2**octaves / parameters.highest)
    return (min(wavelength, _MOST_MARGIN),) * parameters.ndim


OPERATION = Operation(
    name="gabor",
    title="Gabor bank",
    summary="Measure waves by scale and orientation, edit them, and go back to an image.",
    parameters=Gabor,
    inputs=(Input("image", "Image", "The image to filter."),),
    job=job,
    plan=plan,
    margin=margin,
)
