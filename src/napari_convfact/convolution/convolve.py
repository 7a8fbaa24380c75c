"""Filter an image with a kernel or a bank: one layer for each kernel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.named import named_bank
from napari_convfact.convolution.operator import Convolution
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.foundation.scale import intensity_unit, largest_magnitude
from napari_convfact.foundation.validate import (
    CheckedImage,
    Missing,
    check_count,
    check_image,
    check_kernel,
    leading_axes,
)
from napari_convfact.kernels.bank import KernelBank

Result = Literal["filtered", "difference", "sharpened", "magnitude"]

BOUNDARIES = ("reflect", "periodic", "zero", "valid", "full")
_SAME_SIZE = ("reflect", "periodic", "zero")

#: Samples of all channels that are worked on between two steps.
_LARGEST_BLOCK = 2**26


def convolve(
    image: Any,
    kernel: Any,
    *,
    boundary: str = "reflect",
    result: Result = "filtered",
    amount: float = 1.0,
    normalize: bool = False,
    sigma: float = 1.0,
    size: int = 3,
    ndim: int = 2,
    missing: Missing = "error",
    engine: str = "auto",
    dtype: str = "float32",
    device: str = "auto",
) -> np.ndarray:
    """Convolve an image with a kernel, or with each kernel of a bank.

    Parameters
    ----------
    image : array_like
        ``(..., *spatial)``; the kernel's number of axes sets the spatial ones, the last, and
        those before are independent. For a bank whose kernels mix c channels,
        ``(..., c, *spatial)``.
    kernel : array_like, KernelBank or str
        A kernel ``(*k)``, a bank, or a name: ``"gaussian"``, ``"box"``, ``"sobel"`` (a
        kernel for each axis), ``"laplacian"``. Origin at ``k // 2``. It is convolved, not
        correlated.
    boundary : {"reflect", "periodic", "zero", "valid", "full"}
        What lies beyond the edges; ``scipy.ndimage`` calls the first three "reflect", "wrap"
        and "constant". ``"valid"`` keeps the outputs that need nothing from there, ``"full"``
        keeps all that the image reaches.
    result : {"filtered", "difference", "sharpened", "magnitude"}
        With F the filtered image: F, image - F, image + amount * (image - F) (unsharp
        masking, where F is a blur), or the root of the sum of F**2 over the bank's kernels.
    amount : float
        Of sharpening.
    normalize : bool
        Divide each kernel by its sum, unless that is zero.
    sigma : float
        Standard deviation of ``"gaussian"`` in pixels.
    size : int
        Width of ``"box"`` in pixels, odd.
    ndim : int
        Number of spatial axes of a named kernel.
    missing : {"error", "fill"}
        Refuse NaN and infinite values, or fill each from its neighbours for the
        computation and put NaN back.
    engine : {"auto", "fft", "fused"}
        How `Convolution` computes.
    dtype : {"float32", "float64"}
        Working precision and type of the result.
    device : str
        See `choose_device`.

    Returns
    -------
    numpy.ndarray
        ``(..., *m)`` for one kernel; ``(n, ..., *m)`` for a bank, and for ``"sobel"``, where n
        is the number of axes. ``m`` is the spatial shape, except for "valid" and "full".

    Raises
    ------
    ValueError
        If the kernel does not fit the image, or an argument is not legal.

    References
    ----------
    W. F. Schreiber, "Wirephoto quality improvement by unsharp masking", Pattern Recognition 2
    (1970).

    Examples
    --------
    >>> convolve([[0, 0, 0], [0, 9, 0], [0, 0, 0]], "box", boundary="zero")[0]
    array([1., 1., 1.], dtype=float32)
    """
    return run(
        convolve_job(
            image,
            kernel,
            boundary=boundary,
            result=result,
            amount=amount,
            normalize=normalize,
            sigma=sigma,
            size=size,
            ndim=ndim,
            missing=missing,
            engine=engine,
            dtype=dtype,
            device=device,
        )
    )


def convolve_job(
    image: Any,
    kernel: Any,
    *,
    boundary: str = "reflect",
    result: Result = "filtered",
    amount: float = 1.0,
    normalize: bool = False,
    sigma: float = 1.0,
    size: int = 3,
    ndim: int = 2,
    missing: Missing = "error",
    engine: str = "auto",
    dtype: str = "float32",
    device: str = "auto",
) -> Job[np.ndarray]:
    """Do what `convolve` does, as a job that yields a `Step` after each kernel and frame."""
    _check_options(boundary, result, amount, missing)
    bank = _as_bank(kernel, ndim=ndim, sigma=sigma, size=size)
    kernels = _normalized(bank) if normalize else bank.kernels
    if result in ("difference", "sharpened") and bank.channels is not None:
        raise ValueError(f"result={result!r} needs kernels that do not mix channels.")
    apart = leading_axes(image, bank.ndim)
    checked = check_image(image, ndim=bank.ndim, missing=missing, apart=apart, dtype=dtype)
    source = _Source(checked, bank.ndim, bank.channels)
    place = choose_device(device, dtype=dtype).name
    filtered = yield from _filter(source, kernels, boundary, engine, dtype, place)
    values = _combine(filtered, checked.data, result, amount)
    if result != "magnitude" and bank.single:
        values = values[0]
    if boundary in _SAME_SIZE:
        return _restore_missing(checked, values, bank)
    return values


@dataclass(frozen=True)
class _Bank:
    """Kernels ``(n, *k)`` or ``(n, c, *k)``, and whether the user gave just one."""

    kernels: np.ndarray
    ndim: int
    channels: int | None = None
    single: bool = False


@dataclass(frozen=True)
class _Source:
    """A checked image whose axes are known: leading, channels or none, spatial."""

    checked: CheckedImage
    ndim: int
    channels: int | None

    def __post_init__(self) -> None:
        shape = self.checked.data.shape
        if self.channels is None:
            return
        if len(shape) == self.ndim or shape[-self.ndim - 1] != self.channels:
            raise ValueError(
                f"The bank's kernels take {self.channels} channels: the image must be "
                f"(..., {self.channels}, *spatial), but its shape is {shape}."
            )

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.checked.data.shape[self.checked.data.ndim - self.ndim :]

    @property
    def leading(self) -> tuple[int, ...]:
        inner = self.ndim + (self.channels is not None)
        return self.checked.data.shape[: self.checked.data.ndim - inner]

    @cached_property
    def unit(self) -> float:
        """What values are divided by: transforms sum all of them, and float32 ends at 3e38."""
        return intensity_unit(largest_magnitude(self.checked.data))

    def frames(self, device: str) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        for index in np.ndindex(*self.leading):
            frame = self.checked.data[index]
            if self.unit != 1:
                frame = frame / frame.dtype.type(self.unit)
            yield index, torch.as_tensor(frame).to(device)


def _filter(
    source: _Source, kernels: np.ndarray, boundary: str, engine: str, dtype: str, device: str
) -> Job[np.ndarray]:
    """Return ``(n, *leading, *m)``."""
    blocks = _blocks(kernels, source)
    total = len(blocks) * math.prod(source.leading)
    steps = itertools.count(1)
    result: np.ndarray | None = None
    for block in blocks:
        apply = _operator(kernels[block], source, boundary, engine, dtype, device)
        for index, frame in source.frames(device):
            values = apply(frame)
            if result is None:
                window = values.shape[values.ndim - source.ndim :]
                result = np.empty((len(kernels), *source.leading, *window), dtype=dtype)
            where: Any = (block, *index)
            result[where] = values.cpu().numpy()
            yield Step(next(steps), total, f"Kernel {block.stop} of {len(kernels)}")
    assert result is not None
    if source.unit != 1:
        result *= result.dtype.type(source.unit)
    return result


def _blocks(kernels: np.ndarray, source: _Source) -> list[slice]:
    """Split the bank into parts: single kernels, or as many as share an image's channels."""
    size = 1
    if source.channels is not None:
        size = max(1, _LARGEST_BLOCK // (math.prod(source.spatial) * source.channels))
    return [slice(i, min(i + size, len(kernels))) for i in range(0, len(kernels), size)]


def _operator(
    kernels: np.ndarray, source: _Source, boundary: str, engine: str, dtype: str, device: str
) -> Callable[[Tensor], Tensor]:
    operator = Convolution(
        kernels[0] if source.channels is None else kernels,
        source.spatial,
        boundary=boundary,
        engine=engine,
        dtype=dtype,
        device=device,
    )
    return operator.apply


def _check_options(boundary: str, result: str, amount: Any, missing: str) -> None:
    if missing not in get_args(Missing):
        raise ValueError(f"missing must be one of {', '.join(get_args(Missing))}, not {missing!r}.")
    if not (isinstance(amount, Real) and math.isfinite(amount)):
        raise ValueError(f"amount must be a finite number, not {amount!r}.")
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, not {boundary!r}.")
    if result not in get_args(Result):
        raise ValueError(f"result must be one of {', '.join(get_args(Result))}, not {result!r}.")
    if result in ("difference", "sharpened") and boundary not in _SAME_SIZE:
        raise ValueError(
            f"result={result!r} compares with the image: use boundary "
            f"{', '.join(_SAME_SIZE)}, not {boundary!r}."
        )


def _as_bank(kernel: Any, *, ndim: int, sigma: float, size: int) -> _Bank:
    if isinstance(kernel, str):
        check_count("ndim", ndim)
        named = named_bank(kernel, ndim=ndim, sigma=sigma, size=size)
        return _Bank(named.kernels, ndim, single=len(named) == 1)
    if isinstance(kernel, KernelBank):
        return _Bank(kernel.kernels, kernel.ndim, kernel.channels)
    values = check_kernel(kernel)
    return _Bank(values[None], values.ndim, single=True)


def _normalized(bank: _Bank) -> np.ndarray:
    # A kernel that mixes channels is divided as a whole: its channels keep their shares.
    axes = tuple(range(1, bank.kernels.ndim))
    sums = bank.kernels.sum(axis=axes, keepdims=True)
    # A kernel that is meant to sum to zero does so to rounding only.
    negligible = abs(sums) <= 1e-6 * abs(bank.kernels).sum(axis=axes, keepdims=True)
    return np.asarray(bank.kernels / np.where(negligible, 1, sums))


def _restore_missing(image: CheckedImage, values: np.ndarray, bank: _Bank) -> np.ndarray:
    """Put NaN back; a result of several channels has no value where one of them has none."""
    if image.missing is not None and bank.channels is not None:
        missing = image.missing.any(axis=-bank.ndim - 1)
        image = replace(image, missing=np.asarray(missing))
    return image.restore_missing(values)


def _combine(filtered: np.ndarray, image: np.ndarray, result: str, amount: float) -> np.ndarray:
    if result == "difference":
        return image - filtered
    if result == "sharpened":
        return image + filtered.dtype.type(amount) * (image - filtered)
    if result == "magnitude":
        unit = intensity_unit(largest_magnitude(filtered)) if filtered.size else 1.0
        near_one = filtered if unit == 1 else filtered / filtered.dtype.type(unit)
        root = np.sqrt(np.einsum("n...,n...->...", near_one, near_one))
        return np.asarray(root if unit == 1 else root * filtered.dtype.type(unit))
    return filtered
