"""Learn a bank of kernels that predict textures, or reduce one to the kernels that matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.bank_errors import usage_and_explained
from napari_convfact.texture.clusters import NormalEquations, greedy_cover, mixture
from napari_convfact.texture.images import TextureImage, cut_patches, texture_images
from napari_convfact.texture.measure import moments_job
from napari_convfact.texture.moments import Moments
from napari_convfact.texture.support import Support, make_supports

Method = Literal["em", "kmeans", "greedy", "pca", "class", "gabor"]
METHODS = ("em", "kmeans", "greedy", "pca", "class", "gabor")
# Fewer images than this are cut into patches, of this smallest side, so many for each kernel.
_IMAGES_PER_KERNEL = 2
_SMALLEST_PATCH = 32
_PATCHES_PER_KERNEL = 8


def learn_bank(
    images: Any,
    n_kernels: int = 16,
    *,
    method: Method = "em",
    labels: Any = None,
    radius: int | Sequence[int] = 2,
    dilations: Sequence[int] = (1,),
    tie: str = "symmetric",
    boundary: str = "periodic",
    patch_size: int | Literal["auto"] | None = "auto",
    ndim: int = 2,
    ridge: float = 1e-6,
    seed: int = 0,
    device: str = "auto",
) -> KernelBank:
    """Learn kernels that predict a pixel from its neighbours, for a set of textures.

    The kernels are learned from the images' second-order moments; each image counts the
    same, whatever its contrast.

    Parameters
    ----------
    images : array_like or sequence of array_like
        One image ``(*n)``, a stack ``(images, *n)`` or a sequence of images of any sizes.
    n_kernels : int
        Number of kernels (for each dilation).
    method : {"em", "kmeans", "greedy", "class", "pca", "gabor"}
        ``"em"``: mixture of autoregressive models, by hard assignment. ``"kmeans"``: centres
        of the images' own kernels. ``"greedy"``: those of the images' own kernels that
        together explain the most. ``"class"``: the kernels are divided among the classes;
        each class is pooled or gets a mixture of its own. ``"pca"``: the mean kernel, and the
        mean plus and minus one standard deviation along the principal components.
        ``"gabor"``: a fixed Gabor bank, centre zero, each kernel with its best gain.
    labels : array_like, optional
        Class of each image, for ``"class"``.
    radius : int or sequence of int
        Neighbours to each side.
    dilations : sequence of int
        Distances between neighbours; each gets `n_kernels` kernels.
    tie : {"symmetric", "full", "ring", "causal"}
        See `fit_autoregression`.
    boundary : {"periodic", "valid", "zero", "reflect"}
        See `fit_autoregression`.
    patch_size : int, "auto" or None
        Cut the images into squares (cubes) of this side. ``"auto"`` does so where there are
        too few images for so many kernels. None never does.
    ndim : int
        Number of spatial axes.
    ridge : float
        See `fit_autoregression`.
    seed : int
        Of the starts.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Returns
    -------
    KernelBank
        In the order in which the kernels add most to what the bank explains, with `usage` and
        `explained`.

    Raises
    ------
    ValueError
        If an argument is not legal, or there are too few images for so many kernels.

    References
    ----------
    J. Mao and A. K. Jain, "Texture classification and segmentation using multiresolution
    simultaneous autoregressive models", Pattern Recognition 25, 1992. D. Arthur and
    S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    return run(
        learn_bank_job(
            images,
            n_kernels,
            method=method,
            labels=labels,
            radius=radius,
            dilations=dilations,
            tie=tie,
            boundary=boundary,
            patch_size=patch_size,
            ndim=ndim,
            ridge=ridge,
            seed=seed,
            device=device,
        )
    )


