"""Factorize kernel: the operation behind the widget, the command line and recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_convfact.foundation.job import Job, Step
from napari_convfact.foundation.validate import check_float32
from napari_convfact.operations.colours import colours_first
from napari_convfact.operations.factorization_pictures import pictures, real_parts
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.parameters import Field, Parameters
from napari_convfact.operations.words import counted

if TYPE_CHECKING:
    from napari_convfact.factorization.result import Factorization

_WAYS = {
    "FFT": "the Fourier transform",
    "direct": "the kernel as it is",
    "separable": "one filter per axis",
}
_WORK_BYTES = 2.5e8  # batches of starts are cut to about this


@dataclass(frozen=True)
class FactorizeKernel(Parameters):
    """Parameters of a factorization; see `napari_convfact.factorize`."""

    shapes: Annotated[
        str,
        Field(
            "Factors",
            "Sizes of the small kernels, as '3x3, 3x3'; or 'auto for 1 %' for the cheapest "
            "chain within that error.",
            suggestions=("3x3, 3x3", "3x3, 3x3, 3x3", "5x5", "auto for 1 %", "3x3x3, 3x3x3"),
            when={"compare": (False,)},
        ),
    ] = "3x3, 3x3"
    dilations: Annotated[
        str,
        Field(
            "Dilations",
            "Distance between the taps: one number for all factors or one for each, as '1, 2, 4'.",
            suggestions=("1", "1, 2", "1, 2, 4", "1, 2, 4, 8"),
            when={"compare": (False,)},
        ),
    ] = "1"
    terms: Annotated[
        int,
        Field("Terms", "Chains that are added up.", minimum=1, maximum=8),
    ] = 1
    zero_sum: Annotated[
        bool,
        Field(
            "Zero sum",
            "Hold the sum of the taps at zero, exactly, so that flat regions give nothing.",
        ),
    ] = False
    compare: Annotated[
        bool,
        Field(
            "Compare chains",
            "Lay out two factors of 3, one of 5 and three of 3 taps an axis below each other.",
        ),
    ] = False
    apply: Annotated[
        bool,
        Field("Apply chain to image", "Also return the chosen image filtered by the chain."),
    ] = False
    boundary: Annotated[
        Literal["reflect", "periodic", "zero"],
        Field(
            "Boundary",
            "What lies beyond the edges of the image. reflect: its mirror image. periodic: the "
            "opposite edge. zero: nothing.",
            when={"apply": (True,)},
        ),
    ] = "reflect"
    starts: Annotated[
        int,
        Field(
            "Starts",
            "How many starts the search makes where the kernel is not separable.",
            minimum=1,
            maximum=10_000,
            advanced=True,
        ),
    ] = 96
    seed: Annotated[
        int,
        Field("Seed", "Of the random starts.", minimum=0, maximum=2**31 - 1, advanced=True),
    ] = 0
    time_limit: Annotated[
        float | None,
        Field(
            "Time limit",
            "End the search of each chain then and return the best so far.",
            minimum=0.01,
            maximum=86_400.0,
            unit="s",
            advanced=True,
        ),
    ] = None


def job(inputs: Mapping[str, SpatialImage], parameters: FactorizeKernel) -> Job[list[Result]]:
    """Factorize ``inputs["kernel"]``; filter ``inputs["image"]`` if that is asked for."""
    kernel, image = inputs["kernel"], inputs.get("image")
    taps = np.asarray(kernel.data).reshape(_check(kernel, image, parameters))
    from napari_convfact.factorization.factorize import factorize_job
    from napari_convfact.factorization.problem import check_target

    check_float32(check_target(taps))  # the type of the pictures
    found = []
    for shapes, dilations in _chains(parameters):
        factorization = yield from factorize_job(
            taps,
            shapes,
            dilations=dilations,
            n_terms=parameters.terms,
            zero_sum=parameters.zero_sum,
            starts=parameters.starts,
            seed=parameters.seed,
            time_limit=parameters.time_limit,
        )
        found.append(factorization)
    summary = _summary(found)
    if image is not None and not np.iscomplexobj(taps):
        for factorization, details in zip(found, summary["details"], strict=True):
            yield Step(0, 0, "Measuring the ways to apply it")
            details["milliseconds"] = _milliseconds(factorization, image)
        summary |= _fastest(found, [row["milliseconds"] for row in summary["details"]])
    results: list[Result] = []
    for row, factorization in enumerate(found):
        number = f"-{row + 1}" if len(found) > 1 else ""
        results += pictures(factorization, kernel, row, number, summary)
    if parameters.apply and image is not None:
        yield Step(0, 0, "Filtering the image")
        filtered = found[-1].apply(colours_first(image, taps.ndim), boundary=parameters.boundary)
        results.append(_filtered(filtered, image, kernel))
    return results


def _check(
    kernel: SpatialImage, image: SpatialImage | None, parameters: FactorizeKernel
) -> tuple[int, ...]:
    """Return the kernel's shape without leading axes of one sample, if the job can run."""
    if kernel.rgb:
        raise ValueError(f"{kernel.name} is a colour image: choose a single-channel kernel.")
    shape = tuple(kernel.data.shape)
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    if parameters.apply and image is None:
        raise ValueError("Choose an image to apply the chain to.")
    if image is not None and image.ndim < len(shape):
        raise ValueError(
            f"The kernel {kernel.name} has {len(shape)} axes and the image {image.name} only "
            f"{image.ndim}: choose an image with as many axes in space."
        )
    from napari_convfact.factorization.automatic import read_auto
    from napari_convfact.factorization.problem import check_layout

    for shapes, dilations in _chains(parameters):
        if not isinstance(shapes, str) or read_auto(shapes) is None:
            check_layout(shapes, dilations, len(shape))
        elif parameters.terms > 1 or dilations is not None:
            raise ValueError("'auto' chooses dilations and terms itself: leave them at 1.")
    return shape


