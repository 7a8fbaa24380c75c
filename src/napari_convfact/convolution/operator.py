"""A convolution kernel as a linear operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.convolution.dense import dense_matrix
from napari_convfact.convolution.engines import EngineChoice, FusedEngine, choose_engine
from napari_convfact.convolution.fourier import FourierEngine
from napari_convfact.convolution.geometry import plan_geometry
from napari_convfact.convolution.sampling import dilate, every, subsample_adjoint
from napari_convfact.convolution.solution import Solution
from napari_convfact.convolution.spatial import SpatialEngine
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import run
from napari_convfact.foundation.threads import on_one_torch_thread
from napari_convfact.foundation.validate import check_image, check_kernel

ENGINES = ("auto", "fft", "fused")
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_REMEMBERED = 4

T = TypeVar("T")


class Convolution:
    """The linear map ``x -> kernel * x`` for one image size and one boundary.

    The kernel's spectrum is computed once; afterwards `forward` and `adjoint` cost one
    forward and one inverse real transform each. The adjoint is exact:
    ``<forward(x), y> == <x, adjoint(y)>`` for every boundary, stride and dilation.

    Parameters
    ----------
    kernel : array_like
        ``(*k)``, or ``(c_out, c_in, *k)`` to mix channels. It is convolved, not correlated:
        flip the weights of a neural network's layer.
    shape : sequence of int
        Spatial size ``n`` of x. For ``"extended"``: of the data; x is larger by ``k - 1``.
    boundary : {"zero", "periodic", "valid", "full", "reflect", "extended"}
        What lies beyond the edges of x. ``"zero"`` is often called "same". ``"valid"`` keeps
        the outputs that need nothing from beyond, ``"full"`` all that x reaches.
        ``"reflect"`` repeats the edge sample. ``"extended"`` is "valid" with the size
        counted from the data: the scene goes on outside the picture.
    stride : int or sequence of int
        Keep every stride-th output, from the first.
    dilation : int or sequence of int
        Step between the kernel's samples.
    origin : sequence of int, optional
        Index of the kernel's origin; ``k // 2`` by default.
    engine : {"auto", "fft", "fused"}
        How products are computed: by Fourier transforms, or by fused passes over the image,
        which are faster for kernels that are separable or have few taps. ``"auto"`` measures
        both on the first use, and sums directly where channels mix over a few taps.
    tolerance : float
        Relative error of the kernel (Frobenius norm) that a fused pass may make to be faster;
        0 asks for round-off.
    dtype : {"float32", "float64"}, optional
        Working precision and type of the results; float32 by default.
    device : str
        See `choose_device`.
    mask : array_like of bool, optional
        Of the output's spatial size, True where a sample was measured. Missing outputs are
        zero in `forward` and ignored by `adjoint` and the solvers.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Shapes of x and y, with the channel axis if the kernel mixes channels.
    torus_shape : tuple of int
        Size of the periodic domain that the products are computed on.
    estimate_window : tuple
        ``(start, shape)`` of the data's window inside x.
    device : torch.device
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If the kernel's axes do not match `shape`, or an argument is not legal.

    Examples
    --------
    >>> blur = Convolution([0.25, 0.5, 0.25], (4,))
    >>> blur.forward([0, 4, 0, 0]).round(5)
    array([1., 2., 1., 0.], dtype=float32)
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

    def dense(self) -> np.ndarray:
        """Return the operator's matrix.

        Returns
        -------
        numpy.ndarray
            ``(outputs, inputs)``, both flattened in C order.

        Raises
        ------
        ValueError
            If the matrix would have more than 2**28 entries.
        """
        return dense_matrix(self)

    def condition(self) -> float:
        """Return the ratio of the largest to the smallest singular value; see `condition_number`.

        Returns
        -------
        float
            Exact where that is cheap, else an estimate; ``inf`` for a singular operator.
        """
        from napari_convfact.convolution.conditioning import condition_number

        return self.remember(("condition",), lambda: condition_number(self))

    def pinv(
        self,
        y: Any,
        rcond: float | None = None,
        strength: float = 0.0,
        prior: str = "identity",
        **options: Any,
    ) -> np.ndarray:
        """Return the x that minimizes ``|A x - y|^2 + strength |L x|^2``.

        With `strength` 0 it is the pseudo-inverse: of all minimizers the one of least norm.

        Parameters
        ----------
        y : array_like
            ``(..., *output_shape)``; leading axes are independent.
        rcond : float, optional
            Singular values up to `rcond` times the largest count as zero; by default those
            within round-off. For a periodic boundary, a symmetric kernel with "reflect", or
            an image of at most about a thousand pixels.
        strength : float
            Weight of the prior, at least 0.
        prior : {"identity", "gradient"}
            L: the identity, or the forward differences along all spatial axes.
        **options
            method : {"auto", "fourier", "cosine", "border", "iterative", "dense"}
                How to solve; an exact method is taken where one applies.
            preconditioner : {"auto", "embedding", "cosine", "strang", "chan", "none"}
                Of the iteration with a positive `strength`. Without one there is none,
                since it would change which minimizer is found.
            tolerance : float
                Relative residual at which the iteration stops.
            max_iterations : int
                Where it stops at the latest.

        Returns
        -------
        numpy.ndarray
            ``(..., *input_shape)`` in the operator's dtype.

        Raises
        ------
        ValueError
            If an argument is not legal.

        Warns
        -----
        UserWarning
            If the inverse is hopeless or the iteration did not settle, with one sentence
            that says why; `solve` has the same sentence as `Solution.message`.
        """
        solution = self.solve(y, rcond=rcond, strength=strength, prior=prior, **options)
        if solution.message:
            warnings.warn(solution.message, stacklevel=2)
        return solution.estimate

    def solve(self, y: Any, **options: Any) -> Solution:
        """Do what `pinv` does and return also how: method, iterations, history, message.

        Parameters
        ----------
        y : array_like
            ``(..., *output_shape)``.
        **options
            As for `pinv`.

        Returns
        -------
        Solution

        Raises
        ------
        ValueError
            If an argument is not legal.
        """
        from napari_convfact.convolution.pseudo_inverse import solve

        job = solve(self, y, **options)
        # Small matrices for each frequency are torch's own work; all else is transforms.
        return run(job if self.mixes else on_one_torch_thread(job))

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
