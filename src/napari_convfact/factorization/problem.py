"""What is asked of a factorization, checked before any work starts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from napari_convfact.factorization.chain import Layout, embed, multiply, overlap
from napari_convfact.foundation.validate import check_kernel

MOST_CELLS = 20_000  # samples of a chain's support beyond which a search takes minutes to hours


@dataclass(frozen=True)
class Problem:
    """A kernel seen through a chain's support.

    Attributes
    ----------
    kernel : numpy.ndarray
        The kernel, float64.
    layout : Layout
        Shapes and dilations of the factors.
    n_terms : int
        Chains to add.
    zero_sum : bool
        Whether the result is to sum to zero.
    window : numpy.ndarray
        The kernel where the chain has taps, origin on origin, divided by `norm`.
    norm : float
        Norm of the kernel there.
    tail : float
        Share of the kernel's energy elsewhere: what no such chain can reach.
    """

    kernel: np.ndarray
    layout: Layout
    n_terms: int
    zero_sum: bool
    window: np.ndarray
    norm: float
    tail: float

    @property
    def frame(self) -> tuple[int, ...]:
        """Shape that holds both the kernel and the chain."""
        support = self.layout.support
        return tuple(max(n, k) for n, k in zip(self.kernel.shape, support, strict=True))

    @property
    def inner_floor(self) -> float:
        """Least squared error inside the support, relative to the window's energy."""
        # The nearest kernel of zero sum is the window without its mean.
        return float(self.window.sum()) ** 2 / self.window.size if self.zero_sum else 0.0

    @property
    def floor(self) -> float:
        """Certified lower bound of the error over the kernel's energy."""
        return self.tail + (1 - self.tail) * self.inner_floor


def pose(kernel: np.ndarray, layout: Layout, n_terms: int, zero_sum: bool) -> Problem:
    """Look at a kernel through a chain's support.

    Raises
    ------
    ValueError
        If there is nothing of the kernel inside the support, or no chain of single taps
        could sum to zero.
    """
    if zero_sum and all(math.prod(shape) == 1 for shape in layout.shapes):
        raise ValueError("zero_sum needs a factor with more than one tap.")
    support = layout.support
    frame = embed(kernel, [max(n, k) for n, k in zip(kernel.shape, support, strict=True)])
    inside = frame[overlap(support, frame.shape)]
    window = inside.copy()
    inside[...] = 0
    if max(layout.dilations) > 1:
        # Dilated factors may leave holes in the support; what lies there is out of reach too.
        holes = multiply([np.ones(shape) for shape in layout.shapes], layout.dilations) == 0
        inside[holes] = window[holes]
        window[holes] = 0
    # What lies outside is summed, not subtracted: a tail of 1e-20 is a tail.
    outside, norm = float(np.vdot(frame, frame)), float(np.linalg.norm(window))
    if norm == 0:
        raise ValueError(
            f"The kernel is zero inside the chain's support of {_times(support)} samples around "
            "its origin (half its size): centre the kernel or choose a larger chain."
        )
    tail = outside / (outside + norm**2)
    return Problem(kernel, layout, n_terms, zero_sum, window / norm, norm, tail)


def check_options(n_terms: Any, starts: Any, time_limit: Any, seed: Any) -> None:
    """Refuse counts, limits and seeds that make no sense.

    Raises
    ------
    ValueError
        Naming the option.
    """
    for name, value in (("n_terms", n_terms), ("starts", starts)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}.")
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, not {seed!r}.")
    if time_limit is not None and not (isinstance(time_limit, Real) and float(time_limit) > 0):
        raise ValueError(f"time_limit must be a positive number of seconds, not {time_limit!r}.")


def check_target(kernel: Any) -> np.ndarray:
    """Check a kernel that may be complex.

    Returns
    -------
    numpy.ndarray
        float64 or complex128, not all zero.

    Raises
    ------
    ValueError
        If it cannot be factorized: empty, not finite, zero.
    """
    values = np.asarray(kernel)
    if values.dtype.kind == "c":
        parts = [check_kernel(part) for part in (values.real, values.imag)]
        target = parts[0] + 1j * parts[1]
    else:
        target = check_kernel(kernel)
    if not target.any():
        raise ValueError("The kernel is zero everywhere: choose the layer that holds the kernel.")
    return target


def check_layout(shapes: Any, dilations: Any, ndim: int) -> Layout:
    """Check shapes and dilations against the kernel's number of axes.

    Parameters
    ----------
    shapes : str or sequence
        ``"3x3, 3x3"``, or one entry per factor: a tuple of taps per axis, or an int for
        the same along every axis.
    dilations : None, int or sequence of int
        One per factor; 1 where it is None.
    ndim : int
        Axes of the kernel.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If they do not describe a chain for such a kernel.
    """
    if not isinstance(shapes, (str, Sequence, np.ndarray)):
        raise ValueError(f"shapes must name the factors, as ((3, 3), (3, 3)), not {shapes!r}.")
    entries = parse_shapes(shapes) if isinstance(shapes, str) else list(shapes)
    if not entries:
        raise ValueError("shapes is empty: name at least one factor, as ((3, 3), (3, 3)).")
    checked = tuple(_check_shape(entry, ndim) for entry in entries)
    if dilations is None:
        dilations = 1
    if isinstance(dilations, (int, np.integer)):
        dilations = [dilations] * len(checked)
    if not isinstance(dilations, (Sequence, np.ndarray)):
        raise ValueError(f"dilations must be whole numbers of at least 1, not {dilations!r}.")
    steps = tuple(dilations)
    if len(steps) != len(checked):
        raise ValueError(
            f"There are {len(steps)} dilations for {len(checked)} factors: give one for each."
        )
    if not all(isinstance(d, (int, np.integer)) and d >= 1 for d in steps):
        raise ValueError(f"dilations must be whole numbers of at least 1, not {steps!r}.")
    layout = Layout(checked, tuple(int(d) for d in steps))
    if int(np.prod(layout.support)) > MOST_CELLS:
        raise ValueError(
            f"The chain spans {_times(layout.support)} samples, beyond the limit of "
            f"{MOST_CELLS}: factorize a crop of the kernel, or apply it through the FFT."
        )
    return layout


def parse_shapes(text: str) -> list[tuple[int, ...]]:
    """Read shapes from text such as ``"3x3, 3x3"`` or ``"1x5; 5x1"``.

    Raises
    ------
    ValueError
        If it is not a list of sizes.
    """
    entries = [entry.strip() for entry in re.split(r"[,;]", text) if entry.strip()]
    if not entries or not all(re.fullmatch(r"\d+(\s*[xX×]\s*\d+)*", entry) for entry in entries):
        raise ValueError(f"Shapes {text!r} are not understood: write them as '3x3, 3x3'.")
    return [tuple(int(n) for n in re.split(r"\s*[xX×]\s*", entry)) for entry in entries]


def _check_shape(entry: Any, ndim: int) -> tuple[int, ...]:
    sizes: Sequence[Any] = (entry,) * ndim if np.ndim(entry) == 0 else tuple(entry)
    if not all(isinstance(s, (int, np.integer)) and s >= 1 for s in sizes):
        raise ValueError(f"The shape {entry!r} must consist of whole numbers of at least 1.")
    if len(sizes) != ndim:
        raise ValueError(
            f"The shape {entry!r} has {len(sizes)} axes but the kernel has {ndim}: "
            f"use {'x'.join('3' * ndim)}, for example."
        )
    return tuple(int(s) for s in sizes)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
