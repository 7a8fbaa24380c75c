"""The extended scene against dense normal equations, and on cropped scenes."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import scipy.ndimage
import torch
from cropped_scenes import cropped_scenes, edge_and_inner_error, psnr

from napari_convfact.convolution.operator import Convolution
from napari_convfact.deconvolution.deconvolve import deconvolve
from napari_convfact.deconvolution.least_squares import ExtendedSolver
from napari_convfact.foundation.job import run
from napari_convfact.kernels.shapes import gaussian

RNG = np.random.default_rng(0)


# One of each scene and each PSF; the benchmark runs all nine.
CASES = list(islice(cropped_scenes(), 0, None, 4))


def extended_blur(psf: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Matrix of the blur from the larger scene, and the picture's place in the scene.

    Sample i of the data is the sum over the PSF's samples m of ``psf[m] x[i + k - 1 - m]``, with
    the scene's indices counted from its own corner.
    """
    scene = tuple(n + k - 1 for n, k in zip(shape, psf.shape, strict=True))
    matrix = np.zeros((*shape, *scene))
    for i in np.ndindex(shape):
        for m in np.ndindex(psf.shape):
            j = tuple(a + k - 1 - b for a, k, b in zip(i, psf.shape, m, strict=True))
            matrix[i + j] = psf[m]
    picture = tuple(
        slice(k - 1 - k // 2, k - 1 - k // 2 + n) for n, k in zip(shape, psf.shape, strict=True)
    )
    return matrix.reshape(int(np.prod(shape)), -1), picture


def gradient_matrix(shape: tuple[int, ...]) -> np.ndarray:
    n = int(np.prod(shape))
    units = np.eye(n).reshape(n, *shape)
    differences = [np.diff(units, axis=axis + 1) for axis in range(len(shape))]
    return np.concatenate([difference.reshape(n, -1).T for difference in differences])


@pytest.mark.parametrize(
    ("shape", "psf_shape"),
    [
        ((14,), (5,)),
        ((13,), (4,)),
        ((7, 8), (3, 4)),
        ((4, 5, 3), (2, 3, 2)),
        ((1, 9), (1, 4)),
        ((3, 4), (7, 6)),
    ],
)
@pytest.mark.parametrize("prior", ["gradient", "identity"])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_it_solves_the_normal_equations(shape, psf_shape, prior, strength):
    psf = RNG.random(psf_shape)
    psf /= psf.sum()
    image = 5 + RNG.random(shape)
    A, picture = extended_blur(psf, shape)
    scene = tuple(n + k - 1 for n, k in zip(shape, psf_shape, strict=True))
    L = gradient_matrix(scene) if prior == "gradient" else np.eye(A.shape[1])
    mean = image.mean()
    # The identity prior is taken from the image's mean; for differences that is no change.
    rhs = A.T @ (image.ravel() - mean)
    expected = mean + np.linalg.solve(A.T @ A + strength * L.T @ L, rhs).reshape(scene)

    result = deconvolve(
        image, psf, prior=prior, strength=strength, tolerance=1e-10, iterations=400, dtype="float64"
    )
    assert result.converged
    np.testing.assert_allclose(result.estimate, expected[picture], atol=1e-8)


def test_the_gradient_prior_needs_no_mean():
    """The minimizer is that of the plain problem, without the mean taken out."""
    psf = np.outer([1.0, 2.0, 1.0], [1.0, 3.0]) / 16
    image = 5 + RNG.random((6, 7))
    A, picture = extended_blur(psf, image.shape)
    L = gradient_matrix((8, 8))
    expected = np.linalg.solve(A.T @ A + 0.1 * L.T @ L, A.T @ image.ravel()).reshape(8, 8)
    result = deconvolve(image, psf, strength=0.1, tolerance=1e-10, iterations=400, dtype="float64")
    np.testing.assert_allclose(result.estimate, expected[picture], atol=1e-8)


@pytest.mark.parametrize("prior", ["gradient", "identity"])
def test_a_constant_stays(prior):
    image = np.full((20, 21), 1e4, np.float32)
    result = deconvolve(image, np.ones((5, 4)), prior=prior, strength=0.5)
    np.testing.assert_allclose(result.estimate, image, rtol=1e-6)


def test_the_first_guess_saves_iterations():
    """Against a start from nothing (the mean)."""
    case = CASES[1]
    solver = ExtendedSolver(case.psf, case.data.shape, strength=0.05, dtype="float64")
    data = torch.as_tensor(case.data)
    guided = run(solver.solve(data))
    solver._first_guess = lambda data: data.new_zeros(solver.blur.input_shape)
    unguided = run(solver.solve(data))
    assert guided.converged
    assert 0 < guided.iterations < unguided.iterations


def test_round_off_stays_small_at_a_weak_strength():
    """Float32 against float64 after the same steps; the normal equations have condition 1e4."""
    psf = gaussian(2.5)
    image = np.random.default_rng(1).poisson(
        scipy.ndimage.gaussian_filter(400 * RNG.random((240, 260)) ** 9, 2.5)
    )
    exact, single = (
        ExtendedSolver(psf, image.shape, prior="identity", strength=1e-4, dtype=dtype)
        for dtype in ("float64", "float32")
    )
    data = torch.as_tensor(image, dtype=torch.float64)
    expected = run(exact.solve(data))
    found = run(single.repeat(data.float(), expected.steps, mean=float(image.mean())))
    scale = np.ptp(expected.solution.numpy())
    assert float((found - expected.solution).abs().max()) <= 1e-5 * scale


def test_faces_are_those_of_the_whole_image():
    """A part that ends where the image ends differs little there: the other end is far away."""
    case = CASES[1]
    options = {"prior": "gradient", "strength": 0.01, "dtype": "float64"}
    data = torch.as_tensor(case.data)
    whole = run(ExtendedSolver(case.psf, data.shape, **options).solve(data))
    part = data[:200].contiguous()
    solver = ExtendedSolver(case.psf, part.shape, **options)
    found = run(solver.repeat(part, whole.steps, mean=float(data.mean())))
    scale = np.ptp(whole.solution.numpy())
    assert float((found - whole.solution[:200])[:100].abs().max()) <= 5e-4 * scale


def test_steps_show_the_picture_and_the_history():
    case = CASES[1]
    steps = []
    solver = ExtendedSolver(case.psf, case.data.shape, strength=0.01)
    job = solver.solve(torch.as_tensor(case.data, dtype=torch.float32), show=np.copy)
    result = run(job, steps.append)
    assert len(steps) == result.iterations == len(result.history) > 1
    assert all(step.preview.shape == case.data.shape for step in steps)
    np.testing.assert_array_equal(steps[-1].preview, result.solution.numpy())
    assert result.history[-1] <= 1e-3 < result.history[-2]


def test_images_side_by_side():
    """Together they get what each gets alone, and the last one says when it is over."""
    first, second = CASES[0], CASES[2]
    images = torch.as_tensor(np.stack([first.data, 5 + 100 * second.data]), dtype=torch.float64)
    solver = ExtendedSolver(first.psf, (256, 256), strength=0.02, dtype="float64")
    together = run(solver.solve(images))
    alone = [run(solver.solve(image)) for image in images]
    assert together.iterations == max(result.iterations for result in alone)
    for index, result in enumerate(alone):
        scale = float(images[index].abs().max())
        np.testing.assert_allclose(together.solution[index], result.solution, atol=1e-9 * scale)


def test_running_out_of_iterations_is_said():
    case = next(cropped_scenes(size=64))
    result = deconvolve(case.data, case.psf, strength=0.01, iterations=2, tolerance=1e-6)
    assert not result.converged
    assert result.iterations == 2
    assert "after 2 iterations" in result.message


def test_cropped_scenes():
    """The default against the periodic method at its best, and against its own best."""
    strengths = np.logspace(-3.5, 0, 8)
    gains, losses, ratios = [], [], []
    for case in CASES:
        default = deconvolve(case.data, case.psf)
        periodic = max(
            psnr(
                deconvolve(case.data, case.psf, boundary="periodic", strength=strength).estimate,
                case.scene,
            )
            for strength in strengths
        )
        # The score is flat in the strength: factors of two around the choice find the best.
        best = max(
            psnr(
                deconvolve(case.data, case.psf, strength=factor * default.strength).estimate,
                case.scene,
            )
            for factor in (0.25, 0.5, 1, 2, 4)
        )
        gains.append(psnr(default.estimate, case.scene) - periodic)
        losses.append(best - psnr(default.estimate, case.scene))
        edge, inner = edge_and_inner_error(default.estimate, case.scene)
        ratios.append(edge / inner)
    assert np.mean(gains) >= 4
    assert np.mean(losses) <= 0.5
    assert max(losses) <= 1.5
    assert np.mean(ratios) <= 1.2


def test_it_is_the_pseudo_inverse_of_the_extended_operator():
    """The public operator, asked for the same problem, gives the same picture."""
    case = CASES[1]
    data = case.data[:48, :49]
    operator = Convolution(case.psf, data.shape, boundary="extended", dtype="float64")
    scene = operator.pinv(data, strength=0.05, prior="gradient", tolerance=1e-10)
    (top, left), (rows, columns) = operator.estimate_window
    result = deconvolve(
        data, case.psf, strength=0.05, tolerance=1e-8, iterations=500, dtype="float64"
    )
    expected = scene[top : top + rows, left : left + columns]
    np.testing.assert_allclose(result.estimate, expected, atol=1e-6)
