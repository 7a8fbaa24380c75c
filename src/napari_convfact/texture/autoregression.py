"""Autoregressive models: the kernel that predicts each pixel best from its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, run
from napari_convfact.texture.images import texture_images
from napari_convfact.texture.measure import BOUNDARIES, moments_job
from napari_convfact.texture.moments import Moments
from napari_convfact.texture.spectrum import ar_spectrum
from napari_convfact.texture.support import TIES, make_supports
from napari_convfact.texture.whittle import whittle_weights

Tie = Literal["full", "symmetric", "ring", "causal"]
Estimator = Literal["least-squares", "whittle"]


@dataclass(frozen=True, eq=False)
class Autoregression:
    """Autoregressive models, one for each image.

    Shapes are those of one dilation and one channel. Several dilations add an axis behind
    the images, several channels an axis of predicted channels behind that, and to the
    kernels one more, of the channels they predict from.

    Attributes
    ----------
    kernels : numpy.ndarray
        float32, ``(n, *k)``, centre zero: convolving an image with its kernel predicts it.
        Dilated kernels are filled up with zeros; all have the size of the largest.
    weights : numpy.ndarray
        float64, ``(n, free)``: the weights that are not tied to each other.
    variance : numpy.ndarray
        float64, ``(n,)``: what is left of the image's variance after the prediction.
    r2 : numpy.ndarray
        float64, ``(n,)``: explained share of the variance; 0 for a constant image.
    moments : tuple of Moments
        What the fit was computed from, for each dilation.
    offsets : tuple of numpy.ndarray
        For each dilation the neighbour (or the first of the tied ones) of each free weight,
        relative to the pixel, ``(free, ndim)``.
    tie, estimator, boundary : str
        How it was fitted.
    """

    kernels: np.ndarray
    weights: np.ndarray
    variance: np.ndarray
    r2: np.ndarray
    moments: tuple[Moments, ...]
    offsets: tuple[np.ndarray, ...]
    tie: str
    estimator: str
    boundary: str

    @property
    def model(self) -> Literal["simultaneous", "conditional"]:
        """Which random field has these kernels; see `ar_spectrum`."""
        least_squares = self.estimator == "least-squares" and self.tie != "causal"
        return "conditional" if least_squares else "simultaneous"

    def spectrum(self, shape: Sequence[int], index: int = 0) -> np.ndarray:
        """Return the power spectrum of one image's model; see `ar_spectrum`."""
        kernel, variance = self.kernels[index], self.variance[index]
        if kernel.ndim != len(shape):
            raise ValueError("The spectrum is that of one dilation and one channel.")
        return ar_spectrum(kernel, shape, variance=float(variance), model=self.model)


def fit_autoregression(
    images: Any,
    radius: int | Sequence[int] = 1,
    *,
    dilations: Sequence[int] = (1,),
    tie: Tie = "symmetric",
    boundary: str = "periodic",
    estimator: Estimator = "least-squares",
    mask: Any = None,
    ndim: int = 2,
    channel_axis: int | None = None,
    ridge: float = 1e-6,
    device: str = "auto",
) -> Autoregression:
    """Fit the kernel that predicts each pixel from its neighbours, for each image.

    The mean is removed, so that brightness has no influence. The least-squares problem is
    solved exactly through the neighbours' covariances, not by gradient descent.

    Parameters
    ----------
    images : array_like or sequence of array_like
        One image ``(*n)``, a stack ``(images, *n)`` or a sequence of images of any sizes.
        NaN and infinite pixels are left out.
    radius : int or sequence of int
        Neighbours to each side, for all axes or for each.
    dilations : sequence of int
        Distances between neighbours in pixels. A model of its own is fitted for each.
    tie : {"symmetric", "full", "ring", "causal"}
        Which weights are equal. ``"symmetric"``: those of opposite neighbours (on the torus
        the best full kernel is of this kind). ``"ring"``: those at one distance, which makes
        the model indifferent to rotation. ``"causal"``: only neighbours before the pixel in
        a raster scan.
    boundary : {"periodic", "valid", "zero", "reflect"}
        What lies beyond the edges; ``"periodic"`` is the fastest, ``"valid"`` uses only
        pixels that have all neighbours.
    estimator : {"least-squares", "whittle"}
        Least squares is consistent for causal and for Gauss-Markov (conditional) fields, but
        biased for simultaneous fields, ``x = k * x + noise`` with a kernel on both sides.
        ``"whittle"`` maximizes the Gaussian likelihood of these, with its log-determinant.
    mask : array_like, optional
        Weights of the pixels: one ``(*n)`` for all images or one each. Predictions from or
        of a pixel of weight zero are left out.
    ndim : int
        Number of spatial axes.
    channel_axis : int, optional
        The axis of an image that holds channels; each is predicted from the neighbours in
        all of them.
    ridge : float
        Added to the diagonal of the normal equations, in units of its mean.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Returns
    -------
    Autoregression

    Raises
    ------
    ValueError
        If an argument is not legal or the neighbourhood does not fit into an image.

    References
    ----------
    J. Besag, "Spatial interaction and the statistical analysis of lattice systems",
    J. R. Stat. Soc. B 36, 1974. P. Whittle, "On stationary processes in the plane",
    Biometrika 41, 1954. J. Mao and A. K. Jain, "Texture classification and segmentation
    using multiresolution simultaneous autoregressive models", Pattern Recognition 25, 1992.
    """
    return run(
        autoregression_job(
            images,
            radius,
            dilations=dilations,
            tie=tie,
            boundary=boundary,
            estimator=estimator,
            mask=mask,
            ndim=ndim,
            channel_axis=channel_axis,
            ridge=ridge,
            device=device,
        )
    )


