"""Convolve: the operation behind the widget, the command line and recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.files import check_file
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.colours import colours_first, colours_last
from napari_convfact.operations.convolve_parameters import NAMED, Convolve
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.signed import signed_display

if TYPE_CHECKING:
    from napari_convfact.kernels.bank import KernelBank

_SIGNED_NAMES = ("sobel", "laplacian")
_FILE_MARGIN = 16  # reading the file for a preview's margin would take the main thread


def job(inputs: Mapping[str, SpatialImage], parameters: Convolve) -> Job[list[Result]]:
    """Convolve ``inputs["image"]``."""
    check_inputs(inputs, parameters)
    yield Step(0, 0, "Preparing the kernel")
    image = inputs["image"]
    if parameters.kind == "file" and parameters.depth:
        return [(yield from _feature_maps(image, parameters))]
    kernel = chosen_kernel(inputs, parameters)
    from napari_convfact.convolution.convolve import convolve_job

    values = yield from convolve_job(
        _with_channels(image, kernel),
        kernel,
        boundary=parameters.boundary,
        result=parameters.result,
        amount=parameters.amount,
        normalize=parameters.normalize,
        sigma=parameters.sigma,
        size=parameters.size,
        ndim=parameters.ndim,
        missing=parameters.missing,
        device=parameters.device,
    )
    return [_result(values, kernel, image, parameters)]


def chosen_kernel(inputs: Mapping[str, SpatialImage], parameters: Convolve) -> Any:
    """Return a name, an array or a bank."""
    kind = _kind(inputs, parameters)
    if kind in NAMED:
        return kind
    from napari_convfact.kernels.bank import KernelBank

    if kind == "layer":
        values = _kernel_array(inputs["kernel"], parameters)
        if parameters.stack:
            return KernelBank(values, ndim=values.ndim - 1)
        return values
    if parameters.file.endswith(".npz"):
        return KernelBank.load(parameters.file)
    index = parameters.channels
    return KernelBank.from_checkpoint(
        parameters.file,
        parameters.layer or None,
        channels=int(index) if index.isdecimal() else index,
    )


def _kind(inputs: Mapping[str, SpatialImage], parameters: Convolve) -> str:
    """Return a name, ``"file"``, or ``"layer"`` for the kernel layer."""
    if parameters.kind != "auto":
        return parameters.kind
    return "layer" if "kernel" in inputs else "gaussian"


def _kernel_array(kernel: SpatialImage, parameters: Convolve) -> np.ndarray:
    """Return the layer's data; its kernels have no leading axes of one sample."""
    values, first = np.asarray(kernel.data), int(parameters.stack)
    while values.ndim > first + 1 and values.shape[first] == 1:
        values = np.squeeze(values, first)
    return values


def _axes(kernel: Any) -> int:
    """Return before how many axes of space colours lie; named kernels filter their planes."""
    return 2 if isinstance(kernel, str) else max(int(kernel.ndim), 2)


def _with_channels(image: SpatialImage, kernel: Any) -> Any:
    """Return the image, a grey one repeated where the kernels mix channels."""
    axes = _axes(kernel)
    if image.rgb and axes > image.ndim:
        raise ValueError(f"The kernels have {axes} axes and {image.name} {image.ndim}: use others.")
    data = colours_first(image, axes)
    channels = getattr(kernel, "channels", None)
    if channels is None or image.rgb:
        return data
    shape = np.shape(data)
    leading, spatial = shape[: len(shape) - kernel.ndim], shape[len(shape) - kernel.ndim :]
    if leading and leading[-1] == channels:
        return data
    grey = np.asarray(data).reshape(*leading, 1, *spatial)
    return np.broadcast_to(grey, (*leading, channels, *spatial))


def _result(values: np.ndarray, kernel: Any, image: SpatialImage, parameters: Convolve) -> Result:
    bank = None if isinstance(kernel, (str, np.ndarray)) else kernel
    mixes = bank is not None and bank.channels is not None
    axes: tuple[str, ...] = ()
    several = bank is not None or (isinstance(kernel, str) and kernel == "sobel")
    if several and parameters.result != "magnitude":
        axes = ("kernel",)
    notes: list[str] = []
    rgb = image.rgb and not mixes and parameters.result in ("filtered", "sharpened")
    if rgb:
        values, notes = colours_last(values, image, _axes(kernel))
    elif image.rgb and not mixes:
        axes = (*axes, "colour")
    words = {"filtered": "convolved"}.get(parameters.result, parameters.result)
    return Result(
        values,
        f"{image.name} {words}",
        leading_axes=axes,
        rgb=rgb,
        summary=_summary(bank, kernel, notes),
        display=signed_display(values) if not rgb and gives_signs(kernel, parameters) else {},
    )


