"""Maps of how well each kernel of a bank predicts each place of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.pooling import GaussianPool
from napari_convfact.texture.residuals import Residuals, centred_image

Kind = Literal["residual", "log-energy", "assignment", "novelty"]
KINDS = ("residual", "log-energy", "assignment", "novelty")
# Logarithms of energies end here, where float32 ends.
_FLOOR = float(np.finfo(np.float32).tiny)


def residual_maps(
    image: Any,
    bank: KernelBank,
    *,
    sigma: float | Sequence[float] = 6.0,
    kind: Kind = "log-energy",
    mean: float | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Return maps of what the kernels of a bank cannot predict.

    Parameters
    ----------
    image : array_like
        ``(*n)``, of the bank's number of axes; its mean is removed. Pixels without a value
        are filled for the computation and are NaN (0 in an assignment) in the result.
    bank : KernelBank
        Kernels of one channel.
    sigma : float or sequence of float
        Standard deviation of the Gaussian window over which energies are averaged, in pixels.
    kind : {"log-energy", "residual", "assignment", "novelty"}
        ``"residual"``: the image minus its convolution with each kernel, not averaged.
        ``"log-energy"``: logarithm of the averaged squared residual. ``"assignment"``: which
        kernel predicts best, counted from 1 so that it can be shown as labels.
        ``"novelty"``: logarithm of the best kernel's energy over the local variance: 0 where
        no kernel predicts better than the mean, far below where one knows the texture.
    mean : float, optional
        Mean to subtract. Give the whole image's for a tile: with a halo of `maps_halo` on
        each side, tiles then have the same maps as the whole.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Returns
    -------
    numpy.ndarray
        float32, ``(n_kernels, *n)``; for the novelty ``(*n)``, for the assignment int32
        ``(*n)``.

    Raises
    ------
    ValueError
        If an argument is not legal, or image and bank do not match.
    """
    return run(residual_maps_job(image, bank, sigma=sigma, kind=kind, mean=mean, device=device))


def residual_maps_job(
    image: Any,
    bank: KernelBank,
    *,
    sigma: float | Sequence[float] = 6.0,
    kind: Kind = "log-energy",
    mean: float | None = None,
    device: str = "auto",
) -> Job[np.ndarray]:
    """Generate the steps of `residual_maps`."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    place = choose_device(device).name
    residuals, pool = Residuals(bank, place), GaussianPool(sigma, bank.ndim)
    checked = centred_image(image, bank.ndim, mean)
    x = torch.as_tensor(checked.data, device=place)
    stack = kind in ("residual", "log-energy")
    maps = np.empty((len(bank), *x.shape), dtype=np.float32) if stack else None
    least, winner = torch.full_like(x, torch.inf), torch.zeros_like(x, dtype=torch.int32)
    for index in range(len(bank)):
        yield Step(index, len(bank), f"Residual of {bank.names[index]}")
        residual = residuals.of(x, index)
        values = residual if kind == "residual" else pool(residual.square())
        if maps is not None:
            maps[index] = (values if kind == "residual" else log_energy(values)).cpu().numpy()
        else:
            winner[values < least] = index + 1
            least = torch.minimum(least, values)
    if maps is not None:
        return checked.restore_missing(maps)
    if kind == "assignment":
        labels: np.ndarray = winner.cpu().numpy()
        return labels if checked.missing is None else np.where(checked.missing, 0, labels)
    novelty = (log_energy(least) - log_energy(_local_variance(x, pool))).clamp(max=0)
    return checked.restore_missing(novelty.cpu().numpy())


def maps_halo(bank: KernelBank, sigma: float | Sequence[float] = 6.0) -> tuple[int, ...]:
    """Return how many pixels around a tile its maps depend on, for each axis."""
    pool = GaussianPool(sigma, bank.ndim)
    return tuple(a + b for a, b in zip(Residuals(bank).reach, pool.reach, strict=True))


def _local_variance(x: Tensor, pool: GaussianPool) -> Tensor:
    """Return the variance around the local mean, in double precision while both are large."""
    exact = (x.cpu() if x.device.type == "mps" else x).double()
    variance = pool(exact.square()) - pool(exact).square()
    return variance.float().to(x.device)


def log_energy(energy: Tensor) -> Tensor:
    """Return the logarithm of energies, bounded below where there are none."""
    return energy.clamp(min=_FLOOR).log()
