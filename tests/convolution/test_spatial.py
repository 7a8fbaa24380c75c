"""The direct engine of mixing kernels against the transforms and the adjoint's definition."""

import numpy as np
import pytest
import torch

from napari_convfact.convolution.geometry import BOUNDARIES, plan_geometry
from napari_convfact.convolution.operator import Convolution
from napari_convfact.convolution.spatial import SpatialEngine


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    ("size", "shape", "origin"),
    [((3,), (8,), None), ((2, 3), (6, 7), None), ((4, 3), (9, 5), (0, 2)), ((1, 4), (1, 6), None)],
)
def test_direct_sums_equal_the_transforms_and_their_adjoint_is_exact(boundary, size, shape, origin):
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 2, *size))
    geometry = plan_geometry(size, shape, boundary=boundary, origin=origin)
    engine = SpatialEngine(kernel, geometry, boundary, torch.float64)
    operator = Convolution(
        kernel, shape, boundary=boundary, origin=origin, dtype="float64", engine="fft"
    )
    x = torch.as_tensor(rng.standard_normal((2, *operator.input_shape)))
    y = torch.as_tensor(rng.standard_normal((2, *operator.output_shape)))
    ax, aty = engine.apply(x), engine.apply_adjoint(y)
    np.testing.assert_allclose(ax, operator.apply(x), atol=1e-13)
    np.testing.assert_allclose(aty, operator.apply_adjoint(y), atol=1e-13)
    assert abs(float((ax * y).sum() - (x * aty).sum())) <= 1e-13 * float(ax.norm() * y.norm())


def test_small_mixing_kernels_are_applied_directly():
    kernel = np.random.default_rng(1).standard_normal((4, 3, 3, 3))
    x = np.random.default_rng(2).standard_normal((3, 20, 21))
    direct = Convolution(kernel, (20, 21), stride=2)
    fourier = Convolution(kernel, (20, 21), stride=2, engine="fft")
    assert (direct.engine, fourier.engine) == ("direct", "fft")
    np.testing.assert_allclose(direct.forward(x), fourier.forward(x), atol=2e-5)
    # Large kernels, exact arithmetic and single kernels are left to the other engines.
    assert Convolution(np.ones((4, 3, 7, 7)), (20, 21)).engine == "fft"
    assert Convolution(kernel, (20, 21), dtype="float64").engine == "fft"
    assert Convolution(kernel[0, 0], (20, 21)).engine == "fft"
