"""Classify pixels: paint two or more labels, get the whole image segmented by texture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.foundation.archive import archive_path
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.files import check_file, check_folder
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.colours import colours_first
from napari_convfact.operations.operation import Input, Operation, Plan, Result, SpatialImage
from napari_convfact.operations.texture import check_same_shape, frames_of, with_values
from napari_convfact.operations.texture_parameters import ClassifyPixels

if TYPE_CHECKING:
    from napari_convfact.kernels.bank import KernelBank
    from napari_convfact.texture.pixel_classifier import PixelClassifier
    from napari_convfact.texture.pixel_features import PixelFeatures

PROBABILITIES = {"colormap": "viridis", "contrast_limits": (0.0, 1.0)}
_FEATURES = ("local", "gabor", "residual", "intensity")
# Maps of each kind for one channel with the default settings.
_COUNTS = {"local": 18, "gabor": 40, "residual": 25, "intensity": 2}
_SHOWN = 8


def job(inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels) -> Job[list[Result]]:
    """Extend the labels that are painted in ``inputs["labels"]`` to the whole image."""
    check_inputs(inputs, parameters)
    yield Step(0, 0, "Preparing features")
    if parameters.model:
        return (yield from _apply(inputs["image"], load_classifier(parameters), parameters))
    return (yield from _learn(inputs["image"], inputs["labels"], parameters))


def _learn(
    image: SpatialImage, labels: SpatialImage, parameters: ClassifyPixels
) -> Job[list[Result]]:
    from napari_convfact.texture.pixels import check_paint, classify_pixels_job

    paint = check_paint(labels.data, tuple(image.data.shape[: image.ndim]))
    bank = yield from _bank(_frames(image, parameters.ndim), parameters, image)
    computed = yield from features_job(image, parameters, bank)
    found = yield from classify_pixels_job(
        paint,
        paint,
        n_trees=parameters.n_trees,
        probabilities=parameters.probabilities,
        seed=parameters.seed,
        computed=computed,
    )
    if parameters.model_file:
        _classifier(image, paint, computed, bank, parameters).save(parameters.model_file)
    lost = set(np.unique(paint[paint != 0]).tolist()) - set(found.classes)
    best = dict(list(found.importances.items())[:_SHOWN])
    summary = {
        "painted (%)": round(100 * float((paint != 0).mean()), 4),
        "importances": {name: round(value, 4) for name, value in best.items()},
    }
    if lost:
        which = ", ".join(map(str, sorted(lost)))
        summary["left out"] = f"Painted only where the image has no value: {which}."
    return _results(image, found.labels, found.probabilities, found.classes, computed, summary)


def _apply(
    image: SpatialImage, classifier: PixelClassifier, parameters: ClassifyPixels
) -> Job[list[Result]]:
    """Classify with a forest that was painted elsewhere."""
    from napari_convfact.texture.pixels import predict_job

    forest = yield from classifier.forest_job()
    computed = yield from features_job(image, settings_of(classifier, parameters), classifier.bank)
    classifier.check_features(computed)
    labels, shares = yield from predict_job(forest, computed)
    probabilities = shares if parameters.probabilities else None
    return _results(image, labels, probabilities, tuple(classifier.classes), computed, {})


def _results(
    image: SpatialImage,
    labels: np.ndarray,
    probabilities: np.ndarray | None,
    classes: tuple[int, ...],
    computed: PixelFeatures,
    summary: dict[str, Any],
) -> list[Result]:
    shares = {str(label): round(float((labels == label).mean()), 6) for label in classes}
    message = f"{len(classes)} classes by {len(computed.names)} features."
    summary = {**summary, "shares": shares, "message": message}
    results = [Result(labels, f"{image.name} classes", kind="labels", summary=summary)]
    if probabilities is not None:
        results.append(
            Result(
                probabilities,
                f"{image.name} probabilities",
                leading_axes=("class",),
                summary={"classes": list(classes)},
                display=PROBABILITIES,
            )
        )
    return results


def _classifier(
    image: SpatialImage,
    paint: np.ndarray,
    computed: PixelFeatures,
    bank: KernelBank | None,
    parameters: ClassifyPixels,
) -> PixelClassifier:
    from napari_convfact.texture.pixel_classifier import PixelClassifier
    from napari_convfact.texture.pixels import painted_examples

    examples, labels = painted_examples(computed, paint)
    return PixelClassifier(
        np.ascontiguousarray(examples),
        labels,
        computed.names,
        tuple(_features(parameters)),
        parameters.sigma,
        parameters.ndim,
        3 if image.rgb else 1,
        bank,
        parameters.n_trees,
        parameters.seed,
    )


def load_classifier(parameters: ClassifyPixels) -> PixelClassifier:
    """Return the saved classifier that the parameters name."""
    from napari_convfact.texture.pixel_classifier import PixelClassifier

    return PixelClassifier.load(parameters.model)


def settings_of(classifier: PixelClassifier, parameters: ClassifyPixels) -> ClassifyPixels:
    """Return the parameters with a classifier's own features, window and dimensions."""
    kinds: dict[str, Any] = {name: name in classifier.features for name in _FEATURES}
    return replace(parameters, **kinds, sigma=classifier.sigma, ndim=classifier.ndim)