def autoregression_job(
    images: Any,
    radius: int | Sequence[int] = 1,
    *,
    dilations: Sequence[int] = (1,),
    tie: Tie = "symmetric",
    boundary: str = "periodic",
    estimator: Estimator = "least-squares",
    mask: Any = None,
    ndim: int = 2,
    channel_axis: int | None = None,
    ridge: float = 1e-6,
    device: str = "auto",
) -> Job[Autoregression]:
    """Generate the steps of `fit_autoregression`."""
    _check_choices(tie, boundary, estimator, ridge)
    checked = texture_images(images, ndim=ndim, channel_axis=channel_axis, mask=mask)
    channels = checked[0].data.shape[0]
    if estimator == "whittle" and channels > 1:
        raise ValueError("estimator='whittle' takes one channel: fit the channels separately.")
    supports = make_supports(radius, dilations, ndim, channels)
    place = choose_device(device, dtype="float64").name
    moments, weights = [], []
    for support in supports:
        parts = yield from moments_job(checked, support, boundary=boundary, device=place)
        moments.append(parts)
        weights.append(solve(parts, tie, ridge))
        if estimator == "whittle":
            shapes = [image.shape for image in checked]
            weights[-1] = yield from whittle_weights(parts, tie, shapes, weights[-1])
    return _result(tuple(moments), weights, tie, estimator, boundary)


def solve(moments: Moments, tie: str, ridge: float) -> np.ndarray:
    """Return the free weights that predict best, float64 ``(n, free, channels)``.

    Where there is nothing to predict they are zero.
    """
    matrix = moments.support.tie_matrix(tie)
    A = matrix.T @ moments.A @ matrix
    b = matrix.T @ moments.b
    load = ridge * np.einsum("nii->n", A) / A.shape[-1]
    load = np.where(load > 0, load, 1.0)
    return np.linalg.solve(A + load[:, None, None] * np.eye(A.shape[-1]), b)


def _check_choices(tie: str, boundary: str, estimator: str, ridge: float) -> None:
    for name, value, legal in (
        ("tie", tie, TIES),
        ("boundary", boundary, BOUNDARIES),
        ("estimator", estimator, ("least-squares", "whittle")),
    ):
        if value not in legal:
            raise ValueError(f"{name} must be one of {', '.join(legal)}, not {value!r}.")
    if estimator == "whittle" and tie not in ("symmetric", "ring"):
        raise ValueError(
            "estimator='whittle' needs tie='symmetric' or 'ring'; for a causal kernel the "
            "log-determinant is zero and least squares is the same."
        )
    if not ridge > 0:
        raise ValueError(f"ridge must be positive, not {ridge!r}.")


def _result(
    moments: tuple[Moments, ...], weights: list[np.ndarray], tie: str, estimator: str, boundary: str
) -> Autoregression:
    supports = [part.support for part in moments]
    reach = tuple(max(axis) for axis in zip(*(support.reach for support in supports), strict=True))
    kernels, variances, shares, offsets = [], [], [], []
    for part, support, free in zip(moments, supports, weights, strict=True):
        full = support.tie_matrix(tie) @ free
        kernels.append(support.kernels(full.swapaxes(-1, -2), reach))
        variance = part.error(full[:, None])[:, 0]
        known = np.where(part.weight > 0, 1.0, np.nan)[:, None]
        variances.append(variance.clip(min=0) * known)
        constant = part.c <= 0
        shares.append((1 - variance / np.where(constant, 1, part.c)) * ~constant * known)
        offsets.append(support.offsets[[group[0] for group in support.groups(tie)]])
    return Autoregression(
        _squeeze(np.stack(kernels, axis=1), 2, 2).astype(np.float32),
        _squeeze(np.stack([free.swapaxes(-1, -2) for free in weights], axis=1), 1, 2),
        _squeeze(np.stack(variances, axis=1), 1, 2),
        _squeeze(np.stack(shares, axis=1), 1, 2),
        moments,
        tuple(offsets),
        tie,
        estimator,
        boundary,
    )


def _squeeze(values: np.ndarray, channel_axes: int, first: int) -> np.ndarray:
    """Drop the axes of channels (from `first`) and dilations (1) where there is only one."""
    if values.shape[first] == 1:
        values = values.reshape(*values.shape[:first], *values.shape[first + channel_axes :])
    return values[:, 0] if values.shape[1] == 1 else values
