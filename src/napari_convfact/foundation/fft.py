"""Fourier transforms of tensors: over their last axes, or over one.

On the CPU they run through ``scipy.fft`` on the tensor's own memory, which measures
faster than torch there; on other devices, and where gradients are needed, through torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import scipy.fft
import torch
from torch import Tensor

from napari_convfact.foundation.device import cpu_count

# A transform of fewer samples is done before another thread has begun.
_ALONE = 2**15


def workers(samples: int) -> int:
    """Return on how many threads to transform so many samples."""
    return 1 if samples < _ALONE else cpu_count()


def fast_length(n: int) -> int:
    """Return the smallest length of at least `n` whose real transform is fast."""
    return int(scipy.fft.next_fast_len(n, real=True))


def fast_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return `fast_length` of each axis."""
    return tuple(fast_length(n) for n in shape)


def rfftn(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Transform the last ``len(shape)`` axes of a real tensor.

    Parameters
    ----------
    x : torch.Tensor
        Real, ``(..., *n)``.
    shape : sequence of int
        The transform's size; axes of `x` that are shorter are padded with zeros at the end.

    Returns
    -------
    torch.Tensor
        Complex, the last axis halved: ``(..., *shape[:-1], shape[-1] // 2 + 1)``.
    """
    axes = tuple(range(-len(shape), 0))
    if _through_torch(x):
        return torch.fft.rfftn(x, s=tuple(shape), dim=axes)
    spectrum = scipy.fft.rfftn(x.numpy(), s=tuple(shape), axes=axes, workers=workers(x.numel()))
    result: Tensor = torch.from_numpy(spectrum)
    return result


def irfftn(spectrum: Tensor, shape: Sequence[int], *, overwrite: bool = False) -> Tensor:
    """Invert `rfftn`.

    Parameters
    ----------
    spectrum : torch.Tensor
        Complex, ``(..., *shape[:-1], shape[-1] // 2 + 1)``.
    shape : sequence of int
        Size of the real result. It is never guessed: an odd last axis would lose a column.
    overwrite : bool
        Allow the memory of `spectrum` to be used for work.

    Returns
    -------
    torch.Tensor
        Real, ``(..., *shape)``.
    """
    axes = tuple(range(-len(shape), 0))
    if _through_torch(spectrum):
        return torch.fft.irfftn(spectrum, s=tuple(shape), dim=axes)
    work = spectrum.resolve_conj().numpy()
    if len(shape) > 1:
        # scipy's irfftn always copies its input; these two passes need not.
        threads = workers(work.size)
        work = scipy.fft.ifftn(work, axes=axes[:-1], overwrite_x=overwrite, workers=threads)
    image = scipy.fft.irfft(work, n=shape[-1], axis=-1, workers=workers(work.size))
    result: Tensor = torch.from_numpy(image)
    return result


def fftn(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Transform the last ``len(shape)`` axes of a real or complex tensor to a whole spectrum.

    Parameters
    ----------
    x : torch.Tensor
        ``(..., *n)``.
    shape : sequence of int
        The transform's size; axes of `x` that are shorter are padded with zeros at the end.

    Returns
    -------
    torch.Tensor
        Complex, ``(..., *shape)``.
    """
    axes = tuple(range(-len(shape), 0))
    if _through_torch(x):
        return torch.fft.fftn(x, s=tuple(shape), dim=axes)
    work = x.resolve_conj().numpy()
    spectrum = scipy.fft.fftn(work, s=tuple(shape), axes=axes, workers=workers(work.size))
    result: Tensor = torch.from_numpy(spectrum)
    return result


def fft(x: Tensor, dim: int, *, overwrite: bool = False) -> Tensor:
    """Transform one axis of a complex tensor.

    Parameters
    ----------
    x : torch.Tensor
        Complex.
    dim : int
        The axis.
    overwrite : bool
        Allow the memory of `x` to be used for the result.

    Returns
    -------
    torch.Tensor
        Complex, of the shape of `x`.
    """
    if _through_torch(x):
        return torch.fft.fft(x, dim=dim)
    work = x.resolve_conj().numpy()
    values = scipy.fft.fft(work, axis=dim, overwrite_x=overwrite, workers=workers(work.size))
    result: Tensor = torch.from_numpy(values)
    return result


def ifft(spectrum: Tensor, dim: int, *, overwrite: bool = False) -> Tensor:
    """Invert `fft`.

    Parameters
    ----------
    spectrum : torch.Tensor
        Complex.
    dim : int
        The axis.
    overwrite : bool
        Allow the memory of `spectrum` to be used for the result.

    Returns
    -------
    torch.Tensor
        Complex, of the shape of `spectrum`.
    """
    if _through_torch(spectrum):
        return torch.fft.ifft(spectrum, dim=dim)
    work = spectrum.resolve_conj().numpy()
    values = scipy.fft.ifft(work, axis=dim, overwrite_x=overwrite, workers=workers(work.size))
    result: Tensor = torch.from_numpy(values)
    return result


def _through_torch(x: Tensor) -> bool:
    return x.device.type != "cpu" or x.requires_grad