def _features(parameters: ClassifyPixels) -> list[Any]:
    return [name for name in _FEATURES if getattr(parameters, name)]


def _frames(image: SpatialImage, ndim: int) -> np.ndarray:
    return frames_of(colours_first(image, ndim), ndim + image.rgb)


def features_job(
    image: SpatialImage, parameters: ClassifyPixels, bank: KernelBank | None
) -> Job[PixelFeatures]:
    """Generate the feature maps of all frames, ``(features, *image)``."""
    from napari_convfact.texture.pixel_features import PixelFeatures, pixel_features_job

    ndim = parameters.ndim
    frames = _frames(image, ndim)
    parts: dict[int, PixelFeatures] = {}
    for number in with_values(frames):
        frame = frames[number]
        parts[number] = yield from pixel_features_job(
            frame,
            _features(parameters),
            bank=bank,
            sigma=parameters.sigma,
            channel_axis=0 if image.rgb else None,
            seed=parameters.seed,
            device=parameters.device,
        )
    first = next(iter(parts.values()))
    nothing = PixelFeatures(
        np.zeros_like(first.maps), first.names, np.ones(first.maps.shape[1:], bool)
    )
    found = [parts.get(number, nothing) for number in range(len(frames))]
    shape = tuple(image.data.shape[: image.ndim])
    maps = np.stack([part.maps for part in found], axis=1).reshape(-1, *shape)
    missing = None
    if any(part.missing is not None for part in found):
        empty = np.zeros(shape[image.ndim - ndim :], dtype=bool)
        masks = [empty if part.missing is None else part.missing for part in found]
        missing = np.stack(masks).reshape(shape)
    return PixelFeatures(maps, first.names, missing)


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
    planes = planes[with_values(planes)]
    return (
        yield from own_bank_job(
            planes, ndim=parameters.ndim, seed=parameters.seed, device=parameters.device
        )
    )


def check_inputs(inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels) -> None:
    """Raise a ValueError if the parameters do not fit the images."""
    image = inputs["image"]
    if parameters.model_file:
        check_folder(parameters.model_file)
    for path in filter(None, (parameters.model, parameters.file)):
        check_file(archive_path(path))
    if parameters.model:
        classifier = load_classifier(parameters)
        if classifier.channels != (3 if image.rgb else 1):
            kinds = {1: "images of one channel", 3: "colour images"}
            raise ValueError(f"The classifier was painted on {kinds[classifier.channels]}.")
        parameters = settings_of(classifier, parameters)
    elif "labels" not in inputs:
        raise ValueError("Paint two or more labels and choose their layer, or a classifier's file.")
    if parameters.ndim > image.ndim:
        raise ValueError(f"{image.name} has {image.ndim} axes: set the dimensions to that.")
    if not any(getattr(parameters, name) for name in _FEATURES):
        raise ValueError("There is nothing to classify by: tick at least one kind of features.")
    if not parameters.model:
        check_same_shape(image, inputs["labels"])


def plan(inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels) -> Plan:
    """Say what a run will do; raise ValueError if it cannot."""
    check_inputs(inputs, parameters)
    image = inputs["image"]
    if parameters.model:
        parameters = settings_of(load_classifier(parameters), parameters)
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
        Input(
            "labels",
            "Paint",
            "Two or more labels, painted in a few places; none for a saved classifier.",
            kind="labels",
            optional=True,
        ),
    ),
    job=job,
    plan=plan,
)