def learn_bank_job(
    images: Any,
    n_kernels: int = 16,
    *,
    method: Method = "em",
    labels: Any = None,
    radius: int | Sequence[int] = 2,
    dilations: Sequence[int] = (1,),
    tie: str = "symmetric",
    boundary: str = "periodic",
    patch_size: int | Literal["auto"] | None = "auto",
    ndim: int = 2,
    ridge: float = 1e-6,
    seed: int = 0,
    device: str = "auto",
) -> Job[KernelBank]:
    """Generate the steps of `learn_bank`."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    if n_kernels != int(n_kernels) or n_kernels < 1:
        raise ValueError(f"n_kernels must be a positive whole number, not {n_kernels!r}.")
    checked = texture_images(images, ndim=ndim)
    classes = _classes(labels, len(checked), method, n_kernels)
    supports = make_supports(radius, dilations, ndim)
    place = choose_device(device, dtype="float64").name
    reach = tuple(max(axis) for axis in zip(*(support.reach for support in supports), strict=True))
    patches, origin = _patches(checked, patch_size, n_kernels, 4 * max(reach) + 1)
    kernels, names, errors, spacing = [], [], [], []
    for support in supports:
        moments = yield from moments_job(patches, support, boundary=boundary, device=place)
        problem, kept = normal_equations(moments, tie, ridge)
        if not len(problem):
            raise ValueError(
                "All images are constant or full of missing values: there is no texture to learn."
            )
        if method != "gabor" and len(problem) < n_kernels:
            raise ValueError(
                f"{len(problem)} of {len(patches)} images or patches are neither constant nor "
                f"full of missing values, too few for {n_kernels} kernels: use more images, cut "
                "them into patches (patch_size), or ask for fewer kernels (n_kernels)."
            )
        group = None if classes is None else classes[origin][kept]
        weights = yield from _learn(problem, n_kernels, method, group, support, tie, seed)
        error = problem.error(weights)
        order = greedy_cover(error, len(weights))
        full = weights[order] @ support.tie_matrix(tie).T
        kernels.append(support.kernels(full, reach)[:, 0])
        errors.append(error[:, order])
        suffix = f" dilation {support.dilation}" if len(supports) > 1 else ""
        names += [f"{method} {index}{suffix}" for index in range(len(order))]
        spacing += [support.dilation] * len(order)
    usage, explained = usage_and_explained(np.concatenate(errors, axis=1))
    metadata = {
        "method": method,
        "radius": list(supports[0].radius),
        "dilations": [support.dilation for support in supports],
        "tie": tie,
        "images": len(checked),
        "patches": len(patches),
        "seed": seed,
    }
    return KernelBank(
        np.concatenate(kernels), tuple(names), ndim, tuple(spacing), usage, explained, metadata
    )


def normal_equations(
    moments: Moments, tie: str, ridge: float
) -> tuple[NormalEquations, np.ndarray]:
    """Return the problems of the images that are not constant, and which these are."""
    kept = np.flatnonzero((moments.weight > 0) & (moments.c[:, 0] > 0))
    matrix = moments.support.tie_matrix(tie)
    scale = moments.c[kept]
    A = (matrix.T @ moments.A[kept] @ matrix) / scale[..., None]
    b = (matrix.T @ moments.b[kept])[..., 0] / scale
    load = ridge * np.einsum("nii->n", A) / A.shape[-1]
    return NormalEquations(A + load[:, None, None] * np.eye(A.shape[-1]), b), kept


def _learn(
    problem: NormalEquations,
    count: int,
    method: str,
    classes: np.ndarray | None,
    support: Support,
    tie: str,
    seed: int,
) -> Job[np.ndarray]:
    yield Step(0, 0, f"Learning {count} kernels")
    if method in ("em", "kmeans"):
        return (yield from mixture(problem, count, method=method, seed=seed))
    if method == "greedy":
        own = problem.solve()
        return own[greedy_cover(problem.error(own), count)]
    if method == "pca":
        return _principal_kernels(problem.solve(), count)
    if method == "gabor":
        return _gabor_weights(problem, count, support, tie)
    assert classes is not None
    names = np.unique(classes)
    parts = []
    for name in names:
        members = problem[np.flatnonzero(classes == name)]
        share = min(count // len(names), len(members))
        parts.append((yield from mixture(members, share, method="em", seed=seed)))
    return np.concatenate(parts)


def _principal_kernels(own: np.ndarray, count: int) -> np.ndarray:
    mean = own.mean(axis=0)
    _, size, directions = np.linalg.svd(own - mean, full_matrices=False)
    deviations = size[:, None] * directions / np.sqrt(max(len(own) - 1, 1))
    kernels = [mean]
    for deviation in deviations:
        kernels += [mean + deviation, mean - deviation]
    return np.stack(kernels[:count])


def _gabor_weights(problem: NormalEquations, count: int, support: Support, tie: str) -> np.ndarray:
    """Return a fixed Gabor bank as predictors: centre zero, each scaled by its best gain."""
    from napari_convfact.gabor.bank import gabor_bank

    orientations = 8 if count % 8 == 0 else 4 if count % 4 == 0 else count
    gabor = gabor_bank(
        n_scales=max(1, count // orientations), n_orientations=orientations, ndim=support.ndim
    )
    size = tuple(2 * r + 1 for r in support.radius)
    kernels = np.asarray(gabor.kernels(size)).real.reshape(-1, 1, *size)[:count]
    compact = Support(support.radius)
    # The projection on the ties: the mean over the neighbours that share a weight.
    matrix = support.tie_matrix(tie)
    weights = compact.weights(kernels.astype(np.float64)) @ matrix / matrix.sum(axis=0)
    linear = problem.b.mean(axis=0) @ weights.T
    quadratic = np.einsum("kf,fg,kg->k", weights, problem.A.mean(axis=0), weights)
    gain = linear / np.where(quadratic > 0, quadratic, 1)
    return np.asarray(weights * gain[:, None])


def _classes(labels: Any, count: int, method: str, n_kernels: int) -> np.ndarray | None:
    if method != "class":
        return None
    if labels is None:
        raise ValueError("method='class' needs labels: the class of each image.")
    classes = np.asarray(labels)
    if classes.shape != (count,):
        raise ValueError(f"There are {count} images but labels of shape {classes.shape}.")
    if len(np.unique(classes)) > n_kernels:
        raise ValueError(
            f"There are {len(np.unique(classes))} classes but only {n_kernels} kernels: raise "
            "n_kernels to at least one for each class."
        )
    return classes


def _patches(
    images: list[TextureImage], size: int | str | None, n_kernels: int, smallest: int
) -> tuple[list[TextureImage], np.ndarray]:
    """Cut images into patches; return them and the index of each one's image."""
    whole = np.arange(len(images))
    wanted = _PATCHES_PER_KERNEL * n_kernels
    if size == "auto":
        if len(images) >= _IMAGES_PER_KERNEL * n_kernels:
            return images, whole
        volume = sum(np.prod([float(n) for n in image.shape]) for image in images) / wanted
        side = int(volume ** (1 / len(images[0].shape)))
        size = max(side, _SMALLEST_PATCH, smallest)
        if len(images) >= n_kernels and size >= min(min(image.shape) for image in images):
            return images, whole
    if size is None:
        return images, whole
    if isinstance(size, str) or size < smallest:
        raise ValueError(f"patch_size must be at least {smallest}, 'auto' or None, not {size!r}.")
    cut = [cut_patches(image, int(size)) for image in images]
    origin = np.repeat(whole, [len(part) for part in cut])
    return [patch for part in cut for patch in part], origin
