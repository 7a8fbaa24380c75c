"""How much to regularize: rules that choose the strength from the image itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from napari_convfact.deconvolution.cosine_model import CosineModel

# Strengths that the rules may choose, as powers of ten; float32 does justice to all of them.
_WEAKEST, _STRONGEST = -6.0, 4.0

# Cross-validation that ends here found no noise at all, which no photograph is without.
_RUNAWAY = 2e-6

# Thresholds that the rules may choose: no gain of the pseudo-inverse exceeds 100.
_LEAST_RCOND = 1e-2

# An L-curve bends where its curvature exceeds this.
_CORNER_CURVATURE = 0.3

# Plain cross-validation (1.0) now and then chooses far too little where the noise is low.
_WEIGHT = 1.2


@dataclass(frozen=True)
class LCurve:
    """The trade between fit and prior, one entry per strength.

    Attributes
    ----------
    strength : numpy.ndarray
        Ascending.
    residual_norm : numpy.ndarray
        ``|k * x - y|``.
    prior_norm : numpy.ndarray
        ``|L x|``.
    cross_validation : numpy.ndarray
        The (weighted) generalized cross-validation score, least where it is best.
    """

    strength: np.ndarray
    residual_norm: np.ndarray
    prior_norm: np.ndarray
    cross_validation: np.ndarray


def choose_automatically(model: CosineModel) -> tuple[float, str]:
    """Return the strength by a rule that suits the image's noise, and the rule's name.

    Cross-validation is next to the best where the noise is white, and takes correlated noise
    for signal. There, under the gradient prior, the corner of the L-curve is as good. Else the
    residual is made as large as the noise between distant samples.
    """
    strength = minimize_cross_validation(model)
    runaway = strength <= _RUNAWAY
    if not (model.noise.correlated or runaway):
        return strength, "generalized cross-validation"
    if model.prior == "gradient":
        corner = l_curve_corner(model)
        if corner is not None:
            return max(strength, corner), "L-curve"
        if not runaway:
            return strength, "generalized cross-validation"
    discrepancy = satisfy_discrepancy(model, model.noise.far)
    if discrepancy is not None and discrepancy > strength:
        return discrepancy, "discrepancy"
    return strength, "generalized cross-validation"


def minimize_cross_validation(model: CosineModel) -> float:
    """Return the strength with the least (weighted) cross-validation score."""
    low, high = _WEAKEST, _STRONGEST
    for _ in range(2):
        exponents = np.linspace(low, high, 81)
        scores = [model.cross_validation(10**e, weight=_WEIGHT) for e in exponents]
        best = int(np.argmin(scores))
        low, high = exponents[max(best - 1, 0)], exponents[min(best + 1, 80)]
    return float(10 ** exponents[best])


def minimize_threshold_cross_validation(model: CosineModel) -> float:
    """Return the threshold on ``|H|`` with the least (weighted) cross-validation score.

    Parameters
    ----------
    model : CosineModel
        Of the identity prior, for which the ratio is ``|H|^2``.
    """
    allowed = (model.ratio >= _LEAST_RCOND**2) & (model.ratio < 1)
    scores = model.threshold_cross_validation(weight=_WEIGHT)[allowed]
    return math.sqrt(model.ratio[allowed][int(np.argmin(scores))])


def satisfy_discrepancy(model: CosineModel, noise: float | None = None) -> float | None:
    """Return the strength whose residual is as large as the noise, by default as estimated.

    None if even the weakest leaves more: then the noise was underestimated, or the PSF is not
    the image's.

    References
    ----------
    .. [1] V. A. Morozov, "On the solution of functional equations by the method of
       regularization", Soviet Mathematics Doklady 7 (1966).
    """
    deviation = model.noise.near if noise is None else noise
    noise_energy = model.size * deviation**2

    def excess(exponent: float) -> float:
        return model.residual(10**exponent) - noise_energy

    if excess(_WEAKEST) > 0:
        return None
    if excess(_STRONGEST) <= 0:
        return float(10**_STRONGEST)
    return float(10 ** scipy.optimize.brentq(excess, _WEAKEST, _STRONGEST, xtol=1e-4))


def l_curve(model: CosineModel, strengths: Sequence[float] | None = None) -> LCurve:
    """Return the L-curve at some strengths, by default ten per decade of all there are.

    References
    ----------
    .. [1] P. C. Hansen, "Analysis of discrete ill-posed problems by means of the L-curve",
       SIAM Review 34 (1992).
    """
    if strengths is None:
        strengths = np.logspace(_WEAKEST, _STRONGEST, 101).tolist()
    return LCurve(
        np.array(strengths, dtype=float),
        np.sqrt([model.residual(strength) for strength in strengths]),
        np.sqrt([model.prior_norm(strength) for strength in strengths]),
        np.array([model.cross_validation(strength, weight=_WEIGHT) for strength in strengths]),
    )


def l_curve_corner(model: CosineModel) -> float | None:
    """Return the strength at the sharpest bend of the L-curve, or None if it has none."""
    curve = l_curve(model)
    if not (curve.residual_norm[0] > 0 and curve.prior_norm[-1] > 0):
        return None
    fit, norm = np.log(curve.residual_norm), np.log(curve.prior_norm)
    fit1, norm1 = np.gradient(fit), np.gradient(norm)
    bend = fit1 * np.gradient(norm1) - np.gradient(fit1) * norm1
    with np.errstate(divide="ignore", invalid="ignore"):
        curvature = np.nan_to_num(bend / np.hypot(fit1, norm1) ** 3)
    # One-sided differences at the ends are no measure of curvature.
    inside = slice(3, -3)
    best = int(np.argmax(curvature[inside])) + 3
    return float(curve.strength[best]) if curvature[best] > _CORNER_CURVATURE else None
