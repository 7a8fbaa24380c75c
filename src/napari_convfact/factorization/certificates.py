"""What can be proved about a chain: lower bounds, separability, rounding in float32.

References
----------
W. M. Ruppert, Reducibility of polynomials f(x, y) modulo p, J. Number Theory 77 (1999).
E. Kaltofen, J. P. May, Z. Yang, L. Zhi, Approximate factorization of multivariate polynomials
using singular value decomposition, J. Symbolic Computation 43 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from napari_convfact.factorization.chain import apply_valid
from napari_convfact.foundation.scale import times_power_of_two, to_unit_scale

# Relative errors below this count as equal: kernels often come rounded to float32 (3e-8).
SAME = 1e-7
FLOAT32_LIMIT = 1e-4  # a chain that rounds worse than this in float32 is not usable


def separate(kernel: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Return the leading separable part of a kernel and how much it misses.

    Parameters
    ----------
    kernel : numpy.ndarray
        Real or complex, any number of axes, not all zero.

    Returns
    -------
    vectors : list of numpy.ndarray
        One filter per axis; their outer product is the part. In two dimensions it is the
        best one (singular value decomposition), beyond it is that of the higher-order
        singular value decomposition, which is exact where the kernel is separable.
    error : float
        ``|kernel - part| / |kernel|``.
    """
    if kernel.ndim == 1:
        return [kernel], 0.0
    kernel, exponent = to_unit_scale(kernel)
    vectors, error = _separate(kernel)
    return [times_power_of_two(vectors[0], exponent), *vectors[1:]], error


def _separate(kernel: np.ndarray) -> tuple[list[np.ndarray], float]:
    if kernel.ndim == 2:
        u, s, vt = np.linalg.svd(kernel, full_matrices=False)
        return [u[:, 0] * s[0], vt[0]], math.sqrt(float(s[1:] @ s[1:]) / float(s @ s))
    vectors = []
    for axis in range(kernel.ndim):
        unfolded = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
        vectors.append(np.linalg.svd(unfolded, full_matrices=False)[0][:, 0])
    core, part = kernel, np.ones(())
    for vector in vectors[::-1]:
        core = core @ vector.conj()
    for vector in vectors:
        part = part[..., None] * vector
    vectors[0] = vectors[0] * core
    error = float(np.linalg.norm(kernel - core * part) / np.linalg.norm(kernel))
    return vectors, error


def float32_error(
    terms: Sequence[Sequence[np.ndarray]], dilations: Sequence[int], kernel: np.ndarray
) -> float:
    """Measure what applying chains in float32 does to a random image.

    Parameters
    ----------
    terms : sequence of sequence of numpy.ndarray
        Chains whose results are added; float64.
    dilations : sequence of int
        One per factor.
    kernel : numpy.ndarray
        What they amount to.

    Returns
    -------
    float
        Relative error (root of the mean square) against `kernel` in float64. About 1e-7 is
        what any filter costs; the factors of a long chain can cancel catastrophically.
    """
    side = (64, 12, 8)[min(kernel.ndim, 3) - 1]
    image = _random_image(tuple(n - 1 + side for n in kernel.shape))
    single = image.astype(np.float32)
    truth = apply_valid(image, [kernel], [1])
    with np.errstate(all="ignore"):  # an overflow is one of the findings
        results = [
            apply_valid(single, [f.astype(np.float32) for f in factors], dilations)
            for factors in terms
        ]
        error = float(np.linalg.norm(sum(results) - truth) / np.linalg.norm(truth))
    return error if math.isfinite(error) else math.inf


@lru_cache(maxsize=8)
def _random_image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def ruppert_nmse(kernel: np.ndarray) -> float:
    """Bound the error of every chain from below by the distance to reducible polynomials.

    A chain of two or more factors is a reducible polynomial, whose Ruppert matrix is
    singular. The matrix is linear in the kernel, so its least singular value bounds the
    distance. The bound is weak (it does not prove optimality) but rigorous: where it is
    positive, no chain whatsoever reproduces the kernel.

    Parameters
    ----------
    kernel : numpy.ndarray
        Two axes of at least two samples each; those inside the chain's support.

    Returns
    -------
    float
        Lower bound of the squared error over the kernel's energy.
    """
    if kernel.ndim != 2 or min(kernel.shape) < 2:
        raise ValueError(
            "The Ruppert bound needs a kernel with two axes of at least two samples: "
            f"its shape is {kernel.shape}."
        )
    # The matrix treats the axes differently: put the longer one where columns are lost.
    kernel = to_unit_scale(kernel if kernel.shape[1] >= 3 else kernel.T)[0]
    matrix = _ruppert_matrix(kernel)
    least = float(np.linalg.svd(matrix, compute_uv=False)[-1])
    return (least / _largest_unit_norm(kernel.shape) / float(np.linalg.norm(kernel))) ** 2


def _ruppert_matrix(f: np.ndarray) -> np.ndarray:
    """Return the matrix of ``(g, h) -> f g_y - g f_y + h f_x - f h_x``.

    With f of degrees (m, n), g has degrees (m - 1, n) and h (m, n - 2).
    """
    m, n = f.shape[0] - 1, f.shape[1] - 1
    index = np.arange(m + 1)[:, None], np.arange(n + 1)[None, :]
    # f g_y - g f_y for g = x^a y^b has coefficient (b - j) f_ij at x^(a + i) y^(b + j - 1),
    # h f_x - f h_x for h = x^a y^b has (i - a) f_ij at x^(a + i - 1) y^(b + j).
    columns = [
        _placed(f * (b - index[1]), a, b - 1, m, n) for a in range(m) for b in range(n + 1)
    ] + [_placed(f * (index[0] - a), a - 1, b, m, n) for a in range(m + 1) for b in range(n - 1)]
    return np.stack(columns, axis=1)


def _placed(block: np.ndarray, row: int, column: int, m: int, n: int) -> np.ndarray:
    """Put a block of coefficients at a monomial; what falls off the edge is zero anyway."""
    frame = np.zeros((2 * m + 2, 2 * n + 2))
    frame[row + 1 : row + 2 + m, column + 1 : column + 2 + n] = block
    return frame.ravel()


def _largest_unit_norm(shape: Sequence[int]) -> float:
    """Return the largest Frobenius norm of the matrix of a kernel with a single one.

    These matrices have disjoint supports, so the norm of any kernel's matrix is at most
    this times the kernel's norm.
    """
    m, n = shape[0] - 1, shape[1] - 1
    i, j = np.arange(m + 1)[:, None], np.arange(n + 1)[None, :]
    from_g = m * sum((b - j) ** 2 for b in range(n + 1))
    from_h = (n - 1) * sum((i - a) ** 2 for a in range(m + 1))
    return math.sqrt(float(np.max(from_g + from_h)))
