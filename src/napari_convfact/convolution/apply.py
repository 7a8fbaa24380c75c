"""Filter an image with taps, a chain of factors or a sum of chains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import PADDINGS
from napari_convfact.convolution.engines import MOST_MULTIPLICATIONS, fused_seconds
from napari_convfact.convolution.operator import Convolution
from napari_convfact.execution import measure
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.passes import FusedPass
from napari_convfact.execution.schedule import halo
from napari_convfact.foundation import fft
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.validate import check_image

ENGINES = ("auto", "fused", "fft", "direct")


def apply_separable(
    image: Any,
    taps: Sequence[Any],
    *,
    boundary: str = "reflect",
    engine: str = "auto",
    device: str = "auto",
) -> Any:
    """Convolve an image along each of its last axes.

    Parameters
    ----------
    image : array_like or torch.Tensor
        ``(..., *n)``.
    taps : sequence of array_like
        1-D, one per axis of ``n``.
    boundary, engine, device
        As for `apply_chains`.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        As `image`: float32, or float64 if it is a float64 tensor.
    """
    chain = Chain.separable([np.asarray(t, dtype=np.float64).ravel() for t in taps])
    return apply_chains(image, [chain], boundary=boundary, engine=engine, device=device)


def apply_chain(
    image: Any,
    factors: Sequence[Any],
    dilations: Sequence[int] | None = None,
    *,
    boundary: str = "reflect",
    engine: str = "auto",
    device: str = "auto",
) -> Any:
    """Convolve an image with the factors of a chain, one after the other.

    Parameters
    ----------
    image : array_like or torch.Tensor
        ``(..., *n)``.
    factors : sequence of array_like
        Each of as many axes as ``n``.
    dilations : sequence of int, optional
        Distance between the taps of each factor; 1 by default.
    boundary, engine, device
        As for `apply_chains`.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        As `image`: float32, or float64 if it is a float64 tensor.
    """
    chain = Chain.of(factors, dilations)
    return apply_chains(image, [chain], boundary=boundary, engine=engine, device=device)


def apply_chains(
    image: Any,
    chains: Sequence[Chain],
    *,
    origins: Sequence[Sequence[int]] | None = None,
    boundary: str = "reflect",
    engine: str = "auto",
    device: str = "auto",
) -> Any:
    """Convolve an image with the kernel that a sum of chains stands for.

    The image is continued once, by the reach of the whole kernel; so every engine gives the
    same, near the edges too.

    Parameters
    ----------
    image : array_like or torch.Tensor
        ``(..., *n)``; leading axes are independent.
    chains : sequence of Chain
        Of as many axes as ``n``.
    origins : sequence of sequence of int, optional
        Index of each chain's origin in the kernel that it stands for; ``n // 2`` by default.
    boundary : {"reflect", "periodic", "zero", "valid"}
        What lies beyond the edges. ``"valid"`` keeps the outputs that need nothing from there.
    engine : {"auto", "fused", "fft", "direct"}
        ``"auto"`` takes what a short probe finds fastest.
    device : str
        See `choose_device`; other devices than the CPU use transforms.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        As `image`: float32, or float64 if it is a float64 tensor.

    Raises
    ------
    ValueError
        If an argument is not legal, or the image is smaller than the kernel for "valid".
    """
    if boundary not in (*PADDINGS, "valid"):
        raise ValueError(f"boundary must be one of {', '.join(PADDINGS)}, valid; not {boundary!r}.")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}.")
    origins = [chain.origin for chain in chains] if origins is None else origins
    x = _to_tensor(image, chains[0].ndim, device)
    if engine == "auto":
        engine = fastest_engine(chains, origins, x.shape[-chains[0].ndim :], x.dtype, x.device)
    if engine == "fft":
        y = _through_transforms(x, chains, origins, boundary)
    else:
        if engine == "direct":
            kernel, origin = total_kernel(chains, origins)
            chains, origins = [Chain.of([kernel])], [origin]
        y = _through_pass(x, FusedPass(chains, origins), boundary)
    return y if isinstance(image, Tensor) else np.ascontiguousarray(y.cpu().numpy())


def fastest_engine(
    chains: Sequence[Chain],
    origins: Sequence[Sequence[int]],
    shape: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
) -> str:
    """Return the engine that a probe on images of some shape finds fastest."""
    if device.type != "cpu" or len(shape) > 3:
        return "fft"
    kernel, _ = total_kernel(chains, origins)
    torus = fft.fast_shape([n + k - 1 for n, k in zip(shape, kernel.shape, strict=True)])
    times = {
        "fused": fused_seconds(chains, shape, dtype),
        "fft": measure.fft_seconds(torus, dtype, device),
    }
    if np.count_nonzero(kernel) <= MOST_MULTIPLICATIONS:
        times["direct"] = fused_seconds([Chain.of([kernel])], shape, dtype)
    return min(times, key=lambda name: times[name])


def total_kernel(
    chains: Sequence[Chain], origins: Sequence[Sequence[int]]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the kernel that a sum of chains stands for, float64, and its origin."""
    before, after = halo(chains, origins)
    total = np.zeros([b + a + 1 for b, a in zip(before, after, strict=True)])
    for chain, origin in zip(chains, origins, strict=True):
        window = tuple(
            slice(a - o, a - o + n) for a, o, n in zip(after, origin, chain.shape, strict=True)
        )
        total[window] += chain.kernel()
    return total, after


def _to_tensor(image: Any, ndim: int, device: str) -> Tensor:
    if isinstance(image, Tensor):
        if image.dtype not in (torch.float32, torch.float64) or image.ndim < ndim:
            raise ValueError(
                f"The image must be a float tensor of at least {ndim} axes, not {image.dtype} "
                f"of shape {tuple(image.shape)}."
            )
        return image.detach()
    data = check_image(image, ndim=ndim).data
    return torch.as_tensor(data).to(choose_device(device).name)


def _through_pass(x: Tensor, fused: FusedPass, boundary: str) -> Tensor:
    if x.device.type != "cpu":
        raise ValueError("The fused pass runs on the CPU: use engine='auto' or 'fft'.")
    if boundary == "valid":
        nothing = (0,) * fused.ndim
        return fused(x, "zero", before=nothing, after=nothing)
    return fused(x, boundary)


def _through_transforms(
    x: Tensor, chains: Sequence[Chain], origins: Sequence[Sequence[int]], boundary: str
) -> Tensor:
    kernel, origin = total_kernel(chains, origins)
    operator = Convolution(
        kernel,
        x.shape[-kernel.ndim :],
        boundary=boundary,
        origin=origin,
        engine="fft",
        dtype=str(x.dtype).removeprefix("torch."),
        device=str(x.device),
    )
    return operator.apply(x)
