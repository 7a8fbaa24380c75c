"""The choice of the strength as curves, to plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_convfact.convolution.prior import check_prior
from napari_convfact.deconvolution.regularized import image_model
from napari_convfact.deconvolution.settings import Prior, check_strength
from napari_convfact.deconvolution.strength import LCurve, l_curve
from napari_convfact.foundation.validate import Missing, check_image, check_psf, leading_axes


def strength_curve(
    image: Any,
    psf: Any,
    *,
    prior: Prior = "gradient",
    strengths: Sequence[float] | None = None,
    missing: Missing = "error",
) -> LCurve:
    """Return the L-curve and the cross-validation score over the strength.

    Parameters
    ----------
    image : array_like
        ``(..., *n)``; leading axes are pooled, as `deconvolve` does.
    psf : array_like
        ``(*k)``, as `deconvolve` takes it.
    prior : {"gradient", "identity"}
        ``"identity"`` is that of Wiener's method.
    strengths : sequence of float, optional
        Where to evaluate; by default ten per decade over all that the rules choose from.
    missing : {"error", "fill"}
        As of `deconvolve`.

    Returns
    -------
    LCurve
        Of the image in the cosine model.

    Raises
    ------
    ValueError
        If the image or the PSF cannot be computed with, or an option is not legal.
    """
    check_prior(prior)
    for strength in () if strengths is None else strengths:
        check_strength(strength, "strengths")
    kernel, _ = check_psf(psf)
    frames = leading_axes(image, kernel.ndim)
    data = check_image(image, ndim=kernel.ndim, missing=missing, apart=frames).data
    items = data.reshape(-1, *data.shape[data.ndim - kernel.ndim :])
    return l_curve(image_model(items, kernel, prior), strengths)
