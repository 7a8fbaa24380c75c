"""Regularized least squares for a scene that goes on outside the picture.

The unknown is larger than the data, by what the PSF can bring in from outside. No assumption
about the picture's surroundings is then wrong at its edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from napari_convfact.convolution.boundary import crop
from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.convolution.krylov import KrylovResult, conjugate_gradients, repeat_steps
from napari_convfact.convolution.operator import Convolution
from napari_convfact.convolution.preconditioners import (
    circulant_preconditioner,
    inverse_normal_symbol,
)
from napari_convfact.convolution.prior import apply_prior_normal, prior_symbol
from napari_convfact.deconvolution.direct import reflect_onto_torus
from napari_convfact.foundation import fft
from napari_convfact.foundation.job import Job

Show = Callable[[np.ndarray], np.ndarray]

# On the torus of preconditioner and first guess opposite faces are so far apart, or this part
# of the image, if that is less. Nearer ones would disturb each other until the iteration ends.
_MARGIN, _LARGEST_PART = 64, 8


def preconditioner_torus(shape: Sequence[int], psf_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the size of the largest transforms that an `ExtendedSolver` takes.

    Parameters
    ----------
    shape, psf_shape : sequence of int
        Spatial shapes of the images and of the PSF.

    Returns
    -------
    tuple of int
        At least ``shape + 2 * (psf_shape - 1)``.
    """
    return fft.fast_shape(
        [
            n + k - 1 + max(k - 1, min(_MARGIN, n // _LARGEST_PART))
            for n, k in zip(shape, psf_shape, strict=True)
        ]
    )


class ExtendedSolver:
    """Solver of one regularized problem for any number of images of one shape.

    It minimizes ``|k * x - y|^2 + strength |L (x - m)|^2`` over scenes x that are larger than
    the image y by the PSF's size less one, where m is the mean of y and L ends at the scene's
    edges. The mean matters to the identity prior only, which would otherwise pull the unseen
    rim towards zero.

    Parameters
    ----------
    psf : numpy.ndarray
        Real, of sum 1, origin at ``n // 2``.
    shape : sequence of int
        Shape of the images, one entry per axis of `psf`.
    prior : {"identity", "gradient"}
        The operator L.
    strength : float
        Positive.
    engine : {"auto", "fft", "fused"}
        How `Convolution` computes.
    dtype : {"float32", "float64"}
        Working precision.
    device : str
        Where the images lie.

    References
    ----------
    .. [1] D. Calvetti, J. P. Kaipio, E. Somersalo, "Aristotelian prior boundary conditions",
       International Journal of Mathematics and Computer Science 1 (2006), for why the unknown
       should be extended.
    .. [2] R. H. Chan, M. K. Ng, "Conjugate gradient methods for Toeplitz systems", SIAM Review
       38 (1996), for the preconditioner.
    """

    def __init__(
        self,
        psf: np.ndarray,
        shape: Sequence[int],
        *,
        prior: str = "gradient",
        strength: float = 1e-3,
        engine: str = "auto",
        dtype: str = "float32",
        device: str = "cpu",
    ) -> None:
        self.prior = prior
        self.strength = strength
        self.blur = Convolution(
            psf, shape, boundary="extended", engine=engine, dtype=dtype, device=device
        )
        self._torus = preconditioner_torus(shape, np.shape(psf))
        transfer = transfer_function(
            self.blur.kernel,
            self._torus,
            origin=self.blur.geometry.origin,
            dtype=self.blur.dtype,
            device=self.blur.device,
        )
        symbol = prior_symbol(prior, self._torus, dtype=self.blur.dtype, device=self.blur.device)
        inverse = inverse_normal_symbol(transfer, symbol, strength)
        self._precondition = circulant_preconditioner(inverse, self._torus, self.blur.input_shape)
        self._gain = transfer.conj_physical_().mul_(inverse)

    def solve(
        self,
        image: Tensor,
        *,
        mean: float | None = None,
        tolerance: float = 1e-3,
        max_iterations: int = 50,
        show: Show | None = None,
    ) -> Job[KrylovResult]:
        """Deconvolve.

        Parameters
        ----------
        image : torch.Tensor
            Real, ``(..., *n)`` on the solver's device. Leading axes are solved side by side.
        mean : float, optional
            The m of the problem, where `image` is a part of a larger one.
        tolerance : float
            Relative error of the scene, as the preconditioned residual of the normal
            equations estimates it, at which to stop.
        max_iterations : int
            Stop after so many iterations of conjugate gradients.
        show : callable, optional
            Arranges the estimate, of the shape of `image`, for `Step.preview`; there is no
            preview without it.

        Yields
        ------
        Step
            After each iteration.

        Returns
        -------
        KrylovResult
            Its solution has the shape of the image.
        """
        spatial = tuple(range(-self.blur.ndim, 0))
        level = image.mean(spatial, keepdim=True)
        if mean is not None:
            level.fill_(mean)
        preview = None if show is None else partial(self._preview, mean=level, show=show)
        result = yield from conjugate_gradients(
            self._apply_normal,
            self.blur.apply_adjoint(image - level).contiguous(),
            self._precondition,
            self._start(image - level),
            tolerance=tolerance,
            max_iterations=max_iterations,
            measure_error=True,
            ndim=self.blur.ndim,
            preview=preview,
            message="Least squares",
        )
        return KrylovResult(
            self._in_window(result.solution, level),
            result.iterations,
            result.converged,
            result.history,
            result.steps,
        )

    def repeat(
        self, image: Tensor, steps: Sequence[tuple[float, float]], *, mean: float
    ) -> Job[Tensor]:
        """Deconvolve a part of an image with the steps that `solve` took on another part.

        Parameters
        ----------
        image : torch.Tensor
            As for `solve`.
        steps : sequence of tuple of float
            `KrylovResult.steps`.
        mean : float
            The m of the problem.

        Yields
        ------
        Step
            After each iteration.

        Returns
        -------
        torch.Tensor
            The estimate, of the image's shape.
        """
        solution = yield from repeat_steps(
            self._apply_normal,
            self._precondition,
            self._start(image - mean),
            steps,
            message="Least squares",
        )
        return crop(solution, *self.blur.estimate_window) + mean

    def _apply_normal(self, x: Tensor) -> Tensor:
        prior = apply_prior_normal(self.prior, x, self.blur.ndim).mul_(self.strength)
        return prior.add_(self.blur.apply_adjoint(self.blur.apply(x)))

    def _start(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first guess and the residual of its normal equations.

        It is made from the data's residual. The difference of two large sides would leave its
        round-off, which weak priors raise a hundredfold.
        """
        guess = self._first_guess(data)
        prior = apply_prior_normal(self.prior, guess, self.blur.ndim)
        residual = self.blur.apply_adjoint(data - self.blur.apply(guess))
        return guess, residual.sub_(prior, alpha=self.strength)

    def _first_guess(self, data: Tensor) -> Tensor:
        """Deconvolve directly the data continued by reflection, which saves iterations."""
        spectrum = fft.rfftn(reflect_onto_torus(data, self._torus), self._torus).mul_(self._gain)
        guess = fft.irfftn(spectrum, self._torus, overwrite=True)
        return crop(guess, (0,) * self.blur.ndim, self.blur.input_shape).contiguous()

    def _preview(self, x: Tensor, *, mean: Tensor, show: Show) -> np.ndarray:
        return show(self._in_window(x, mean).cpu().numpy())

    def _in_window(self, x: Tensor, mean: Tensor) -> Tensor:
        return crop(x, *self.blur.estimate_window) + mean
