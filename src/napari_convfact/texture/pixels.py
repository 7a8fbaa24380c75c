"""A few painted labels in, a dense segmentation out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.foundation.device import cpu_count
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.images import check_channel_axis
from napari_convfact.texture.pixel_features import Feature, PixelFeatures, pixel_features_job

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

# So many pixels are predicted, and so many trees grown, between two steps.
_BLOCK = 2**16
_TREES = 10


@dataclass(frozen=True, eq=False)
class PixelClassification:
    """A dense segmentation.

    Attributes
    ----------
    labels : numpy.ndarray
        int32, ``(*n)``; 0 where the image has no value.
    probabilities : numpy.ndarray or None
        float32, ``(classes, *n)``, if they were asked for; NaN where the image has no value.
    classes : tuple of int
        The painted labels, in the order of `probabilities`.
    importances : dict of str to float
        How much each feature map helped, the largest first; they sum to 1.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None
    classes: tuple[int, ...]
    importances: dict[str, float]


def classify_pixels(
    image: Any,
    sparse_labels: Any,
    features: Sequence[Feature] = ("local", "gabor"),
    *,
    bank: KernelBank | None = None,
    sigma: float = 6.0,
    channel_axis: int | None = None,
    n_trees: int = 100,
    probabilities: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Extend a few painted labels to the whole image, by texture.

    A random forest learns the painted pixels from maps of texture features.

    Parameters
    ----------
    image : array_like
        ``(*n)`` with one to three axes, and channels if `channel_axis` is given.
    sparse_labels : array_like
        Whole numbers ``(*n)``; 0 is unpainted, and at least two labels are needed.
    features : sequence of str
        Of ``"local"`` (autoregressive model at each pixel), ``"residual"`` (residual energies
        of a kernel bank), ``"gabor"`` (energies of waves) and ``"intensity"`` (local mean and
        variance).
    bank : KernelBank, optional
        For ``"residual"``; by default one is learned from the image, for all of its channels.
    sigma : float
        Standard deviation in pixels of the window that features are averaged over: smaller
        follows edges better, larger knows coarse textures better.
    channel_axis : int, optional
        Axis that holds channels; each gets features of its own.
    n_trees : int
        Size of the forest.
    probabilities : bool
        Whether to return the forest's probabilities too.
    seed : int
        Of the forest.
    device : str
        Where features are computed.

    Returns
    -------
    labels : numpy.ndarray
        int32, ``(*n)``; 0 where the image has no value.
    probabilities : numpy.ndarray
        float32, ``(classes, *n)`` in ascending order of the labels, if asked for; NaN where
        the image has no value.

    Raises
    ------
    ValueError
        If an argument is not legal, shapes differ, or fewer than two labels are painted.

    References
    ----------
    L. Breiman, "Random forests", Machine Learning 45, 2001.
    """
    result = run(
        classify_pixels_job(
            image,
            sparse_labels,
            features,
            bank=bank,
            sigma=sigma,
            channel_axis=channel_axis,
            n_trees=n_trees,
            probabilities=probabilities,
            seed=seed,
            device=device,
        )
    )
    if result.probabilities is None:
        return result.labels
    return result.labels, result.probabilities


def classify_pixels_job(
    image: Any,
    sparse_labels: Any,
    features: Sequence[Feature] = ("local", "gabor"),
    *,
    bank: KernelBank | None = None,
    sigma: float = 6.0,
    channel_axis: int | None = None,
    n_trees: int = 100,
    probabilities: bool = False,
    seed: int = 0,
    device: str = "auto",
    computed: PixelFeatures | None = None,
) -> Job[PixelClassification]:
    """Generate the steps of `classify_pixels`.

    `computed` holds the image's feature maps if they are known: after more paint only the
    forest is grown anew.
    """
    shape = list(np.shape(image))
    check_channel_axis(channel_axis, len(shape))
    if channel_axis is not None:
        del shape[channel_axis]
    paint = check_paint(sparse_labels, tuple(shape))
    if n_trees != int(n_trees) or n_trees < 1:
        raise ValueError(f"n_trees must be a positive whole number, not {n_trees!r}.")
    if computed is None:
        computed = yield from pixel_features_job(
            image,
            features,
            bank=bank,
            sigma=sigma,
            channel_axis=channel_axis,
            seed=seed,
            device=device,
        )
    return (yield from _forest(computed, paint, int(n_trees), probabilities, seed))


def check_paint(sparse_labels: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return painted labels, or raise a ValueError that says what is wrong with them."""
    paint = np.asarray(sparse_labels)
    if paint.dtype.kind not in "biu":
        raise ValueError(f"Labels are whole numbers, but these are {paint.dtype}.")
    if paint.shape != shape:
        raise ValueError(f"The labels' shape is {paint.shape}, but the image's is {shape}.")
    named = np.unique(paint[paint != 0])
    if len(named) < 2:
        raise ValueError("Paint at least two labels: one class cannot be told from another.")
    limits = np.iinfo(np.int32)
    if named[0] < limits.min or named[-1] > limits.max:
        raise ValueError(f"Labels go up to {limits.max}, but {named[-1]} is painted: use others.")
    return paint


def _forest(
    computed: PixelFeatures, paint: np.ndarray, n_trees: int, probabilities: bool, seed: int
) -> Job[PixelClassification]:
    examples, names = painted_examples(computed, paint)
    if len(np.unique(names)) < 2:
        raise ValueError("Paint at least two labels where the image has values.")
    forest = yield from grow_job(examples, names, n_trees, seed)
    labels, shares = yield from predict_job(forest, computed)
    order = np.argsort(-forest.feature_importances_)
    return PixelClassification(
        labels,
        shares if probabilities else None,
        tuple(int(value) for value in forest.classes_),
        {computed.names[i]: float(forest.feature_importances_[i]) for i in order},
    )


def painted_examples(computed: PixelFeatures, paint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features ``(painted, features)`` and the labels ``(painted,)`` of the paint."""
    painted = paint != 0 if computed.missing is None else (paint != 0) & ~computed.missing
    return computed.maps[:, painted].T, paint[painted]


def grow_job(
    examples: np.ndarray, names: np.ndarray, n_trees: int, seed: int
) -> Job[RandomForestClassifier]:
    """Grow a forest on examples ``(n, features)`` with their labels ``(n,)``."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(warm_start=True, random_state=seed, n_jobs=cpu_count())
    for grown in range(0, n_trees, _TREES):
        yield Step(grown, n_trees, "Growing trees")
        forest.set_params(n_estimators=min(grown + _TREES, n_trees)).fit(examples, names)
    return forest


def predict_job(
    forest: RandomForestClassifier, computed: PixelFeatures
) -> Job[tuple[np.ndarray, np.ndarray]]:
    """Classify every pixel: labels int32 ``(*n)``, probabilities ``(classes, *n)``."""
    shape = computed.maps.shape[1:]
    flat = computed.maps.reshape(len(computed.maps), -1)
    labels = np.empty(flat.shape[1], dtype=np.int32)
    shares = np.empty((len(forest.classes_), len(labels)), dtype=np.float32)
    for start in range(0, len(labels), _BLOCK):
        yield Step(start, len(labels), "Classifying pixels")
        block = slice(start, start + _BLOCK)
        shares[:, block] = forest.predict_proba(flat[:, block].T).T
        labels[block] = forest.classes_[shares[:, block].argmax(axis=0)]
    if computed.missing is not None:
        labels[computed.missing.ravel()] = 0
        shares[:, computed.missing.ravel()] = np.nan
    return labels.reshape(shape), shares.reshape(-1, *shape)
