"""How well a bank explains images, from their moments alone; banks reduced to what matters."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.clusters import greedy_cover
from napari_convfact.texture.images import texture_images
from napari_convfact.texture.measure import moments_job
from napari_convfact.texture.support import make_support


def reduce_bank(
    bank: KernelBank,
    images: Any,
    n_kernels: int,
    *,
    boundary: str = "periodic",
    device: str = "auto",
) -> KernelBank:
    """Reduce a bank to the kernels that together explain the most of some images.

    Parameters
    ----------
    bank : KernelBank
        Kernels of odd sizes and one channel.
    images : array_like or sequence of array_like
        The images.
    n_kernels : int
        How many kernels to keep.
    boundary : {"periodic", "valid", "zero", "reflect"}
        See `fit_autoregression`.
    device : str
        Where to compute.

    Returns
    -------
    KernelBank
        In the order of choice, with `usage` and `explained`.

    Raises
    ------
    ValueError
        If the bank has fewer kernels than are asked for.
    """
    if not 1 <= n_kernels <= len(bank):
        raise ValueError(f"n_kernels must be from 1 to {len(bank)}, not {n_kernels!r}.")
    error = bank_errors(bank, images, boundary=boundary, device=device)
    order = greedy_cover(error, n_kernels)
    chosen = bank.select([int(index) for index in order])
    usage, explained = usage_and_explained(error[:, order])
    return KernelBank(
        chosen.kernels,
        chosen.names,
        bank.ndim,
        chosen.dilations,
        usage,
        explained,
        {**bank.metadata, "reduced_from": len(bank)},
    )


def bank_errors(
    bank: KernelBank, images: Any, *, boundary: str = "periodic", device: str = "auto"
) -> np.ndarray:
    """Return the mean squared residual of each kernel on each image, without convolving.

    Parameters
    ----------
    bank : KernelBank
        Kernels of odd sizes and one channel, centre zero.
    images : array_like or sequence of array_like
        The images.
    boundary : {"periodic", "valid", "zero", "reflect"}
        See `fit_autoregression`.
    device : str
        Where to compute.

    Returns
    -------
    numpy.ndarray
        float64, ``(n, kernels)``, in units of each image's variance; 1 for a constant image.

    Raises
    ------
    ValueError
        If a kernel has an even size, channels, or a weight at its centre.
    """
    checked = texture_images(images, ndim=bank.ndim)
    place = choose_device(device, dtype="float64").name
    _check_predictors(bank)
    errors = np.ones((len(checked), len(bank)))
    for dilation in sorted(set(bank.dilations)):
        rows = [index for index, step in enumerate(bank.dilations) if step == dilation]
        kernels = bank.kernels[rows].astype(np.float64)
        radius = _radius(kernels, dilation)
        support = make_support(radius, dilation, bank.ndim)
        weights = support.weights(kernels[:, None])
        moments = run(moments_job(checked, support, boundary=boundary, device=place))
        known = moments.c[:, 0] > 0
        error = moments.error(weights[..., None])[..., 0]
        scale = np.where(known, moments.c[:, 0], 1)[:, None]
        errors[:, rows] = np.where(known[:, None], error / scale, 1)
    return errors


def usage_and_explained(error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each kernel's share of the images, and what the first k kernels explain."""
    usage = np.bincount(error.argmin(axis=1), minlength=error.shape[1]) / max(len(error), 1)
    covered = np.minimum.accumulate(np.minimum(error, 1), axis=1)
    return usage, 1 - covered.mean(axis=0)


def _check_predictors(bank: KernelBank) -> None:
    spatial = bank.kernels.shape[-bank.ndim :]
    if bank.channels is not None or any(n % 2 == 0 for n in spatial):
        raise ValueError(
            f"Predictors have one channel and odd sizes, but the bank is {bank.kernels.shape}."
        )
    if bank.kernels[(..., *(n // 2 for n in spatial))].any():
        raise ValueError("Predictors have the weight zero at their centre: set it to zero first.")


def _radius(kernels: np.ndarray, dilation: int) -> tuple[int, ...]:
    """Return the radius of the smallest neighbourhood that holds all non-zero weights."""
    places = np.nonzero(kernels)[1:]
    halves = [n // 2 for n in kernels.shape[1:]]
    reach = [
        int(np.abs(place - half).max()) if place.size else 1
        for place, half in zip(places, halves, strict=True)
    ]
    radius = tuple(-(-r // dilation) for r in reach)
    return radius if any(radius) else (1,) * len(radius)
