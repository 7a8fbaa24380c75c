"""Deconvolution by linear methods, over the items of a stack."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_convfact.deconvolution.cosine_model import CosineModel, cosine_model
from napari_convfact.deconvolution.direct import DirectFilter, direct_filter
from napari_convfact.deconvolution.least_squares import ExtendedSolver, Show
from napari_convfact.deconvolution.result import Deconvolution
from napari_convfact.deconvolution.settings import Settings
from napari_convfact.deconvolution.stack import within_stack
from napari_convfact.deconvolution.strength import (
    choose_automatically,
    minimize_threshold_cross_validation,
    satisfy_discrepancy,
)
from napari_convfact.foundation.job import Job, Step

#: Of least squares, where no number is given.
MOST_ITERATIONS = 100

# A loss of brightness that the user should know of.
_LARGEST_LOSS = 0.05

# Items of a stack that the automatic strength looks at, evenly spread.
_SAMPLED_ITEMS = 16

# Samples that are worked on at a time: small items go together.
_DIRECT_BATCH = 2**22
_ITERATIVE_BATCH = 2**20


def regularized_job(
    items: np.ndarray, psf: np.ndarray, settings: Settings, device: str, show: Show
) -> Job[Deconvolution]:
    """Deconvolve every item of a stack by the pseudo-inverse, Wiener's or Tikhonov's method.

    Parameters
    ----------
    items : numpy.ndarray
        ``(m, *n)`` of the settings' dtype, one spatial axis per axis of `psf`.
    psf : numpy.ndarray
        Of sum 1.
    settings : Settings
        What to do.
    device : str
        Where to compute.
    show : callable
        Arranges an estimate of all items for `Step.preview`.

    Yields
    ------
    Step
        After each batch of items, or each iteration.

    Returns
    -------
    Deconvolution
        Its estimate has the shape of `items`.
    """
    if settings.strength in ("auto", "discrepancy") or settings.rcond is None:
        yield Step(0, len(items), "Choosing the strength of the regularization")
    strength, rule = choose_strength(items, psf, settings)
    if settings.boundary == "extended" and settings.method != "pseudo-inverse":
        return (yield from _solve_extended(items, psf, settings, device, strength, rule, show))
    return (yield from _filter_directly(items, psf, settings, device, strength, rule))


def choose_strength(items: np.ndarray, psf: np.ndarray, settings: Settings) -> tuple[float, str]:
    """Return the strength (or `rcond`) that the settings give or ask for, and its rule.

    Parameters
    ----------
    items : numpy.ndarray
        ``(m, *n)``. They share one strength, so that they stay comparable.
    psf : numpy.ndarray
        Of sum 1.
    settings : Settings
        What to do.
    """
    given = settings.rcond if settings.method == "pseudo-inverse" else settings.strength
    if given is not None and not isinstance(given, str):
        return float(given), "given"
    model = image_model(items, psf, applied_prior(settings))
    if settings.method == "pseudo-inverse":
        return minimize_threshold_cross_validation(model), "generalized cross-validation"
    strength = satisfy_discrepancy(model) if given == "discrepancy" else None
    if strength is not None:
        return strength, "discrepancy"
    return choose_automatically(model)


def image_model(items: np.ndarray, psf: np.ndarray, prior: str) -> CosineModel:
    """Return the statistics from which a stack's strength is chosen."""
    sampled = np.linspace(0, len(items) - 1, min(len(items), _SAMPLED_ITEMS)).round().astype(int)
    return cosine_model((items[index] for index in sampled), psf, prior)


def applied_prior(settings: Settings) -> str:
    """Return the prior that the method implies."""
    return settings.prior if settings.method == "tikhonov" else "identity"


def as_tensor(items: np.ndarray, settings: Settings, device: str) -> Tensor:
    """Return items on the device, less the background."""
    # torch cannot mark memory as read-only and warns of it.
    tensor = torch.as_tensor(items if items.flags.writeable else items.copy()).to(device)
    return tensor - settings.background if settings.background else tensor


def make_filter(
    shape: Sequence[int], psf: np.ndarray, settings: Settings, device: str, strength: float
) -> DirectFilter:
    """Return the direct inverse filter that the settings describe."""
    return direct_filter(
        psf,
        shape,
        method=settings.method,
        boundary="reflect" if settings.boundary == "extended" else settings.boundary,
        prior=settings.prior,
        strength=strength,
        rcond=strength,
        dtype=getattr(torch, settings.dtype),
        device=device,
    )


def _filter_directly(
    items: np.ndarray,
    psf: np.ndarray,
    settings: Settings,
    device: str,
    strength: float,
    rule: str,
) -> Job[Deconvolution]:
    inverse = make_filter(items.shape[1:], psf, settings, device, strength)
    estimate = np.empty_like(items)
    together = max(1, _DIRECT_BATCH // math.prod(inverse.torus_shape))
    for start in range(0, len(items), together):
        batch = as_tensor(items[start : start + together], settings, device)
        estimate[start : start + together] = inverse.apply(batch).cpu().numpy()
        done = min(start + together, len(items))
        yield Step(done, len(items), f"{done} of {len(items)} deconvolved")
    message = _darkened(settings, strength)
    if settings.boundary == "extended":
        message = (
            "The pseudo-inverse cuts gains in the Fourier domain, where the scene cannot be "
            "extended: the image was continued by reflection."
        )
    return Deconvolution(estimate, strength, rule, 0, True, (), message)


def _darkened(settings: Settings, strength: float) -> str:
    """Say so if the identity prior, which holds values small, takes much of the brightness."""
    linear = settings.method != "pseudo-inverse" and applied_prior(settings) == "identity"
    if not linear or strength / (1 + strength) < _LARGEST_LOSS:
        return ""
    return (
        f"At this strength {100 / (1 + strength):.2g} % of the mean brightness are left: "
        "boundary='extended' or method='tikhonov' with the gradient prior keep it."
    )


def _solve_extended(
    items: np.ndarray,
    psf: np.ndarray,
    settings: Settings,
    device: str,
    strength: float,
    rule: str,
    show: Show,
) -> Job[Deconvolution]:
    solver = ExtendedSolver(
        psf,
        items.shape[1:],
        prior=applied_prior(settings),
        strength=strength,
        engine=settings.engine,
        dtype=settings.dtype,
        device=device,
    )
    most = MOST_ITERATIONS if settings.iterations == "auto" else settings.iterations
    together = max(1, _ITERATIVE_BATCH // math.prod(solver.blur.torus_shape))
    estimate = np.empty_like(items)
    history: tuple[float, ...] = ()
    converged = True
    for start in range(0, len(items), together):
        batch = as_tensor(items[start : start + together], settings, device)
        job = solver.solve(
            batch,
            tolerance=settings.tolerance,
            max_iterations=most,
            show=show if len(items) == 1 else None,
        )
        result = yield from within_stack(job, start, len(items))
        estimate[start : start + together] = result.solution.cpu().numpy()
        converged = converged and result.converged
        history = max(history, result.history, key=len)
    message = ""
    if not converged:
        message = (
            f"Least squares stopped after {most} iterations, before the error was down to "
            f"{settings.tolerance:g}: allow more iterations for the last detail."
        )
    return Deconvolution(
        estimate,
        strength,
        rule,
        len(history),
        converged,
        history,
        message,
        solver.blur.engine,
    )
