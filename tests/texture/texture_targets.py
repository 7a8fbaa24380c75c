"""Kernels of random fields with known answers, shared by the tests of this folder."""

import numpy as np


def half_plane_kernel(right, below, below_right, below_left):
    """A symmetric 3 x 3 kernel from the weights of half its neighbours."""
    kernel = np.array([[0, 0, 0], [0, 0, right], [below_left, below, below_right]])
    return kernel + kernel[::-1, ::-1]


# The causal field of the known answers: x(p) = .5 x(p + (0,-1)) - .3 x(p + (-1,-1)) ...
# as a convolution kernel, which reads x(p - d) with its weight at d.
CAUSAL = np.array([[0, 0, 0], [0, 0, 0.5], [0.1, 0.6, -0.3]])
SYMMETRIC = half_plane_kernel(0.22, 0.18, -0.08, 0.05)
