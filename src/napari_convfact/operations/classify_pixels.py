"""Classify pixels: paint two or more labels, get the whole image segmented by texture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.colours import colours_first
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.texture import check_same_shape, frames_of
from napari_convfact.operations.texture_parameters import ClassifyPixels

if TYPE_CHECKING:
    from napari_convfact.kernels.bank import KernelBank
    from napari_convfact.texture.pixel_features import PixelFeatures

_FEATURES = ("local", "gabor", "residual", "intensity")
# Maps of each kind for one channel with the default settings.
_COUNTS = {"local": 18, "gabor": 40, "residual": 25, "intensity": 2}
_SHOWN = 8


def job(inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels) -> Job[list[Result]]:
    """Extend the labels that are painted in ``inputs["labels"]`` to the whole image."""
    _check(inputs, parameters)
    yield Step(0, 0, "Preparing features")
    from napari_convfact.texture.pixels import classify_pixels_job

    image, labels = inputs["image"], inputs["labels"]
    paint = np.asarray(labels.data)
    computed = yield from features_job(image, parameters)
    found = yield from classify_pixels_job(
        paint,
        paint,
        n_trees=parameters.n_trees,
        probabilities=parameters.probabilities,
        seed=parameters.seed,
        computed=computed,
    )
    shares = {
        str(label): round(float((found.labels == label).mean()), 6) for label in found.classes
    }
    best = dict(list(found.importances.items())[:_SHOWN])
    summary = {
        "painted": round(float((paint != 0).mean()), 6),
        "shares": shares,
        "importances": {name: round(value, 4) for name, value in best.items()},
        "message": f"{len(found.classes)} classes by {len(computed.names)} features.",
    }
    results = [Result(found.labels, f"{image.name} classes", kind="labels", summary=summary)]
    if found.probabilities is not None:
        results.append(
            Result(
                found.probabilities,
                f"{image.name} probabilities",
                leading_axes=("class",),
                summary={"classes": list(found.classes)},
                display={"colormap": "viridis", "contrast_limits": (0.0, 1.0)},
            )
        )
    return results


def features_job(image: SpatialImage, parameters: ClassifyPixels) -> Job[PixelFeatures]:
    """Generate the feature maps of all frames, ``(features, *image)``."""
    from napari_convfact.texture.pixel_features import PixelFeatures, pixel_features_job

    ndim = parameters.ndim
    frames = frames_of(colours_first(image, ndim), ndim + image.rgb)
    bank = yield from _bank(frames, parameters, image)
    parts = []
    for frame in frames:
        part = yield from pixel_features_job(
            frame,
            [name for name in _FEATURES if getattr(parameters, name)],  # type: ignore[misc]
            bank=bank,
            sigma=parameters.sigma,
            channel_axis=0 if image.rgb else None,
            seed=parameters.seed,
            device=parameters.device,
        )
        parts.append(part)
    shape = tuple(image.data.shape[: image.ndim])
    maps = np.stack([part.maps for part in parts], axis=1).reshape(-1, *shape)
    missing = None
    if any(part.missing is not None for part in parts):
        empty = np.zeros(shape[image.ndim - ndim :], dtype=bool)
        masks = [empty if part.missing is None else part.missing for part in parts]
        missing = np.stack(masks).reshape(shape)
    return PixelFeatures(maps, parts[0].names, missing)


def _bank(
    frames: np.ndarray, parameters: ClassifyPixels, image: SpatialImage
) -> Job[KernelBank | None]:
    """One bank for all frames, where residuals are wanted."""
    if not parameters.residual:
        return None
    if parameters.file:
        from napari_convfact.kernels.bank import KernelBank

        return KernelBank.load(parameters.file)
    from napari_convfact.texture.pixel_features import own_bank_job

    planes = frames.reshape(-1, *frames.shape[2:]) if image.rgb else frames
    return (yield from own_bank_job(planes, ndim=parameters.ndim, device=parameters.device))


def _check(inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels) -> None:
    image = inputs["image"]
    if parameters.ndim > image.ndim:
        raise ValueError(f"{image.name} has {image.ndim} axes: set the dimensions to that.")
    if not any(getattr(parameters, name) for name in _FEATURES):
        raise ValueError("There is nothing to classify by: tick at least one kind of features.")
    check_same_shape(image, inputs["labels"])


def plan(inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    _check(inputs, parameters)
    image = inputs["image"]
    channels = 3 if image.rgb else 1
    count = channels * sum(_COUNTS[name] for name in _FEATURES if getattr(parameters, name))
    axes = image.last_axes(parameters.ndim)
    text = (
        f"{parameters.ndim}-D over {axes}, about {count} features for each pixel. "
        f"{choose_device(parameters.device).reason}"
    )
    return Plan(text, 4.0 * math.prod(image.data.shape[: image.ndim]) * (2 * count + 8))


__all__ = ["OPERATION", "ClassifyPixels"]

OPERATION = Operation(
    name="classify-pixels",
    title="Classify pixels",
    summary="Extend a few painted labels to the whole image, by texture.",
    parameters=ClassifyPixels,
    inputs=(
        Input("image", "Image", "The image to segment."),
        Input("labels", "Paint", "Two or more labels, painted in a few places.", kind="labels"),
    ),
    job=job,
    plan=plan,
)
