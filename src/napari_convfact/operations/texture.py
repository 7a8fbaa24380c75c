"""Texture features: the operation behind the widget, the command line and recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.foundation.archive import archive_path
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.files import check_file, check_folder
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.colours import luminance
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.texture_parameters import Texture
from napari_convfact.operations.texture_results import (
    as_json,
    kernels_result,
    layer_features,
    mosaic_result,
    numbered,
    with_summary,
)

if TYPE_CHECKING:
    from napari_convfact.kernels.bank import KernelBank

MAPS = ("log_energy", "assignment", "novelty", "residual")
_OUTPUTS = (*MAPS, "predictability", "mosaic", "kernel_stack", "table")
DISPLAY: dict[str, dict[str, Any]] = {
    "log-energy": {"colormap": "magma"},
    "residual": {"colormap": "gray"},
    "novelty": {"colormap": "inferno"},
    "assignment": {},
}
WORDS = {"log-energy": "energies", "residual": "residuals"}


def job(inputs: Mapping[str, SpatialImage], parameters: Texture) -> Job[list[Result]]:
    """Describe the texture of ``inputs["image"]`` with a bank."""
    check_inputs(inputs, parameters)
    image = inputs["image"]
    frames = frames_of(luminance(image), parameters.ndim)
    bank = None
    if _needs_bank(parameters):
        bank = yield from bank_job(inputs, frames, parameters)
        if parameters.bank_file:
            bank.save(parameters.bank_file)
    results: list[Result] = []
    for name in MAPS:
        if bank and getattr(parameters, name):
            kind = name.replace("_", "-")
            result = yield from _maps(kind, frames, bank, image, parameters)
            results.append(result)
    if parameters.predictability:
        result = yield from _predictability(frames, image, parameters)
        results.append(result)
    if bank and parameters.mosaic:
        results.append(mosaic_result(bank))
    if bank and parameters.kernel_stack:
        results.append(kernels_result(bank))
    if bank and parameters.table:
        results += yield from _table(inputs, frames, bank, parameters, results)
    return with_summary(results, bank, image)


def with_values(frames: np.ndarray) -> list[int]:
    """Return which frames have any value; all where none has, for others to refuse them."""
    numbers = [i for i, frame in enumerate(frames) if np.isfinite(frame).any()]
    return numbers or list(range(len(frames)))


def _needs_bank(parameters: Texture) -> bool:
    """Local models alone need none."""
    return bool(parameters.bank_file) or any(
        getattr(parameters, name) for name in _OUTPUTS if name != "predictability"
    )


def frames_of(data: Any, ndim: int) -> np.ndarray:
    """Return the data as a stack ``(frames, *spatial)`` of images with `ndim` axes."""
    values = np.asarray(data)
    return values.reshape(-1, *values.shape[values.ndim - ndim :])


def bank_job(
    inputs: Mapping[str, SpatialImage], frames: np.ndarray, parameters: Texture
) -> Job[KernelBank]:
    yield Step(0, 0, "Preparing the bank")
    from napari_convfact.kernels.bank import KernelBank

    kind = bank_kind(inputs, parameters)
    if kind == "file":
        return KernelBank.load(parameters.file)
    if kind == "layer":
        kernels = np.asarray(inputs["kernels"].data)
        return KernelBank(
            kernels.reshape(-1, *kernels.shape[-parameters.ndim :]), ndim=parameters.ndim
        )
    from napari_convfact.texture.bank_learning import learn_bank_job

    return (
        yield from learn_bank_job(
            frames[with_values(frames)],
            parameters.n_kernels,
            method="gabor" if kind == "gabor" else parameters.method,
            radius=parameters.radius,
            dilations=whole_numbers(parameters.dilations, "dilations"),
            tie=parameters.tie,
            ndim=parameters.ndim,
            device=parameters.device,
        )
    )


def bank_kind(inputs: Mapping[str, SpatialImage], parameters: Texture) -> str:
    if parameters.bank == "auto":
        return "layer" if "kernels" in inputs else "learn"
    return parameters.bank


def whole_numbers(text: str, name: str) -> tuple[int, ...]:
    """Read positive whole numbers from ``"1 2 4"`` or ``"1, 2, 4"``."""
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"{name} must be positive whole numbers, as '1 2 4', not {text!r}.")
    return tuple(int(part) for part in parts)


def _maps(
    kind: Any, frames: np.ndarray, bank: KernelBank, image: SpatialImage, parameters: Texture
) -> Job[Result]:
    from napari_convfact.texture.maps import residual_maps_job

    stacked = kind in ("log-energy", "residual")
    shape = (len(bank), *frames.shape[1:]) if stacked else frames.shape[1:]
    labels = kind == "assignment"
    nothing = np.full(shape, 0 if labels else np.nan, np.int32 if labels else np.float32)
    maps = [nothing] * len(frames)
    for number in with_values(frames):
        frame = frames[number]
        maps[number] = yield from residual_maps_job(
            frame, bank, sigma=parameters.sigma, kind=kind, device=parameters.device
        )
    return Result(
        _unframed(np.stack(maps, axis=1 if stacked else 0), image, parameters.ndim, stacked),
        f"{image.name} {WORDS.get(kind, kind)}",
        kind="labels" if kind == "assignment" else "image",
        leading_axes=("kernel",) if stacked else (),
        display=DISPLAY[kind],
    )


def _predictability(frames: np.ndarray, image: SpatialImage, parameters: Texture) -> Job[Result]:
    from napari_convfact.texture.local import local_autoregression_job

    dilations = whole_numbers(parameters.dilations, "dilations")
    nothing = np.full((len(dilations), *frames.shape[1:]), np.nan, np.float32)
    shares = [nothing] * len(frames)
    for number in with_values(frames):
        models = yield from local_autoregression_job(
            frames[number],
            dilations=dilations,
            sigma=parameters.sigma,
            tie=parameters.tie,
            device=parameters.device,
        )
        shares[number] = models.predictability
    return Result(
        _unframed(np.stack(shares, axis=1), image, parameters.ndim, stacked=True),
        f"{image.name} predictability",
        leading_axes=("dilation",),
        display={"colormap": "viridis", "contrast_limits": (0.0, 1.0)},
    )


def _unframed(maps: np.ndarray, image: SpatialImage, ndim: int, stacked: bool) -> np.ndarray:
    """Give maps of frames the image's leading axes back."""
    leading = tuple(image.data.shape[: image.ndim - ndim])
    first = maps.shape[:1] if stacked else ()
    return maps.reshape(*first, *leading, *maps.shape[-ndim:])