def gives_signs(kernel: Any, parameters: Convolve) -> bool:
    """Whether the result of an image without negative values has some."""
    if parameters.result != "filtered":
        return parameters.result == "difference"
    if isinstance(kernel, str):
        return kernel in _SIGNED_NAMES
    return bool((np.asarray(getattr(kernel, "kernels", kernel)) < 0).any())


def _summary(bank: KernelBank | None, kernel: Any, notes: list[str]) -> dict[str, Any]:
    summary: dict[str, Any] = {"kernel": kernel} if isinstance(kernel, str) else {}
    if bank is not None:
        summary["kernels"] = list(bank.names)
        notes = [*notes, *([bank.metadata["note"]] if "note" in bank.metadata else [])]
        summary["layers"] = list(bank.metadata.get("layers", ()))
    summary["message"] = " ".join(notes)
    return summary


def _feature_maps(image: SpatialImage, parameters: Convolve) -> Job[Result]:
    from napari_convfact.convolution.feature_maps import feature_maps_job

    data = np.asarray(colours_first(image))
    spatial = 3 if image.rgb else 2
    leading = data.shape[: data.ndim - spatial]
    maps: list[np.ndarray] = []
    for index in np.ndindex(*leading):
        features = yield from feature_maps_job(
            data[index],
            parameters.file,
            parameters.depth,
            scaling=parameters.scaling,
            device=parameters.device,
        )
        maps.append(features.maps)
    stack = np.stack(maps, axis=1)
    stack = stack.reshape(len(stack), *leading, *stack.shape[2:])
    stride = features.stride
    return Result(
        stack,
        f"{image.name} features",
        like=None,
        leading_axes=("feature", *image.axis_labels),
        scale=(1.0, *image.scale[:-2], *(s * stride for s in image.scale[-2:])),
        units=("pixel", *image.units),
        summary={"modules": list(features.modules), "stride": stride},
        display={"colormap": "magma"},
    )


def check_inputs(inputs: Mapping[str, SpatialImage], parameters: Convolve) -> None:
    """Raise a ValueError if the parameters and the kernel do not fit the image."""
    image, kind = inputs["image"], _kind(inputs, parameters)
    if kind == "layer":
        _check_layer(image, inputs["kernel"], parameters)
    elif kind == "file":
        if not parameters.file:
            raise ValueError("Choose the file that holds the kernels.")
        check_file(parameters.file)
    elif parameters.ndim > image.ndim:
        raise ValueError(f"{image.name} has {image.ndim} axes: set the dimensions to that.")
    elif image.rgb and parameters.ndim != 2:
        raise ValueError(f"{image.name} is a colour image: its planes are filtered in 2-D only.")


def _check_layer(image: SpatialImage, kernel: SpatialImage, parameters: Convolve) -> None:
    if kernel.rgb:
        raise ValueError(f"The kernel {kernel.name} is a colour image: choose another layer.")
    shape = tuple(kernel.data.shape)[parameters.stack :]
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    if not shape or len(shape) > image.ndim:
        stack = len(shape) == image.ndim + 1 and not parameters.stack
        hint = ", or tick Stack of kernels" if stack else ""
        raise ValueError(
            f"The kernel {kernel.name} has {len(shape)} axes and the image {image.name} "
            f"{image.ndim}: the kernel needs one to that many{hint}."
        )


def plan(inputs: Mapping[str, SpatialImage], parameters: Convolve) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    check_inputs(inputs, parameters)
    image = inputs["image"]
    kind, kernels = _kind(inputs, parameters), 1
    text = f"Kernel: {kind}"
    if kind == "layer":
        shape = tuple(inputs["kernel"].data.shape)
        kernels = shape[0] if parameters.stack else 1
        text = f"Kernel {' × '.join(str(n) for n in shape)}"
    elif kind == "sobel":
        kernels = parameters.ndim
    elif kind == "file":
        text = f"Kernels of {Path(parameters.file).name}"
    samples = math.prod(image.data.shape)
    text = f"{text}. {choose_device(parameters.device).reason}"
    return Plan(text, 4.0 * samples * (kernels + 6))


def margin(inputs: Mapping[str, SpatialImage], parameters: Convolve) -> tuple[int, ...]:
    """Return how far the kernel reaches along its axes."""
    kind = _kind(inputs, parameters)
    if kind == "layer":
        return tuple(inputs["kernel"].data.shape)[parameters.stack :]
    if kind == "file":
        return (_FILE_MARGIN,) * 2
    reach = {"gaussian": math.ceil(4 * parameters.sigma), "box": parameters.size}
    return (reach.get(kind, 1),) * parameters.ndim


OPERATION = Operation(
    name="convolve",
    title="Convolve",
    summary="Blur, sharpen, find edges, or apply a bank of kernels: one layer for each.",
    parameters=Convolve,
    inputs=(
        Input("image", "Image", "The image to filter."),
        Input("kernel", "Kernel", "A kernel layer.", kind="kernel", optional=True),
    ),
    job=job,
    plan=plan,
    margin=margin,
)
