"""Deconvolution of images and stacks by any of the methods."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from napari_convfact.deconvolution.least_squares import Show
from napari_convfact.deconvolution.regularized import regularized_job
from napari_convfact.deconvolution.result import Deconvolution
from napari_convfact.deconvolution.richardson_lucy_result import RichardsonLucy, describe
from napari_convfact.deconvolution.settings import (
    Boundary,
    Dtype,
    Engine,
    Method,
    Prior,
    Settings,
    StrengthRule,
)
from napari_convfact.deconvolution.stack import within_stack
from napari_convfact.deconvolution.units import back_from, settings_in, shown_in, unit_of
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, relay, run
from napari_convfact.foundation.threads import on_one_torch_thread
from napari_convfact.foundation.validate import Missing, check_image, check_psf, leading_axes

__all__ = ["Deconvolution", "deconvolve", "deconvolve_job"]


def deconvolve(
    image: Any,
    psf: Any,
    *,
    method: Method = "tikhonov",
    boundary: Boundary = "extended",
    prior: Prior = "gradient",
    strength: float | StrengthRule = "auto",
    rcond: float | None = None,
    iterations: int | Literal["auto"] = "auto",
    tolerance: float = 1e-3,
    accelerate: bool = True,
    background: float = 0.0,
    read_noise: float = 0.0,
    total_variation: float = 0.0,
    warm_start: bool = False,
    keep_every: int | None = None,
    missing: Missing = "error",
    channel_axis: int | None = None,
    engine: Engine = "auto",
    dtype: Dtype = "float32",
    device: str = "auto",
) -> Deconvolution:
    """Undo the blur of a known point spread function.

    Parameters
    ----------
    image : array_like
        ``(..., *n)``, real, of any dtype. The PSF's number of axes says which axes are
        spatial: the last ones. All others (time, channel, position) are independent.
    psf : array_like
        ``(*k)``, real, of positive sum. It is divided by its sum and otherwise taken as it
        is, with its origin at ``k // 2`` (`prepare_kernel` centres one). It may be larger
        than the image.
    method : {"tikhonov", "wiener", "pseudo-inverse", "richardson-lucy"}
        ``"tikhonov"`` minimizes ``|k * x - y|^2 + strength |L x|^2``.
        ``"wiener"`` applies the gain ``conj(H) / (|H|^2 + strength)``, which is Tikhonov's
        method with the identity prior. ``"pseudo-inverse"`` applies ``1 / H`` where ``|H|``
        reaches `rcond` times its maximum, and 0 elsewhere. ``"richardson-lucy"`` climbs the
        likelihood of photon counts.
    boundary : {"extended", "reflect", "periodic", "zero"}
        What lies beyond the image. ``"extended"`` takes the surroundings as unknown and
        solves for them too, which is right for every cropped scene. ``"reflect"`` continues
        the image by its reflection (one transform each way). ``"periodic"`` and ``"zero"``
        are for images that really are so. Wiener's method with ``"extended"`` solves the
        least-squares problem that its gain solves on a torus. The pseudo-inverse, which cuts
        gains of the Fourier domain, uses ``"reflect"`` instead and says so in `message`.
    prior : {"gradient", "identity"}
        The operator L of Tikhonov's method: forward differences along all axes, or the
        identity. Differences leave the image's mean alone. The identity, also in Wiener's
        method, shrinks it by ``1 + strength``, except that with ``"extended"`` it is applied
        to what deviates from the mean.
    strength : float, "auto" or "discrepancy"
        Weight of the prior, for ``"tikhonov"``; noise-to-signal power ratio, for
        ``"wiener"``. ``"auto"`` chooses it by generalized cross-validation. Where samples
        share noise (after resampling, smoothing or JPEG) it takes the corner of the L-curve
        or, under the identity prior, makes the residual as large as the noise between distant
        samples. ``"discrepancy"`` makes the residual as large as the noise between
        neighbours. It is chosen once and shared by all leading items, which stay comparable.
    rcond : float, optional
        Threshold of the pseudo-inverse, relative to the largest ``|H|``; no gain exceeds
        its inverse. By default it is chosen by generalized cross-validation, from 0.01 to
        1: at the edge of round-off, where numerical libraries put it, the inverse of a blur
        returns nothing but amplified noise. For noise-free data pass 1e-6, say.
    iterations : int or "auto"
        Most iterations of an iterative method. ``"auto"`` allows least squares 100 and lets
        Richardson-Lucy stop where held-out photons say.
    tolerance : float
        Estimated relative error of the scene at which least squares stops.
    accelerate : bool
        Whether Richardson-Lucy extrapolates between its steps.
    background : float
        Intensity that is not of the scene, as a camera's offset: it is removed first and is
        not in the estimate.
    read_noise, total_variation : float
        For Richardson-Lucy; see `richardson_lucy_job`.
    warm_start : bool
        Whether Richardson-Lucy begins each leading item but the first at the estimate of the
        one before, as suits the frames of a movie. A frame that is more than ten times as
        bright begins anew, as after a black one.
    keep_every : int, optional
        Keep every so many estimates of Richardson-Lucy in `Deconvolution.intermediate`; for
        images without leading axes.
    missing : {"error", "fill"}
        What to do about NaN and infinite values: refuse, or fill each with its nearest
        finite neighbour and put NaN back into the estimate.
    channel_axis : int, optional
        Axis of `image` that holds colour, if it is not a leading one: ``-1`` for RGB.
    engine : {"auto", "fft", "fused"}
        How the iterative methods convolve; see `Convolution`. ``"auto"`` takes what it measures
        to be faster.
    dtype : {"float32", "float64"}
        Working precision and type of the estimate.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Returns
    -------
    Deconvolution
        Its `estimate` has the shape of `image` and its intensities.

    Raises
    ------
    ValueError
        If an argument is not legal, the image or the PSF is empty, complex, not finite, or
        of too few axes, or the PSF has no positive sum.

    References
    ----------
    .. [1] P. C. Hansen, J. G. Nagy, D. P. O'Leary, "Deblurring Images: Matrices, Spectra, and
       Filtering", SIAM (2006).
    .. [2] N. Wiener, "Extrapolation, Interpolation, and Smoothing of Stationary Time Series",
       MIT Press (1949).

    Examples
    --------
    >>> import numpy as np
    >>> blurred = np.zeros((32, 32))
    >>> blurred[15:18, 15:18] = 1
    >>> psf = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    >>> sharp = deconvolve(blurred, psf, strength=0.01)
    >>> bool(sharp.estimate.max() > 1.3)
    True
    >>> sharp.rule
    'given'
    """
    return run(
        deconvolve_job(
            image,
            psf,
            method=method,
            boundary=boundary,
            prior=prior,
            strength=strength,
            rcond=rcond,
            iterations=iterations,
            tolerance=tolerance,
            accelerate=accelerate,
            background=background,
            read_noise=read_noise,
            total_variation=total_variation,
            warm_start=warm_start,
            keep_every=keep_every,
            missing=missing,
            channel_axis=channel_axis,
            engine=engine,
            dtype=dtype,
            device=device,
        )
    )


def deconvolve_job(image: Any, psf: Any, **options: Any) -> Job[Deconvolution]:
    """Return `deconvolve` as a job, which reports its steps and can be cancelled.

    Parameters
    ----------
    image, psf : array_like
        As of `deconvolve`.
    **options
        As of `deconvolve`.

    Returns
    -------
    generator of Step
        Returns a `Deconvolution`.

    Raises
    ------
    ValueError
        At once, if an option is not legal; about the arrays when it is first advanced.
    """
    return on_one_torch_thread(_job(image, psf, Settings(**options)))


def _job(image: Any, psf: Any, settings: Settings) -> Job[Deconvolution]:
    kernel, psf_notes = check_psf(psf)
    axis = settings.channel_axis
    checked = check_image(
        image,
        ndim=kernel.ndim + (axis is not None),
        missing=settings.missing,
        apart=leading_axes(image, kernel.ndim, axis),
        dtype=settings.dtype,
    )
    data = checked.data
    if axis is not None:
        _check_axis(axis, data.ndim)
        data = np.moveaxis(data, axis, 0)
    items = np.ascontiguousarray(data).reshape(-1, *data.shape[data.ndim - kernel.ndim :])
    device = choose_device(settings.device, dtype=settings.dtype)
    yield Step(0, len(items), device.reason)

    def arrange(estimate: np.ndarray) -> np.ndarray:
        estimate = estimate.reshape(data.shape)
        if axis is not None:
            estimate = np.ascontiguousarray(np.moveaxis(estimate, 0, axis))
        return checked.restore_missing(estimate)

    if settings.keep_every and len(items) > 1:
        raise ValueError("keep_every is for images without leading axes: take one frame.")
    found = yield from _in_unit(items, kernel, settings, device.name, arrange)
    sentences = (*checked.notes, *psf_notes, found.message, device.reason)
    return replace(
        found,
        estimate=arrange(found.estimate),
        message=" ".join(filter(None, sentences)),
    )


def _in_unit(
    items: np.ndarray, psf: np.ndarray, settings: Settings, device: str, arrange: Show
) -> Job[Deconvolution]:
    """Deconvolve intensities whose squares float32 cannot hold in a unit of their own."""
    unit = unit_of(items, settings)
    if unit == 1:
        return (yield from _solve(items, psf, settings, device, arrange))
    job = _solve(
        items / items.dtype.type(unit), psf, settings_in(unit, settings), device, arrange, unit
    )
    return back_from(unit, (yield from relay(job, partial(shown_in, unit))))


def _solve(
    items: np.ndarray,
    psf: np.ndarray,
    settings: Settings,
    device: str,
    arrange: Show,
    unit: float = 1.0,
) -> Job[Deconvolution]:
    if settings.method == "richardson-lucy":
        return (yield from _richardson_lucy(items, psf, settings, device, unit))
    return (yield from regularized_job(items, psf, settings, device, arrange))


def _check_axis(axis: int, ndim: int) -> None:
    if not -ndim <= axis < ndim:
        raise ValueError(f"channel_axis is {axis}, but the image has {ndim} axes.")


def _richardson_lucy(
    items: np.ndarray, psf: np.ndarray, settings: Settings, device: str, unit: float
) -> Job[Deconvolution]:
    from napari_convfact.deconvolution.richardson_lucy import RichardsonLucySolver

    solver = RichardsonLucySolver(
        psf,
        items.shape[1:],
        boundary=settings.boundary,
        accelerate=settings.accelerate,
        background=settings.background,
        read_noise=settings.read_noise,
        total_variation=settings.total_variation,
        engine=settings.engine,
        dtype=settings.dtype,
        device=device,
    )
    estimate = np.empty_like(items)
    results: list[RichardsonLucy] = []
    for index, item in enumerate(items):
        start = results[-1].estimate if settings.warm_start and results else None
        if start is not None and solver.outshines(item, start):
            start = None
        job = solver.job(
            item, iterations=settings.iterations, start=start, keep_every=settings.keep_every
        )
        result = yield from within_stack(job, index, len(items))
        estimate[index] = result.estimate
        # In the image's own intensities; 1 says that no photons were counted.
        gain = result.gain if result.gain == 1 else result.gain * unit
        results.append(replace(result, gain=gain))
    longest = max(results, key=lambda result: result.iterations)
    return Deconvolution(
        estimate,
        None,
        longest.stopped_by,
        longest.iterations,
        all(result.stopped_by != "limit" for result in results),
        longest.likelihood,
        " ".join(filter(None, (*solver.notes, describe(results), _kept(results, settings)))),
        solver.model.operator.engine,
        results[0].intermediate,
    )


def _kept(results: list[RichardsonLucy], settings: Settings) -> str:
    """Say so if no estimate was kept though some were asked for."""
    if not settings.keep_every or results[0].intermediate is not None:
        return ""
    return (
        f"No estimate was kept: there were {results[0].iterations} iterations, and every "
        f"{settings.keep_every}. was to be."
    )
