"""Moments on the torus: one Fourier transform instead of a sum over windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation import fft
from napari_convfact.texture.moments import Moments, without_rounding
from napari_convfact.texture.support import Support


def autocorrelation_moments(x: Tensor, support: Support) -> Moments:
    """Moments on the torus, from the autocorrelation at the few lags that occur."""
    shape = tuple(x.shape[2:])
    axes = tuple(range(2, x.ndim))
    mean = x.mean(dim=axes, dtype=torch.float64)
    x = x - mean.to(x.dtype).reshape(*mean.shape, *(1,) * len(shape))
    spectrum = fft.rfftn(x, shape)
    # What rounding left of the mean.
    spectrum.flatten(2)[..., 0] = 0
    reach = [2 * r for r in support.radius]
    if support.channels == 1:
        # Squares of large values fit into double precision only.
        power = (spectrum.real.double().square() + spectrum.imag.double().square())[:, :, None]
    else:
        spectrum = spectrum.to(torch.complex128)
        power = spectrum[:, :, None].conj() * spectrum[:, None]
    lags = _inverse_at(power, shape, reach, support.dilation).cpu().numpy()
    steps = np.concatenate([np.zeros((1, support.ndim), int), support.steps])
    index = steps[None, :] - steps[:, None] + np.array(reach)
    table = lags[(..., *np.moveaxis(index, -1, 0))]
    n, channels = table.shape[:2]
    size = len(steps) * channels
    scatter = table.transpose(0, 3, 1, 4, 2).reshape(n, size, size)
    means = np.tile(mean.cpu().numpy(), (1, len(steps)))
    weight = np.full(n, float(np.prod(shape)))
    return without_rounding(Moments(support, weight, means, scatter))


def _inverse_at(power: Tensor, shape: Sequence[int], reach: Sequence[int], step: int) -> Tensor:
    """Invert a real transform at the lags ``step * (-reach ... reach)`` of each axis.

    A few columns of the Fourier matrix cost less than a whole inverse transform.
    """
    last = len(shape) - 1
    for axis in range(last, -1, -1):
        n = shape[axis]
        count = n // 2 + 1 if axis == last else n
        frequency = torch.arange(count, dtype=torch.float64, device=power.device) / n
        lag = step * torch.arange(-reach[axis], reach[axis] + 1, device=power.device)
        phase = 2 * torch.pi * frequency[:, None] * lag
        columns = torch.polar(torch.ones_like(phase), phase) / n
        if axis == last:
            # The half that is not stored is the conjugate of the other.
            columns[1 : (n + 1) // 2] *= 2
        power = power.movedim(axis - len(shape), -1)
        if power.is_complex():
            power = power @ columns
        else:
            parts = power @ torch.cat([columns.real, columns.imag], dim=1)
            power = torch.complex(*parts.chunk(2, dim=-1))
        power = power.movedim(-1, axis - len(shape))
    return power.real