def _chains(parameters: FactorizeKernel) -> list[tuple[Any, Any]]:
    """Return shapes and dilations of each chain that is asked for."""
    if parameters.compare:
        return [((3, 3), None), ((5,), None), ((3, 3, 3), None)]
    text = parameters.dilations.replace(";", ",")
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not all(entry.isdecimal() for entry in entries):
        raise ValueError(f"Dilations {parameters.dilations!r} are not understood: write '1, 2, 4'.")
    steps = [int(entry) for entry in entries] or [1]
    if len(steps) == 1:
        return [(parameters.shapes, None if steps[0] == 1 else steps[0])]
    return [(parameters.shapes, steps)]


def _label(factorization: Factorization) -> str:
    """Name a chain as ``"2 x (3x3, 3x3 at 1, 2)"``."""
    text = ", ".join("x".join(map(str, f.shape)) for f in factorization.factors)
    if max(factorization.dilations) > 1:
        text += f" at {', '.join(map(str, factorization.dilations))}"
    terms = len(factorization.terms)
    return f"{terms} x ({text})" if terms > 1 else text


def _summary(found: Sequence[Factorization]) -> dict[str, Any]:
    """Return what to read first; everything else is under "details", a row per chain."""
    details = {"details": [{"chain": _label(f), **f.summary()} for f in found]}
    if len(found) > 1:
        rows = {
            _label(f): f"{f.message} {f.macs} multiplications a pixel, {f.macs_direct} directly."
            for f in found
        }
        return {**rows, **details}
    (only,) = found
    return {
        "chain": _label(only),
        "error (%)": 100 * only.relative_error,
        "status": only.status,
        "multiplications": only.macs,
        "directly": only.macs_direct,
        "separably": only.macs_separable,
        "sum": only.sum,
        "message": only.message,
        **details,
    }


def _milliseconds(factorization: Factorization, image: SpatialImage) -> dict[str, float]:
    """Measure the chain and the exact ways on images of this size."""
    ndim = factorization.kernel.ndim
    shape = tuple(int(n) for n in image.data.shape[: image.ndim][-ndim:])
    if ndim > 3:
        return {}
    from napari_convfact.factorization.timing import measure_ways

    seconds = measure_ways(factorization, shape)
    return {way: round(1e3 * time, 3) for way, time in seconds.items()}


def _fastest(
    found: Sequence[Factorization], milliseconds: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Return the times of the last chain, and which of all chains and exact ways is fastest."""
    if not milliseconds[-1]:
        return {}
    labelled = {f"{way} (ms)": time for way, time in milliseconds[-1].items()}
    exact_ways = {way: time for way, time in milliseconds[-1].items() if way != "chain"}
    exact = min(exact_ways, key=lambda way: exact_ways[way])
    times = [row["chain"] for row in milliseconds]
    quickest = times.index(min(times))
    chain = f"the chain {_label(found[quickest])}" if len(found) > 1 else "the chain"
    if exact_ways[exact] < times[quickest]:
        verdict = f"Fastest on this image: {_WAYS[exact]}, which is exact."
    elif found[quickest].status == "exact":
        verdict = f"Fastest on this image: {chain}, which is exact."
    else:
        verdict = f"Fastest on this image: {chain}; of the exact ways, {_WAYS[exact]}."
    return {**labelled, "fastest": verdict}


def _filtered(filtered: np.ndarray, image: SpatialImage, kernel: SpatialImage) -> Result:
    values = real_parts(filtered)
    extra = values.ndim - image.ndim
    labels = (("part",) if np.iscomplexobj(filtered) else ()) + ("colour",) * image.rgb
    return Result(
        values,
        f"{image.name} * {kernel.name} filtered",
        leading_axes=labels[:extra],
        summary={"message": f"{image.name} filtered by the chain of {kernel.name}."},
    )


def plan(inputs: Mapping[str, SpatialImage], parameters: FactorizeKernel) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    kernel, image = inputs["kernel"], inputs.get("image")
    shape = _check(kernel, image, parameters)
    times = " × ".join(map(str, shape))
    if parameters.compare:
        text = f"Kernel {times}: three chains of small kernels, one below the other."
    else:
        text = f"Kernel {times}: {_plan_text(parameters, len(shape))}"
    pixels = math.prod(image.data.shape) if image is not None else 0
    return Plan(text, _WORK_BYTES + 12.0 * pixels)


def _plan_text(parameters: FactorizeKernel, ndim: int) -> str:
    from napari_convfact.factorization.automatic import read_auto
    from napari_convfact.factorization.problem import check_layout

    ((shapes, dilations),) = _chains(parameters)
    error = read_auto(shapes)
    if error is not None:
        return f"the cheapest chain within {100 * error:g} %."
    layout = check_layout(shapes, dilations, ndim)
    support = " × ".join(map(str, layout.support))
    count = parameters.terms * layout.taps
    factors = counted(len(layout.shapes), "factor")
    verb = "spans" if len(layout.shapes) == 1 else "span"
    return f"{factors} that {verb} {support}, {count} multiplications a pixel."


OPERATION = Operation(
    name="factorize",
    title="Factorize kernel",
    summary="Write a large kernel as successive convolutions of small ones.",
    parameters=FactorizeKernel,
    inputs=(
        Input("kernel", "Kernel", "The kernel to factorize.", kind="kernel"),
        Input("image", "Image", "An image to measure and apply the chain on.", optional=True),
    ),
    job=job,
    plan=plan,
)
