"""Pixels of large images by a classifier that was painted on a part of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.batch.halo import Reach
from napari_convfact.batch.method import (
    MirroredWindows,
    Output,
    TiledOperation,
    TileFilter,
    missing_values,
)
from napari_convfact.batch.methods.texture import means_job
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.classify_pixels import (
    PROBABILITIES,
    check_inputs,
    load_classifier,
)
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.texture_parameters import ClassifyPixels

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from napari_convfact.texture.pixel_classifier import PixelClassifier

# Bytes for a voxel of a window: a feature where it is made and among all; the most that
# making one kind of features takes; labels and trees.
_FEATURE, _WORK, _ANSWER = 8.0, 320.0, 24.0
# Waves end where they have fallen to this.
_TAIL = 3.4e-4


def constants(
    inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels
) -> Job[dict[str, Any]]:
    """Read the classifier, and the means of all images where residuals need them."""
    image = inputs["image"]
    if not parameters.model:
        raise ValueError(
            "Large images are classified by a saved classifier: paint and run on a part, with a "
            "name under Save classifier, and choose that file as Classifier here."
        )
    check_inputs(inputs, parameters)
    yield Step(0, 0, "Reading the classifier")
    classifier = load_classifier(parameters)
    found: dict[str, Any] = {"classifier": classifier.fingerprint}
    if "residual" in classifier.features:
        found["means"] = yield from means_job(image, classifier.ndim)
    return found


def _refuse_colours(image: SpatialImage) -> SpatialImage:
    if image.rgb:
        raise ValueError("Colour images are classified in memory only.")
    return image


def method(
    inputs: Mapping[str, SpatialImage], parameters: ClassifyPixels, constants: Mapping[str, Any]
) -> ClassifierTiles:
    """Return how the parameters are carried out on tiles."""
    image, classifier = inputs["image"], load_classifier(parameters)
    if classifier.fingerprint != constants["classifier"]:
        raise ValueError(
            f"{parameters.model} is another classifier than the run was begun with: bring that "
            "one back, or start anew."
        )
    leading = tuple(image.data.shape[: image.ndim - classifier.ndim])
    return ClassifierTiles(image.name, leading, classifier, parameters, constants)


@dataclass(frozen=True)
class ClassifierTiles(MirroredWindows):
    """A forest on the features of a window.

    Attributes
    ----------
    name : str
        Of the image.
    leading : tuple of int
        Shape of its leading axes.
    classifier : PixelClassifier
        The saved one.
    parameters : ClassifyPixels
        The operation's.
    constants : mapping
        The means.
    """

    name: str
    leading: tuple[int, ...]
    classifier: PixelClassifier
    parameters: ClassifyPixels
    constants: Mapping[str, Any]
    _grown: list[RandomForestClassifier] = field(default_factory=list, repr=False)

    @property
    def ndim(self) -> int:
        """Spatial axes."""
        return self.classifier.ndim

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The classes, and their probabilities if they are wanted."""
        classes = Output(f"{self.name} classes", kind="labels")
        if not self.parameters.probabilities:
            return (classes,)
        count = (len(self.classifier.classes),)
        return classes, Output(f"{self.name} probabilities", count, ("class",), PROBABILITIES)

    @property
    def bytes_per_voxel(self) -> float:
        """Memory at the peak for a voxel of a window."""
        features, classes = len(self.classifier.names), len(self.classifier.classes)
        return _FEATURE * features + _WORK + _ANSWER + 4.0 * classes

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Return how far features see."""
        del image, tolerance
        yield Step(0, 0, "The halo is the reach of the features")
        from napari_convfact.texture.pixel_features import pixel_features_halo

        c = self.classifier
        halo = pixel_features_halo(c.features, bank=c.bank, sigma=c.sigma, ndim=c.ndim)
        return Reach((halo,) * self.ndim, (_TAIL,) * self.ndim)

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return what classifies windows."""
        from napari_convfact.texture.pixel_features import pixel_features_job
        from napari_convfact.texture.pixels import predict_job

        del padded
        c = self.classifier

        def apply(window: np.ndarray, leading: tuple[int, ...]) -> Job[list[np.ndarray]]:
            nothing = missing_values(self.outputs, window)
            if nothing:
                return nothing
            if not self._grown:
                self._grown.append((yield from c.forest_job()))
            computed = yield from pixel_features_job(
                window,
                c.features,  # type: ignore[arg-type]
                bank=c.bank,
                sigma=c.sigma,
                mean=self._mean(leading),
                device=self.parameters.device,
            )
            c.check_features(computed)
            labels, shares = yield from predict_job(self._grown[0], computed)
            return [labels, shares] if self.parameters.probabilities else [labels]

        return apply

    def _mean(self, leading: tuple[int, ...]) -> float | None:
        if "means" not in self.constants:
            return None
        number = int(np.ravel_multi_index(leading, self.leading)) if leading else 0
        return float(self.constants["means"][number])

    def summary(self) -> dict[str, Any]:
        """Return findings for the provenance record."""
        return {"classes": self.classifier.classes, "features": len(self.classifier.names)}


TILED = TiledOperation(constants, method, _refuse_colours)
