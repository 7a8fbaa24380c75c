"""The dominant orientation at each pixel, from the magnitudes of a bank's responses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation.blocks import map_blocks
from napari_convfact.gabor.kernels import GaborBank

#: Tuning, in spacings between orientations, at which a sum over them is free of bias.
_SMOOTH_2D = 0.56
_SMOOTH_3D = 0.6


class OrientationSum:
    """Add up responses, kernel by kernel, to a tensor of wave vectors at each pixel.

    Within a scale the tensor is the mean of ``n n^T`` over the wave vectors n, weighted
    with a power of the magnitudes; the scales' tensors are weighted with their energies.
    In 2-D this is the sum of doubled angles. A sum over few, sharply tuned orientations
    leans towards them, by up to four degrees for energies. The power widens the tuning
    until the sum is free of that, and depends on the bank only.

    Parameters
    ----------
    bank : GaborBank
        The bank, of at least two orientations.
    shape : sequence of int
        Spatial shape.
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(
        self, bank: GaborBank, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.bank = bank
        self.power = _tuning_power(bank)
        self.products = [
            (i, j) for i, j in itertools.combinations_with_replacement(range(bank.ndim), 2)
        ]
        zeros = torch.zeros(tuple(shape), dtype=dtype, device=device)
        self.energy = zeros.clone()
        self._tensor = [zeros.clone() for _ in self.products]
        self._scale_tensor = [zeros.clone() for _ in self.products]
        self._scale_weight = zeros.clone()
        self._scale_energy = zeros

    def add(self, orientation: int, energy: Tensor) -> None:
        """Take the energy of one kernel of the current scale."""
        direction = self.bank.directions[orientation]
        shares = [float(direction[i] * direction[j]) for i, j in self.products]

        def add(energy: Tensor, weights: Tensor, energies: Tensor, *totals: Tensor) -> None:
            weight = energy.pow(self.power / 2)
            weights += weight
            energies += energy
            for share, total in zip(shares, totals, strict=True):
                total.add_(weight, alpha=share)

        map_blocks(add, energy, self._scale_weight, self._scale_energy, *self._scale_tensor)

    def end_scale(self) -> None:
        """Close the current scale."""
        tiny, count = _tiny(self.energy), len(self.products)

        def end(energy: Tensor, energies: Tensor, weights: Tensor, *tensors: Tensor) -> None:
            share = energies / weights.clamp_min(tiny)
            for total, part in zip(tensors[:count], tensors[count:], strict=True):
                total.addcmul_(share, part)
                part.zero_()
            energy += energies
            energies.zero_()
            weights.zero_()

        of_scale = (self._scale_energy, self._scale_weight)
        map_blocks(end, self.energy, *of_scale, *self._tensor, *self._scale_tensor)

    def result(self) -> tuple[Tensor, Tensor]:
        """Return orientation and coherence.

        Returns
        -------
        orientation : torch.Tensor
            2-D: angle of the wave vector in [0, pi), ``(*shape)``. 3-D: unit wave vector
            in the order of the axes, ``(3, *shape)``, with x not negative.
        coherence : torch.Tensor
            ``(*shape)``, from 0 where no orientation stands out to 1 for a grating.
        """
        count = 1 if self.bank.ndim == 2 else self.bank.ndim
        orientation = self.energy.new_empty((count, *self.energy.shape))
        coherence = torch.empty_like(self.energy)
        solve = partial(self._solve, self._grating_anisotropy())
        map_blocks(solve, self.energy, coherence, *orientation, *self._tensor)
        return orientation[0] if self.bank.ndim == 2 else orientation, coherence

    def _solve(self, most: float, energy: Tensor, coherence: Tensor, *others: Tensor) -> None:
        """Write coherence and orientation of a block; `most` is the anisotropy of coherence 1."""
        orientation, tensors = others[: -len(self.products)], others[-len(self.products) :]
        weight = energy.clamp_min(_tiny(energy))
        tensor = [part / weight for part in tensors]
        if self.bank.ndim == 2:
            yy, yx, xx = tensor
            angle = torch.remainder(torch.atan2(2 * yx, xx - yy) / 2, math.pi)
            # Just below zero, remainder can round up to pi itself.
            angle[angle >= math.pi] = 0
            components = [angle]
            anisotropy = torch.hypot(2 * yx, xx - yy)
        else:
            axis, anisotropy = _principal_axis(tensor, self.products)
            components = [*axis]
        for target, values in zip(orientation, components, strict=True):
            target.copy_(values)
        coherence.copy_((anisotropy / most).clamp_(0, 1))

    def _grating_anisotropy(self) -> float:
        """Return the anisotropy of gratings along the bank's own wave vectors, on average."""
        directions = self.bank.directions
        sine = np.sqrt((1 - (directions @ directions.T) ** 2).clip(min=0))
        weights = np.exp(-0.5 * self.power * (np.arcsin(sine) / self.bank.angular_width) ** 2)
        weights /= weights.sum(axis=1, keepdims=True)
        tensors = np.einsum("gn,ni,nj->gij", weights, directions, directions)
        largest = np.linalg.eigvalsh(tensors)[:, -1]
        ndim = self.bank.ndim
        return float(((ndim * largest - 1) / (ndim - 1)).mean())


def orientation_colors(
    orientation: np.ndarray, coherence: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Code orientation as colour.

    Parameters
    ----------
    orientation : numpy.ndarray
        ``(*n)`` angles, shown as hue (red is 0, cyan a right angle), or ``(3, *n)`` vectors,
        whose components' magnitudes are shown as red (x), green (y) and blue (z).
    coherence : numpy.ndarray
        ``(*n)`` in [0, 1]; its root is shown as saturation.
    value : numpy.ndarray
        ``(*n)`` in [0, 1], shown as brightness.

    Returns
    -------
    numpy.ndarray
        float32 ``(*n, 3)`` in [0, 1].
    """
    if orientation.ndim == value.ndim:
        hue = (orientation[..., None] / math.pi - np.array([0, 1 / 3, 2 / 3])) % 1
        # The hue hexagon: 1 within a sixth of a turn of a primary, 0 beyond a third.
        pure = np.clip(2 - 6 * np.minimum(hue, 1 - hue), 0, 1)
    else:
        pure = np.abs(np.moveaxis(orientation, 0, -1))[..., ::-1]
        pure = pure / np.maximum(pure.max(axis=-1, keepdims=True), 1e-12)
    saturated = 1 - np.sqrt(coherence)[..., None] * (1 - pure)
    return (value[..., None] * saturated).astype(np.float32)


def _tuning_power(bank: GaborBank) -> float:
    count = len(bank.directions)
    if bank.ndim == 2:
        wanted = _SMOOTH_2D * math.pi / count
    else:
        wanted = _SMOOTH_3D * math.sqrt(2 * math.pi / count)
    return min(2.0, (bank.angular_width / wanted) ** 2)


def _principal_axis(
    tensor: Sequence[Tensor], products: Sequence[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    shape = tensor[0].shape
    matrices = tensor[0].new_zeros((tensor[0].numel(), 3, 3))
    for (i, j), part in zip(products, tensor, strict=True):
        matrices[:, i, j] = matrices[:, j, i] = part.reshape(-1)
    axes, anisotropy = [], []
    for block in torch.split(matrices, 2**18):
        values, vectors = torch.linalg.eigh(block)
        axis = vectors[..., -1]
        axes.append(torch.where(axis[:, 2:] < 0, -axis, axis))
        anisotropy.append((3 * values[:, -1] - 1) / 2)
    return torch.cat(axes).T.reshape(3, *shape), torch.cat(anisotropy).reshape(shape)


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny
