"""What becomes of complex responses: energies, phases, and maps that need no stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation.blocks import map_blocks
from napari_convfact.gabor.kernels import GaborBank
from napari_convfact.gabor.orientation import OrientationSum, orientation_colors

#: Outputs with an array for each kernel, and outputs with one array.
STACKS = ("energy", "phase", "response")
MAPS = ("orientation", "coherence", "total_energy", "strongest", "strongest_scale")
_ORIENTED = {"orientation", "coherence", "total_energy"}
_STRONGEST = {"strongest", "strongest_scale"}


class Reduction:
    """Write the outputs of one image while its responses come, kernel by kernel.

    Parameters
    ----------
    bank : GaborBank
    arrays : mapping of str to numpy.ndarray
        The outputs, from `empty_output`; they are filled in place.
    frame : tuple of int
        Index of the image among the leading axes.
    device : torch.device
        Where the responses lie.
    """

    def __init__(
        self,
        bank: GaborBank,
        arrays: Mapping[str, np.ndarray],
        frame: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self.bank = bank
        self.arrays = arrays
        self.frame = frame
        reference = next(iter(arrays.values()))
        shape = reference.shape[reference.ndim - bank.ndim :]
        dtype = torch.float64 if reference.dtype in (np.float64, np.complex128) else torch.float32
        self.orientations = None
        if _ORIENTED & arrays.keys():
            self.orientations = OrientationSum(bank, shape, dtype, device)
        self.strongest = self.scale = None
        if _STRONGEST & arrays.keys():
            self.strongest = torch.full(shape, -1.0, dtype=dtype, device=device)
        if "strongest_scale" in arrays:
            self.scale = torch.zeros(shape, dtype=torch.uint8, device=device)
        if (_ORIENTED | _STRONGEST) & arrays.keys():
            self._energy = torch.empty(shape, dtype=dtype, device=device)

    def add(self, scale: int, orientation: int, response: Tensor) -> None:
        """Take the response of one kernel; scales come one after the other."""
        where: tuple[Any, ...] = (scale, orientation, *self.frame)
        if "response" in self.arrays:
            self.arrays["response"][where] = response.cpu().numpy()
        if "phase" in self.arrays:
            _write(_angle, response, self.arrays["phase"][where])
        if "energy" in self.arrays:
            write_energy(response, self.arrays["energy"][where])
        if self.orientations is None and self.strongest is None:
            return
        map_blocks(_square, response, self._energy)
        if self.orientations is not None:
            self.orientations.add(orientation, self._energy)
            if orientation == self.bank.shape[1] - 1:
                self.orientations.end_scale()
        if self.strongest is None:
            return
        if self.scale is not None:
            map_blocks(partial(_note_scale, scale), self._energy, self.strongest, self.scale)
        map_blocks(_keep_largest, self._energy, self.strongest)

    def finish(self) -> None:
        """Write the maps."""
        maps: dict[str, Tensor] = {}
        if self.orientations is not None:
            maps["orientation"], maps["coherence"] = self.orientations.result()
            maps["total_energy"] = self.orientations.energy
        if self.strongest is not None:
            maps["strongest"] = self.strongest
        if self.scale is not None:
            maps["strongest_scale"] = self.scale
        for name in maps.keys() & self.arrays.keys():
            vectors = name == "orientation" and self.bank.ndim == 3
            where: Any = (slice(None), *self.frame) if vectors else self.frame
            self.arrays[name][where] = maps[name].cpu().numpy()


def empty_output(name: str, bank: GaborBank, image: np.ndarray) -> np.ndarray:
    """Return an array for an output of `image`, not yet filled."""
    shape, dtype = image.shape, image.dtype
    if name in STACKS:
        shape = (*bank.shape, *shape)
    if name == "orientation" and bank.ndim == 3:
        shape = (3, *shape)
    if name == "response":
        dtype = np.result_type(dtype, np.complex64)
    return np.empty(shape, dtype=np.uint8 if name == "strongest_scale" else dtype)


def write_energy(response: Tensor, target: np.ndarray) -> None:
    """Write the squared magnitudes into an array."""
    _write(_square, response, target)


def _write(function: Callable[[Tensor, Tensor], None], x: Tensor, target: np.ndarray) -> None:
    """Let an elementwise function of complex values write its real results into an array."""
    if x.device.type == "cpu":
        map_blocks(function, x, torch.from_numpy(target))
    else:
        result = torch.empty(x.shape, dtype=x.real.dtype, device=x.device)
        function(x, result)
        target[...] = result.cpu().numpy()


def _angle(response: Tensor, phase: Tensor) -> None:
    torch.angle(response, out=phase)


def _square(response: Tensor, energy: Tensor) -> None:
    torch.mul(response.real, response.real, out=energy)
    energy.addcmul_(response.imag, response.imag)


def _note_scale(scale: int, energy: Tensor, strongest: Tensor, scales: Tensor) -> None:
    # Scales only grow, so that the largest is the last; filling by a mask is ten times slower.
    torch.maximum(scales, (energy > strongest).to(scales.dtype).mul_(scale), out=scales)


def _keep_largest(energy: Tensor, strongest: Tensor) -> None:
    torch.maximum(strongest, energy, out=strongest)


def color_maps(maps: Mapping[str, np.ndarray], *, gain: float | None = None) -> np.ndarray:
    """Return the orientation as colour; see `GaborResponses.orientation_rgb`."""
    magnitude = np.sqrt(maps["total_energy"])
    if gain is None:
        brightest = float(np.percentile(magnitude, 99))
        gain = 1 / brightest if brightest > 0 else 1.0
    value = np.minimum(magnitude * gain, 1)
    return orientation_colors(maps["orientation"], maps["coherence"], value)
