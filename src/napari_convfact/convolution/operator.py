"""A convolution kernel as a linear operator."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from napari_convfact.convolution.dense import dense_matrix
from napari_convfact.convolution.forward_model import ForwardModel
from napari_convfact.convolution.solution import Solution
from napari_convfact.foundation.job import run
from napari_convfact.foundation.threads import on_one_torch_thread


class Convolution(ForwardModel):
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
            Exact where that is cheap, else an estimate; ``inf`` for a singular operator, whose
            smallest singular value is within float64's round-off.
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
