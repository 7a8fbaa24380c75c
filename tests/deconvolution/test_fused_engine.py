"""Richardson-Lucy through fused passes."""

import numpy as np
import pytest
import torch

from napari_convfact.convolution.operator import Convolution
from napari_convfact.deconvolution.poisson import PoissonModel


def gaussian(n, sigma):
    return np.exp(-0.5 * ((np.arange(n) - n // 2) / sigma) ** 2)


@pytest.mark.parametrize("boundary", ["extended", "reflect", "zero", "periodic"])
def test_fused_iterations_equal_those_through_transforms(boundary):
    psf = np.multiply.outer(gaussian(5, 1.0), np.multiply.outer(gaussian(7, 1.5), gaussian(8, 1.2)))
    rng = np.random.default_rng(0)
    data = torch.as_tensor(rng.poisson(5 + 90 * (rng.random((12, 50, 60)) > 0.98))).float()
    estimates = []
    for engine in ("fft", "fused"):
        operator = Convolution(psf / psf.sum(), data.shape, boundary=boundary, engine=engine)
        model = PoissonModel(operator, background=1.0)
        scene = model.flat_scene(float(data.mean()))
        for _ in range(20):
            blurred = model.blur(scene)
            model.compare(blurred, data)
            scene = scene * model.back_project(blurred) * model.inverse_sensitivity
        estimates.append(model.to_numpy(scene))
    fft, fused = estimates
    assert np.linalg.norm(fused - fft) <= 1e-4 * np.linalg.norm(fft)
