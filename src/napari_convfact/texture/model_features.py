"""Features of an image's own autoregressive models: weights, predictability, anisotropy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_convfact.texture.autoregression import solve
from napari_convfact.texture.images import TextureImage
from napari_convfact.texture.measure import image_moments
from napari_convfact.texture.moments import Moments
from napari_convfact.texture.support import Support, make_support
from napari_convfact.texture.windows import label_moments

# More than for a fit: features should not follow what is nearly unpredictable.
_RIDGE = 1e-4


def model_features(
    images: Sequence[TextureImage],
    labels: np.ndarray | None,
    values: Sequence[int] | None,
    dilations: Sequence[int],
    groups: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return columns with a row for each image, or for each label of the only image.

    Parameters
    ----------
    images : sequence of TextureImage
        Of one shape and one channel.
    labels : numpy.ndarray or None
        Whole numbers, ``(*n)``.
    values : sequence of int or None
        The labels that have a row.
    dilations : sequence of int
        A symmetric model of radius 1 for each.
    groups : sequence of str
        Which columns: those of ``"model"``, ``"anisotropy"``, or both.

    Returns
    -------
    dict of str to numpy.ndarray
        NaN where a label holds fewer windows than a model has weights.
    """
    columns: dict[str, np.ndarray] = {}
    wanted = set(groups) & {"model", "anisotropy"}
    for dilation in dilations if wanted else ():
        support = make_support(1, dilation, len(images[0].shape))
        moments = _moments(images, labels, values, support)
        weights = solve(moments, "symmetric", _RIDGE)
        enough = np.where(moments.weight > weights.shape[1], 1.0, np.nan)
        free = weights[..., 0] * enough[:, None]
        if "model" in groups:
            columns |= _model_columns(moments, weights, free, support, enough)
        if "anisotropy" in groups:
            columns |= _anisotropy_columns(free, support)
    return columns


def _moments(
    images: Sequence[TextureImage],
    labels: np.ndarray | None,
    values: Sequence[int] | None,
    support: Support,
) -> Moments:
    size = 1 + support.size
    rows = len(images) if values is None else len(values)
    if any(k > n for k, n in zip(support.extent, images[0].shape, strict=True)):
        empty = np.zeros((rows, size, size))
        return Moments(support, np.zeros(rows), empty[:, 0], empty)
    if labels is None or values is None:
        return image_moments(images, support)
    return label_moments(images[0], labels, values, support)


def _model_columns(
    moments: Moments, weights: np.ndarray, free: np.ndarray, support: Support, enough: np.ndarray
) -> dict[str, np.ndarray]:
    suffix = f"dilation {support.dilation}"
    columns = {}
    for column, group in enumerate(support.groups("symmetric")):
        offset = tuple(map(int, support.offsets[group[-1]]))
        columns[f"weight {offset}"] = free[:, column]
    full = support.tie_matrix("symmetric") @ weights
    variance, total = moments.error(full[:, None])[:, 0, 0], moments.c[:, 0]
    share = np.where(total > 0, variance / np.where(total > 0, total, 1), 1).clip(1e-12, 1)
    columns[f"log_variance {suffix}"] = np.log(share) * enough
    columns[f"predictability {suffix}"] = (1 - share) * enough
    return columns


def _anisotropy_columns(free: np.ndarray, support: Support) -> dict[str, np.ndarray]:
    """How unequal the directions are from which the weights predict.

    The tensor is the sum of ``|w| u u'`` over the neighbours, u their unit directions; the
    coherence is the spread of its eigenvalues over their sum.
    """
    suffix = f"dilation {support.dilation}"
    groups = support.groups("symmetric")
    directions = support.steps[[group[-1] for group in groups]].astype(float)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = np.abs(np.nan_to_num(free))
    tensor = np.einsum("nf,fi,fj->nij", strength, directions, directions)
    values = np.linalg.eigvalsh(tensor)
    total = np.where(strength.sum(axis=1) > 0, strength.sum(axis=1), 1)
    unknown = np.where(np.isnan(free[:, 0]), np.nan, 1.0)
    columns = {f"coherence {suffix}": (values[:, -1] - values[:, 0]) / total * unknown}
    if support.ndim == 2:
        along_x = (tensor[:, 1, 1] - tensor[:, 0, 0]) / total
        columns[f"along_x {suffix}"] = along_x * unknown
        columns[f"along_diagonal {suffix}"] = 2 * tensor[:, 0, 1] / total * unknown
    return columns
