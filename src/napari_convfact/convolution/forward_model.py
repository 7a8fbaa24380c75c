"""A convolution as a linear map: forward and adjoint, on any engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.convolution.engines import EngineChoice, FusedEngine, choose_engine
from napari_convfact.convolution.fourier import FourierEngine
from napari_convfact.convolution.geometry import plan_geometry
from napari_convfact.convolution.sampling import dilate, every, subsample_adjoint
from napari_convfact.convolution.spatial import SpatialEngine
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.validate import check_float32, check_image, check_kernel

ENGINES = ("auto", "fft", "fused")
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_REMEMBERED = 4

T = TypeVar("T")


class ForwardModel:
    """What `Convolution` is without its inverses; it has the same parameters.

    The solvers work on it, and `Convolution` calls the solvers.
    """

    def __init__(
        self,
        kernel: Any,
        shape: Sequence[int],
        *,
        boundary: str = "zero",
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        origin: Sequence[int] | None = None,
        engine: str = "auto",
        tolerance: float = 0.0,
        dtype: str | None = None,
        device: str = "auto",
        mask: Any = None,
    ) -> None:
        shape = tuple(int(n) for n in shape)
        values = check_kernel(kernel)
        self.ndim = len(shape)
        self.mixes = values.ndim == self.ndim + 2
        if values.ndim != self.ndim and not self.mixes:
            raise ValueError(
                f"A kernel of shape {values.shape} does not fit images of {self.ndim} axes: it "
                f"needs {self.ndim} axes, or {self.ndim + 2} (c_out, c_in, *k) to mix channels."
            )
        self.boundary = boundary
        self.tolerance = float(tolerance)
        self.dtype = _torch_dtype(dtype)
        if self.dtype == torch.float32:
            check_float32(values)
        self.device = torch.device(choose_device(device, dtype=dtype or "float32").name)
        self.geometry = plan_geometry(
            values.shape[-self.ndim :],
            shape,
            boundary=boundary,
            stride=stride,
            dilation=dilation,
            origin=origin,
        )
        self.kernel = dilate(values, self.geometry.kernel, self.geometry.dilation)
        channels_out, channels_in = values.shape[:2] if self.mixes else ((), ())
        self.input_shape = _with_channels(channels_in, self.geometry.input)
        self.output_shape = _with_channels(channels_out, self.geometry.output)
        self.torus_shape = self.geometry.torus
        self.estimate_window = (self.geometry.estimate_start, self._data_shape())
        self._remembered: dict[tuple[Any, ...], Any] = {}
        self.mask = self._check_mask(mask)
        self._requested_engine = engine
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}.")
        if engine == "fused":
            _ = self.engine_choice

    @property
    def engine(self) -> str:
        """``"fft"``, ``"fused"`` or ``"direct"``: how products are computed."""
        return self.engine_choice.name

    @cached_property
    def engine_choice(self) -> EngineChoice:
        """Which engine computes the products, why, and what was measured."""
        return choose_engine(
            self.kernel,
            self.geometry,
            self.boundary,
            requested=self._requested_engine,
            tolerance=self.tolerance,
            dtype=self.dtype,
            device=self.device,
        )

    @cached_property
    def transfer(self) -> Tensor:
        """Spectrum of the kernel on the torus, ``(*f)`` or ``(c_out, c_in, *f)``, complex.

        It maps the (padded) input, laid at index 0 of the torus, to the output at index 0.
        Of a mixing kernel it is a view of memory that has the channels last.
        """
        spectrum = transfer_function(
            self.kernel,
            self.torus_shape,
            origin=self.geometry.origin,
            dtype=self.dtype,
            device=self.device,
        )
        if not self.mixes:
            return spectrum
        # One small matrix per frequency, contiguous: what batched products want.
        matrices = spectrum.movedim((0, 1), (-2, -1)).contiguous()
        return matrices.movedim((-2, -1), (0, 1))

    def variant(self, *, dtype: str | None = None, factor: float = 1.0) -> ForwardModel:
        """Return the operator in another precision, or with its kernel times a factor."""
        return ForwardModel(
            self.kernel * factor,
            self._data_shape(),
            boundary=self.boundary,
            stride=self.geometry.stride,
            origin=self.geometry.kernel_origin,
            engine=self._requested_engine if dtype is None else "fft",
            tolerance=self.tolerance,
            dtype=dtype or str(self.dtype).removeprefix("torch."),
            # Not every device has float64.
            device=str(self.device) if dtype is None else "cpu",
            mask=None if self.mask is None else self.mask.cpu().numpy(),
        )

    @property
    def has_unit_grid(self) -> bool:
        """Whether every output is kept and measured: stride 1 and no mask."""
        return self.mask is None and all(step == 1 for step in self.geometry.stride)

    def forward(self, x: Any) -> np.ndarray:
        """Convolve.

        Parameters
        ----------
        x : array_like
            ``(..., *input_shape)``; leading axes are independent.

        Returns
        -------
        numpy.ndarray
            ``(..., *output_shape)`` in the operator's dtype.

        Raises
        ------
        ValueError
            If the shape does not fit or a value is not finite.
        """
        return self.to_numpy(self.apply(self.to_tensor(x, self.input_shape, "image")))

    def adjoint(self, y: Any) -> np.ndarray:
        """Apply the adjoint (the transpose of the real matrix `dense`).

        Parameters
        ----------
        y : array_like
            ``(..., *output_shape)``; leading axes are independent.

        Returns
        -------
        numpy.ndarray
            ``(..., *input_shape)`` in the operator's dtype.

        Raises
        ------
        ValueError
            If the shape does not fit or a value is not finite.
        """
        return self.to_numpy(self.apply_adjoint(self.data_to_tensor(y)))

    def apply(self, x: Tensor) -> Tensor:
        """`forward` of a tensor on the operator's device; the result may be a view."""
        y = self._product(differentiable=x.requires_grad).apply(x)
        y = y[every(self.geometry.stride)]
        return y if self.mask is None else y * self.mask

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """`adjoint` of a tensor on the operator's device; the result may be a view."""
        if self.mask is not None:
            y = y * self.mask
        y = subsample_adjoint(y, self.geometry.stride, self.geometry.window)
        return self._product(differentiable=y.requires_grad).apply_adjoint(y)

    def remember(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what `make` returned for this key before, or call it.

        The few latest results are kept: factors and spectra that all frames share.
        """
        if key in self._remembered:
            self._remembered[key] = self._remembered.pop(key)
        else:
            self._remembered[key] = make()
            while len(self._remembered) > _REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
        result: T = self._remembered[key]
        return result

    def to_tensor(self, array: Any, shape: Sequence[int], name: str = "array") -> Tensor:
        """Check that an array ends in `shape` and move it to the operator's device."""
        data = check_image(array, name=name, dtype=str(self.dtype).removeprefix("torch.")).data
        if data.shape[data.ndim - len(shape) :] != tuple(shape):
            raise ValueError(
                f"The {name} has shape {data.shape} but the operator with boundary "
                f"{self.boundary!r} takes {tuple(shape)}."
            )
        return torch.as_tensor(data).to(self.device)

    def data_to_tensor(self, y: Any) -> Tensor:
        """Check data of `output_shape` and move them; where the mask hides them they may be NaN."""
        values = np.asarray(y)
        shape = self.geometry.output
        if self.mask is not None and values.shape[values.ndim - len(shape) :] == shape:
            values = np.where(self.mask.cpu().numpy() > 0, values, 0)
        return self.to_tensor(values, self.output_shape, "data")

    @staticmethod
    def to_numpy(x: Tensor) -> np.ndarray:
        """Return a tensor as a contiguous array."""
        return np.ascontiguousarray(x.cpu().numpy())

    def _product(self, *, differentiable: bool) -> FourierEngine | FusedEngine | SpatialEngine:
        other = None if differentiable else self.engine_choice.engine
        return self._fourier if other is None else other

    @cached_property
    def _fourier(self) -> FourierEngine:
        return FourierEngine(self.transfer, self.geometry)

    def _data_shape(self) -> tuple[int, ...]:
        return self.geometry.window if self.boundary == "extended" else self.geometry.input

    def _check_mask(self, mask: Any) -> Tensor | None:
        if mask is None:
            return None
        values = np.asarray(mask)
        if values.shape != self.geometry.output:
            raise ValueError(
                f"The mask has shape {values.shape} but the data have {self.geometry.output}."
            )
        return torch.as_tensor(values.astype(bool)).to(device=self.device, dtype=self.dtype)


def _torch_dtype(dtype: str | None) -> torch.dtype:
    try:
        return _DTYPES[np.dtype(dtype or "float32").name]
    except (KeyError, TypeError):
        raise ValueError(f"dtype must be 'float32' or 'float64', not {dtype!r}.") from None


def _with_channels(channels: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if channels == () else (int(channels), *shape)