def _table(
    inputs: Mapping[str, SpatialImage],
    frames: np.ndarray,
    bank: KernelBank,
    parameters: Texture,
    results: list[Result],
) -> Job[list[Result]]:
    """Attach the table to the last result, or to a copy of the labels that it describes."""
    from napari_convfact.texture.features import residual_features_job

    labels = inputs.get("labels")
    frames_of_labels = None if labels is None else frames_of(labels.data, parameters.ndim)
    used = with_values(frames)
    table = yield from residual_features_job(
        frames[used],
        bank,
        labels=None if frames_of_labels is None else frames_of_labels[used],
        device=parameters.device,
    )
    table = numbered(table, used, len(frames))
    if parameters.table_file:
        table.to_csv(parameters.table_file)
    summary = {"table": as_json(table)}
    if labels is None:
        if results:
            results[-1] = Result(**{**vars(results[-1]), "summary": summary})
            return []
        values = table.to_numpy(dtype=np.float32)
        axes = ("image", "feature")
        return [Result(values, "texture table", like=None, leading_axes=axes, summary=summary)]
    return [
        Result(
            np.array(labels.data),
            f"{labels.name} features",
            kind="labels",
            like="labels",
            summary=summary,
            display={"features": layer_features(table)},
        )
    ]


def check_inputs(inputs: Mapping[str, SpatialImage], parameters: Texture) -> None:
    image = inputs["image"]
    if parameters.ndim > image.ndim:
        raise ValueError(f"{image.name} has {image.ndim} axes: set the dimensions to that.")
    if not any(getattr(parameters, name) for name in _OUTPUTS):
        raise ValueError("Nothing is to be computed: tick at least one output.")
    whole_numbers(parameters.dilations, "dilations")
    for path in filter(None, (parameters.bank_file, parameters.table_file)):
        check_folder(path)
    _check_table_file(parameters)
    kind = bank_kind(inputs, parameters)
    if kind == "file":
        if not parameters.file:
            raise ValueError("No bank file is given: choose one, or let the bank be learned.")
        check_file(archive_path(parameters.file))
    if kind == "layer":
        if "kernels" not in inputs:
            raise ValueError("No kernel layer is chosen: choose one, or let the bank be learned.")
        if inputs["kernels"].ndim < parameters.ndim:
            raise ValueError(
                f"{inputs['kernels'].name} has {inputs['kernels'].ndim} axes: a kernel has "
                f"{parameters.ndim}, a bank one more."
            )
    labels = inputs.get("labels")
    check_same_shape(image, labels)


