"""A factorization: the factors, what they amount to and what is known about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from napari_convfact.factorization.certificates import SAME, ruppert_nmse, separate
from napari_convfact.factorization.chain import add_chains, overlap
from napari_convfact.foundation.validate import check_float32

Status = Literal["exact", "certified", "best found"]
Factors = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Factorization:
    """A kernel as a chain of small ones, or a sum of such chains.

    Attributes
    ----------
    kernel : numpy.ndarray
        What was factorized, float64 or complex128. Where the chain's support exceeds it, it is
        framed with zeros, origin (``n // 2``) on origin.
    terms : tuple of tuple of numpy.ndarray
        The factors of each chain, float64 (complex128 for a complex kernel). The factors of a
        chain have equal norms. Neither their order (among equal shapes) nor their signs are
        determined by the kernel: compare reconstructions, never factors.
    dilations : tuple of int
        One per factor, the same in every chain.
    reconstruction : numpy.ndarray
        The sum of the chains, of the shape of `kernel`.
    residual : numpy.ndarray
        Kernel minus `reconstruction`.
    nmse : float
        Squared error over the kernel's energy; what lies outside the chain's support counts.
    floor : float
        Certified lower bound of `nmse` for chains of this support: `tail_nmse`, and for
        ``zero_sum`` also the part of the kernel that has a sum.
    tail_nmse : float
        Share of the kernel's energy where the chain has no taps: outside its support, and in
        the holes that dilations may leave.
    status : {"exact", "certified", "best found"}
        ``"exact"``: the relative error is below 1e-7, the rounding of float32 (1e-15 and less
        for kernels in float64). ``"certified"``: the error is the floor, so no chain of this
        support is better. ``"best found"``: the best of a search.
    method : str
        ``"roots"``, ``"separable search"`` or ``"search"``.
    starts : int
        Starts of the search; 0 for a closed form.
    hit_fraction : float
        Share of the refined starts that reached the best error; 1 for a closed form.
    float32_error : float
        Relative error of applying the chain in float32, measured on a random image.
    macs : int
        Multiplications per pixel of the chains.
    seconds : float
        Time it took.
    notes : tuple of str
        Remarks for the user.
    """

    kernel: np.ndarray
    terms: tuple[Factors, ...]
    dilations: tuple[int, ...]
    reconstruction: np.ndarray
    residual: np.ndarray
    nmse: float
    floor: float
    tail_nmse: float
    status: Status
    method: str
    starts: int
    hit_fraction: float
    float32_error: float
    macs: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def factors(self) -> Factors:
        """The factors of the first chain: of the only one, unless ``n_terms`` was larger."""
        return self.terms[0]

    @property
    def relative_error(self) -> float:
        """Root of `nmse`."""
        return math.sqrt(self.nmse)

    @property
    def max_error(self) -> float:
        """Largest error of a tap."""
        return float(np.abs(self.residual).max())

    @property
    def sum(self) -> float:
        """Sum of the reconstruction: its response to a constant image."""
        total = self.reconstruction.sum()
        return float(abs(total)) if np.iscomplexobj(total) else float(total)

    @property
    def support(self) -> tuple[int, ...]:
        """Samples that the chain spans along each axis."""
        axes = zip(*(factor.shape for factor in self.factors), strict=True)
        return tuple(
            1 + sum(d * (s - 1) for d, s in zip(self.dilations, axis, strict=True)) for axis in axes
        )

    @cached_property
    def _box(self) -> tuple[int, ...]:
        """Size of the box around the kernel's taps."""
        taps = np.nonzero(self.kernel)
        return tuple(int(index.max() - index.min()) + 1 for index in taps)

    @property
    def macs_direct(self) -> int:
        """Multiplications per pixel of the kernel as it is: the box around its taps."""
        return math.prod(self._box)

    @cached_property
    def macs_separable(self) -> int | None:
        """Those of one filter per axis, or None where the kernel is not separable."""
        return sum(self._box) if separate(self.kernel)[1] <= SAME else None

    @cached_property
    def ruppert_nmse(self) -> float | None:
        """Certified lower bound of `nmse` for chains of any shapes inside the support.

        Positive where the kernel cannot be a product. Weak: it says "not exactly
        factorizable", not how far the best chain is. None unless the kernel is real and
        two-dimensional with at most 15 samples a side, and the chain has two factors.
        """
        kernel = self.kernel
        n_factors = sum(factor.size > 1 for factor in self.factors)
        if np.iscomplexobj(kernel) or kernel.ndim != 2 or len(self.terms) > 1 or n_factors < 2:
            return None
        n_rows, n_columns = self.support
        if min(n_rows, n_columns) < 2 or max(n_rows, n_columns) > 15:
            return None
        window = kernel[overlap(self.support, kernel.shape)]
        return self.tail_nmse + (1 - self.tail_nmse) * ruppert_nmse(window)

    @property
    def message(self) -> str:
        """What was found, in sentences for the user."""
        error = f"{100 * self.relative_error:.3g} %"
        first = {
            "exact": "Exact: the chain is the kernel.",
            "certified": f"Error {error}, proven to be the least for this support.",
            "best found": f"Error {error}, the best found: "
            f"{100 * self.hit_fraction:.0f} % of the refined starts reached it.",
        }[self.status]
        return " ".join([first, *self.notes])

    def summary(self) -> dict[str, Any]:
        """Return the findings as a JSON-ready dict."""
        return {
            "status": self.status,
            "method": self.method,
            "relative_error": self.relative_error,
            "nmse": self.nmse,
            "floor": self.floor,
            "max_error": self.max_error,
            "sum": self.sum,
            "hit_fraction": self.hit_fraction,
            "starts": self.starts,
            "float32_error": self.float32_error,
            "shapes": [list(factor.shape) for factor in self.factors],
            "dilations": list(self.dilations),
            "terms": len(self.terms),
            "multiplications": self.macs,
            "multiplications_direct": self.macs_direct,
            "multiplications_separable": self.macs_separable,
            "seconds": self.seconds,
            "message": self.message,
        }

    def apply(
        self, image: Any, *, boundary: str = "reflect", engine: str = "auto", device: str = "auto"
    ) -> np.ndarray:
        """Convolve an image with the chain.

        Parameters
        ----------
        image : array_like
            ``(..., *n)``: the last axes are the kernel's, leading ones are independent.
        boundary : {"reflect", "periodic", "zero", "valid"}
            How the image goes on beyond its edges. It is continued once, by the halo of the
            whole chain, so the result is that of the reconstruction as one kernel. "valid"
            keeps the outputs that need nothing from there.
        engine : {"auto", "fused", "fft", "direct"}
            How to compute; "auto" takes what a short probe on such an image finds fastest.
            Complex kernels do not run as a chain: "fused" is "direct" for them.
        device : str
            Where to compute.

        Returns
        -------
        numpy.ndarray
            Of the image's shape, float32 (complex64 for a complex kernel).

        Raises
        ------
        ValueError
            If the image or an option makes no sense, or float32 cannot hold the kernel.
        """
        from napari_convfact.convolution.apply import apply_chains
        from napari_convfact.execution.chain import Chain

        check_float32(self.reconstruction)

        def run(chains: list[Chain]) -> np.ndarray:
            filtered: np.ndarray = apply_chains(
                np.asarray(image), chains, boundary=boundary, engine=engine, device=device
            )
            return filtered

        if np.iscomplexobj(self.factors[0]):
            kernel = add_chains(self.terms, self.dilations)
            real, imaginary = (run([Chain.of([part])]) for part in (kernel.real, kernel.imag))
            return real + np.complex64(1j) * imaginary
        return run([Chain.of(factors, self.dilations) for factors in self.terms])
