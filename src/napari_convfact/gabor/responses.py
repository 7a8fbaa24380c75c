"""Filter an image with a Gabor bank; what it answers is computed when it is asked for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.foundation.memory import memory_budget
from napari_convfact.foundation.scale import largest_magnitude
from napari_convfact.foundation.threads import on_one_torch_thread
from napari_convfact.foundation.validate import check_image
from napari_convfact.gabor.frame import check_weights, measure_frame, reconstruct_image
from napari_convfact.gabor.kernels import GaborBank
from napari_convfact.gabor.reductions import (
    MAPS,
    STACKS,
    Reduction,
    color_maps,
    empty_output,
    write_energy,
)
from napari_convfact.gabor.stream import stream_responses
from napari_convfact.gabor.torus import Layout, lay_out

#: Of a sample of the torus: spectrum, product and response.
_BYTES = 32
#: Share of the image's squared values that energies must still be told from 0 at.
_FAINTEST = 1e-6
#: Widest stride of band-rate energies: the torus is made to be divisible by the bank's.
_WIDEST_STRIDE = 16


def gabor_filter(
    image: Any,
    bank: GaborBank,
    *,
    boundary: str = "reflect",
    dtype: str = "float32",
    device: str = "auto",
) -> GaborResponses:
    """Filter an image with a Gabor bank.

    Responses are convolutions with the bank's complex kernels. They are evaluated by the
    kernels' exact spectra on the padded image, so kernels are never cut.

    Parameters
    ----------
    image : array_like
        ``(..., *spatial)``; the last `bank.ndim` axes are filtered and those before are
        independent. Move the channels of a colour image to the front, or pass its luminance.
    bank : GaborBank
        From `gabor_bank`.
    boundary : {"reflect", "periodic", "zero"}
        What lies beyond the edges; ``"reflect"`` repeats the edge sample.
    dtype : {"float32", "float64"}
        Working precision.
    device : str
        See `choose_device`.

    Returns
    -------
    GaborResponses
        Which computes what is asked of it: ``.energy``, ``.phase``, ``.orientation``,
        ``.coherence``, ``.orientation_rgb()``, ``.band_energies()``, ``.reconstruct()``.

    Raises
    ------
    ValueError
        If the image has too few axes or holds values that are not finite, or if an argument
        is not legal.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_convfact.gabor.bank import gabor_bank
    >>> grating = np.cos(2 * np.pi * 0.25 * np.arange(64)) * np.ones((64, 1))
    >>> responses = gabor_filter(grating, gabor_bank(frequencies=[0.25]), boundary="periodic")
    >>> responses.energy[0, 0].mean().round(3)
    np.float32(0.25)
    """
    if not isinstance(bank, GaborBank):
        raise ValueError("bank must come from gabor_bank.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', not {dtype!r}.")
    data = check_image(image, ndim=bank.ndim, dtype=dtype).data
    place = choose_device(device, dtype=dtype)
    spatial = data.shape[data.ndim - bank.ndim :]
    if boundary == "zero":
        _check_room(spatial, bank)
    stride = 2 ** math.floor(math.log2(min(max(*bank.strides, 1), _WIDEST_STRIDE)))
    return GaborResponses(bank, data, lay_out(spatial, bank.reach, boundary, stride), place.name)


def _check_room(spatial: Sequence[int], bank: GaborBank) -> None:
    """Refuse kernels that need more room beside an image among zeros than there is memory."""
    samples = math.prod(n + bank.reach for n in spatial)
    if _BYTES * samples > memory_budget():
        raise ValueError(
            f"The coarsest kernel reaches {bank.reach} pixels, too many to lay around the image: "
            "use boundary='reflect', or fewer scales."
        )


@dataclass(frozen=True, eq=False)
class GaborResponses:
    """An image seen through a Gabor bank.

    Nothing is computed before it is asked for. Stacks have the shape
    ``(n_scales, n_orientations, *leading, *spatial)``, maps ``(*leading, *spatial)``. Maps are
    accumulated kernel by kernel: their memory does not grow with the bank.

    Attributes
    ----------
    bank : GaborBank
    image : numpy.ndarray
        ``(*leading, *spatial)``, of the working precision.
    layout : Layout
        The torus that the responses are computed on.
    device : str
        What ``torch.device`` takes.
    """

    bank: GaborBank
    image: np.ndarray
    layout: Layout
    device: str

    @cached_property
    def energy(self) -> np.ndarray:
        """Squared magnitudes, ``(n_scales, n_orientations, *leading, *spatial)``."""
        return run(self.compute(["energy"]))["energy"]

    @cached_property
    def phase(self) -> np.ndarray:
        """Phases in radians, ``(n_scales, n_orientations, *leading, *spatial)``."""
        return run(self.compute(["phase"]))["phase"]

    @cached_property
    def response(self) -> np.ndarray:
        """Complex responses, ``(n_scales, n_orientations, *leading, *spatial)``."""
        return run(self.compute(["response"]))["response"]

    @property
    def orientation(self) -> np.ndarray:
        """Dominant orientation of the wave vector, ``(*leading, *spatial)``.

        Radians in [0, pi) from +x towards +y; stripes run at a right angle to it. With a 3-D
        bank, unit vectors ``(3, *leading, *spatial)`` in the order of the axes.
        """
        return self._maps["orientation"]

    @property
    def coherence(self) -> np.ndarray:
        """From 0 (no orientation stands out) to 1 (a grating), ``(*leading, *spatial)``."""
        return self._maps["coherence"]

    @property
    def total_energy(self) -> np.ndarray:
        """Energy summed over the bank, ``(*leading, *spatial)``."""
        return self._maps["total_energy"]

    def orientation_rgb(self, *, gain: float | None = None) -> np.ndarray:
        """Return the orientation as hue, the root of the coherence as saturation.

        Parameters
        ----------
        gain : float, optional
            Brightness is the root of the total energy times this, cut at 1; by default it
            is such that one pixel in a hundred is cut.

        Returns
        -------
        numpy.ndarray
            float32 in [0, 1], ``(*leading, *spatial, 3)``. With a 3-D bank the magnitudes of
            x, y and z are red, green and blue.
        """
        return color_maps(self._maps, gain=gain)

    def band_energies(self) -> tuple[list[np.ndarray], list[int]]:
        """Return energies at the rate that each scale needs.

        Returns
        -------
        energies : list of numpy.ndarray
            One for each scale, ``(n_orientations, *leading, *m)``: exactly the full-rate
            energies at every stride-th pixel along each axis, from the first.
        strides : list of int
            Powers of two, one for each scale.
        """
        return run(self.band_energies_job())

    def reconstruct(self, weights: Any = None, *, residual: float = 1.0) -> np.ndarray:
        """Return to an image, with each kernel's response weighted.

        A residual channel, of what no kernel sees, completes the bank to a tight frame:
        with all weights 1 the image comes back exactly.

        Parameters
        ----------
        weights : array_like, optional
            Broadcast to ``(n_scales, n_orientations)``, or to
            ``(n_scales, n_orientations, *leading, *spatial)`` to edit places; 1 by default.
        residual : float
            Weight of the residual channel: the mean, the lowest and the highest frequencies.

        Returns
        -------
        numpy.ndarray
            ``(*leading, *spatial)``, of the working precision.

        Raises
        ------
        ValueError
            If the weights do not fit, or one of them is not finite.
        """
        return run(self.reconstruct_job(weights, residual=residual))

    def compute(self, outputs: Sequence[str]) -> Job[dict[str, np.ndarray]]:
        """Compute several outputs in one pass over the bank (a job).

        Parameters
        ----------
        outputs : sequence of str
            Of ``"energy"``, ``"phase"``, ``"response"`` (stacks), ``"orientation"``,
            ``"coherence"``, ``"total_energy"``, ``"strongest"`` (the largest energy) and
            ``"strongest_scale"`` (the index of its scale).

        Yields
        ------
        Step
            After each kernel.

        Returns
        -------
        dict
            An array for each output.

        Raises
        ------
        ValueError
            If an output is unknown.
        """
        unknown = [name for name in outputs if name not in (*STACKS, *MAPS)]
        if unknown:
            raise ValueError(
                f"Unknown output {unknown[0]!r}: choose from {', '.join((*STACKS, *MAPS))}."
            )
        if set(outputs) - {"phase", "response"}:
            self._check_squares()
        return on_one_torch_thread(self._compute(outputs))

    def _check_squares(self) -> None:
        """Refuse values whose squares are beyond the working precision."""
        largest = largest_magnitude(self.image)
        limits = np.finfo(self.image.dtype)
        energy = largest * largest
        least, most = float(limits.tiny) / _FAINTEST, float(limits.max) * _FAINTEST
        if largest and not least < energy < most:
            raise ValueError(
                f"The image's values reach {largest:.2g}, and {self.image.dtype} cannot hold the "
                "energies: multiply it by a constant first."
            )

    def _compute(self, outputs: Sequence[str]) -> Job[dict[str, np.ndarray]]:
        arrays = {name: empty_output(name, self.bank, self.image) for name in outputs}
        total = len(self._frames) * self.bank.shape[0] * self.bank.shape[1]
        steps = itertools.count(1)
        for frame in self._frames:
            reduction = Reduction(self.bank, arrays, frame, torch.device(self.device))
            for scale, orientation, response in self._stream(frame):
                reduction.add(scale, orientation, response)
                yield Step(next(steps), total, f"Scale {scale + 1}, orientation {orientation + 1}")
            reduction.finish()
        return arrays

    def band_energies_job(self) -> Job[tuple[list[np.ndarray], list[int]]]:
        """Compute `band_energies` (a job)."""
        self._check_squares()
        return on_one_torch_thread(self._band_energies())

    def _band_energies(self) -> Job[tuple[list[np.ndarray], list[int]]]:
        strides = self.strides
        leading = self.image.shape[: -self.bank.ndim]
        energies = []
        for stride in strides:
            grid = [-(-n // stride) for n in self.layout.shape]
            energies.append(np.empty((self.bank.shape[1], *leading, *grid), dtype=self.image.dtype))
        total = len(self._frames) * self.bank.shape[0] * self.bank.shape[1]
        steps = itertools.count(1)
        for frame in self._frames:
            for scale, orientation, response in self._stream(frame, strides):
                write_energy(response, energies[scale][(orientation, *frame)])
                yield Step(next(steps), total, f"Scale {scale + 1}, orientation {orientation + 1}")
        return energies, strides

    def reconstruct_job(self, weights: Any = None, *, residual: float = 1.0) -> Job[np.ndarray]:
        """Compute `reconstruct` (a job)."""
        if not math.isfinite(residual):
            raise ValueError(f"The weight of the residual must be finite, not {residual!r}.")
        values = check_weights(weights, self.bank.shape, self.image)
        return on_one_torch_thread(self._reconstruct(values, residual))

    def _reconstruct(self, values: np.ndarray, residual: float) -> Job[np.ndarray]:
        masked = values.ndim > 2
        scalars = np.ones(self.bank.shape) if masked else values
        dtype = getattr(torch, str(self.image.dtype))
        frame = yield from measure_frame(self.bank, self.layout.torus, dtype, scalars, self.device)
        result = np.empty_like(self.image)
        for done, index in enumerate(self._frames, start=1):
            where: Any = (slice(None), slice(None), *index)
            image = torch.as_tensor(self.image[index]).to(self.device)
            masks = values[where] if masked else None
            restored = yield from reconstruct_image(
                self.bank, frame, image, self.layout, float(residual), masks
            )
            result[index] = restored.cpu().numpy()
            yield Step(done, len(self._frames), "Reconstructed")
        return result

    @property
    def strides(self) -> list[int]:
        """Strides of `band_energies`, one for each scale."""
        return [self.layout.stride(widest) for widest in self.bank.strides]

    @cached_property
    def _maps(self) -> dict[str, np.ndarray]:
        return run(self.compute(["orientation", "coherence", "total_energy"]))

    @property
    def _frames(self) -> list[tuple[int, ...]]:
        return list(np.ndindex(*self.image.shape[: -self.bank.ndim]))

    def _stream(
        self, frame: tuple[int, ...], strides: Sequence[int] | None = None
    ) -> Iterator[tuple[int, int, Tensor]]:
        image = torch.as_tensor(self.image[frame]).to(self.device)
        return stream_responses(self.bank, image, self.layout, strides)