def _check_table_file(parameters: Texture) -> None:
    name = parameters.table_file
    if name and not parameters.table:
        raise ValueError(
            f"No table is made that {name} could hold: tick the feature table, or name no file."
        )
    if name and Path(name).suffix.lower() != ".csv":
        raise ValueError(f"Tables are written as .csv, not as {name}: give another name.")


def check_same_shape(image: SpatialImage, labels: SpatialImage | None) -> None:
    """Raise a ValueError if labels do not lie on the image's grid."""
    shape = tuple(image.data.shape[: image.ndim])
    if labels is not None and tuple(labels.data.shape) != shape:
        raise ValueError(
            f"{labels.name} has the shape {tuple(labels.data.shape)}, but {image.name} "
            f"{shape}: make labels in the image's shape."
        )


def plan(inputs: Mapping[str, SpatialImage], parameters: Texture) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    check_inputs(inputs, parameters)
    image = inputs["image"]
    kind = bank_kind(inputs, parameters)
    banks = {
        "learn": "Learns a bank from the image.",
        "gabor": "Takes a Gabor bank.",
        "layer": "Takes the kernel layer's bank.",
        "file": "Takes the saved bank.",
    }
    axes = image.last_axes(parameters.ndim)
    bank = banks[kind] if _needs_bank(parameters) else "Needs no bank."
    text = f"{parameters.ndim}-D over {axes}. {bank} {choose_device(parameters.device).reason}"
    count = len(inputs["kernels"].data) if kind == "layer" else parameters.n_kernels
    count *= len(whole_numbers(parameters.dilations, "dilations")) if kind == "learn" else 1
    return Plan(text, _memory(image, parameters, count))


def _memory(image: SpatialImage, parameters: Texture, kernels: int) -> float:
    samples = math.prod(image.data.shape[: image.ndim])
    frame = math.prod(image.data.shape[image.ndim - parameters.ndim : image.ndim])
    stacks = kernels * (parameters.log_energy + parameters.residual)
    per_frame = kernels * parameters.table + 40 * parameters.predictability + 8
    return 4.0 * (samples * (stacks + 4) + frame * per_frame)


INPUTS: Sequence[Input] = (
    Input("image", "Image", "The image, or a stack of images."),
    Input(
        "labels",
        "Labels",
        "Regions: the feature table then has a row for each.",
        kind="labels",
        optional=True,
    ),
    Input("kernels", "Bank layer", "A bank as a layer of kernels.", kind="kernel", optional=True),
)

__all__ = ["OPERATION", "Texture"]

OPERATION = Operation(
    name="texture",
    title="Texture features",
    summary="Learn or apply a bank of kernels that predict a texture, and map what they leave.",
    parameters=Texture,
    inputs=tuple(INPUTS),
    job=job,
    plan=plan,
)
