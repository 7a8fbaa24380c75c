"""Richardson-Lucy against dense matrices and the theorems that it obeys."""

import itertools

import numpy as np
import pytest
import scipy.signal
import scipy.special

from napari_convfact.deconvolution.acceleration import Extrapolation, extrapolate
from napari_convfact.deconvolution.iteration import Iteration
from napari_convfact.deconvolution.richardson_lucy import (
    BOUNDARIES,
    RichardsonLucySolver,
    richardson_lucy_job,
)
from napari_convfact.deconvolution.total_variation import total_variation_denominator
from napari_convfact.foundation.job import run

torch = pytest.importorskip("torch")


def solve(image, psf, **options):
    return run(richardson_lucy_job(image, psf, device="cpu", **options))


def random_psf(shape, seed=0):
    """An asymmetric PSF without zeros."""
    psf = np.random.default_rng(seed).random(shape) + 0.1
    return psf / psf.sum()


def dense_blur(psf, shape, boundary):
    """Return the matrix of a blur, column by column from scipy's direct convolution."""
    after = [k // 2 for k in psf.shape]
    before = [k - 1 - a for k, a in zip(psf.shape, after, strict=True)]
    grown = tuple(n + k - 1 for n, k in zip(shape, psf.shape, strict=True))
    scene_shape = grown if boundary == "extended" else shape
    modes = {"periodic": "wrap", "reflect": "symmetric", "zero": "constant"}
    columns = []
    for index in np.ndindex(scene_shape):
        scene = np.zeros(scene_shape)
        scene[index] = 1
        if boundary != "extended":
            scene = np.pad(scene, list(zip(before, after, strict=True)), modes[boundary])
        columns.append(scipy.signal.convolve(scene, psf, "valid", "direct").ravel())
    window = tuple(
        slice(b, b + n) if boundary == "extended" else slice(None)
        for b, n in zip(before, shape, strict=True)
    )
    return np.array(columns).T, scene_shape, window


def scene_with_light(shape, seed=1):
    return np.random.default_rng(seed).gamma(0.5, 40.0, shape)


def log_likelihood(model, counts):
    return scipy.special.xlogy(counts, model).sum() - model.sum()


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    ("shape", "psf_shape"), [((13,), (4,)), ((8, 9), (3, 4)), ((4, 5, 6), (2, 3, 3))]
)
def test_steps_equal_the_closed_form(boundary, shape, psf_shape):
    psf = random_psf(psf_shape)
    matrix, scene_shape, window = dense_blur(psf, shape, boundary)
    counts = np.random.default_rng(2).poisson(20, shape).astype(float)
    background, read_noise = 1.5, 0.7

    scene = np.full(matrix.shape[1], counts.mean() - background)
    for _ in range(3):
        model = matrix @ scene + background + read_noise
        scene *= matrix.T @ ((counts.ravel() + read_noise) / model) / matrix.sum(0)
    expected = scene.reshape(scene_shape)[window]

    result = solve(
        counts,
        psf,
        boundary=boundary,
        iterations=3,
        accelerate=False,
        background=background,
        read_noise=read_noise,
        dtype="float64",
    )
    np.testing.assert_allclose(result.estimate, expected, rtol=1e-11)
    assert result.iterations == 3
    assert result.stopped_by == "iterations"


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("accelerate", [False, True])
def test_the_model_keeps_the_number_of_photons(boundary, accelerate):
    counts = np.random.default_rng(3).poisson(scene_with_light((19, 22))).astype(np.float32)
    solver = RichardsonLucySolver(random_psf((5, 4)), counts.shape, boundary=boundary, device="cpu")
    data = torch.tensor(counts)
    iteration = Iteration(
        solver.model, data, solver.model.flat_scene(float(data.mean())), accelerate=accelerate
    )
    for _ in range(8):
        iteration.advance()
        seen = solver.model.in_picture(solver.model.blur(iteration.scene))
        assert float(seen.sum()) == pytest.approx(counts.sum(), rel=1e-5)


@pytest.mark.parametrize("accelerate", [False, True])
def test_flux_is_kept_on_a_torus(accelerate):
    counts = np.random.default_rng(3).poisson(scene_with_light((24, 31))).astype(np.float32)
    result = solve(
        counts, random_psf((5, 4)), boundary="periodic", iterations=12, accelerate=accelerate
    )
    assert result.estimate.sum(dtype=float) == pytest.approx(counts.sum(dtype=float), rel=1e-5)
    assert result.estimate.dtype == np.float32


@pytest.mark.parametrize("shape", list(itertools.product((24, 25), repeat=2)))
@pytest.mark.parametrize("psf_shape", list(itertools.product((6, 7), repeat=2)))
def test_an_asymmetric_psf_does_not_move_the_image(shape, psf_shape):
    grid = np.indices(shape)
    scene = np.exp(-((grid[0] - 11.3) ** 2 + (grid[1] - 12.4) ** 2) / 8)
    rows, columns = np.indices(psf_shape)
    psf = np.exp(-rows / 2.0) * np.exp(-((columns - 2) ** 2) / 3) * (1 + columns)
    psf /= psf.sum()
    # The scene is dark near its edges, so this is the blur of every boundary.
    first = [k // 2 for k in psf_shape]
    full = scipy.signal.convolve(scene, psf)
    image = full[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    estimate = solve(image, psf, iterations=60, dtype="float64").estimate
    for axis in range(2):
        center = (grid[axis] * estimate).sum() / estimate.sum()
        expected = (grid[axis] * scene).sum() / scene.sum()
        assert center == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("background", [0.0, 5.0])
def test_likelihood_never_falls_and_acceleration_is_ahead(boundary, background):
    psf = random_psf((5, 4))
    matrix, scene_shape, _ = dense_blur(psf, (14, 15), boundary)
    light = matrix @ scene_with_light(scene_shape).ravel() + background
    counts = np.random.default_rng(4).poisson(light.reshape(14, 15)).astype(float)
    plain, fast = (
        solve(
            counts,
            psf,
            boundary=boundary,
            background=background,
            iterations=40,
            accelerate=accelerate,
            dtype="float64",
        )
        for accelerate in (False, True)
    )
    assert len(plain.likelihood) == 41
    assert np.diff(plain.likelihood).min() >= 0
    assert np.diff(fast.likelihood).min() >= 0
    ahead = np.subtract(fast.likelihood, plain.likelihood)
    assert ahead.min() >= -1e-9 * abs(plain.likelihood[0])
    assert ahead[40] > 0


def test_predictions_that_overshoot_are_no_worse_than_the_plain_step():
    # Few samples, a long PSF and a background: here predictions do overshoot.
    random = np.random.default_rng(54)
    counts = random.poisson(random.gamma(0.3, 10.0 ** random.uniform(0, 3), (40,))).astype(float)
    psf = random.random((7,)) ** random.integers(1, 6)
    solver = RichardsonLucySolver(
        psf, (40,), boundary="zero", background=1.0, dtype="float64", device="cpu"
    )
    data = torch.tensor(counts)
    iteration = Iteration(
        solver.model, data, solver.model.flat_scene(float(data.mean())), accelerate=True
    )
    matrix, _, _ = dense_blur(psf / psf.sum(), (40,), "zero")
    factors = []
    for _ in range(40):
        before = solver.model.to_numpy(iteration.scene)
        iteration.advance()
        ratio = counts / (matrix @ before + 1)
        plain = before * (matrix.T @ ratio) / matrix.sum(0)
        after = solver.model.to_numpy(iteration.scene)
        found, reached = (log_likelihood(matrix @ scene + 1, counts) for scene in (after, plain))
        assert found >= reached - 1e-9 * abs(reached)
        factors.append(np.abs(after / plain - 1).max())
    # Both happened: predictions were kept, and the plain step was taken instead.
    assert max(factors) > 0.01
    assert min(factors[1:]) < 1e-9


def test_likelihood_is_that_of_the_estimate():
    psf = random_psf((3, 4))
    matrix, _, _ = dense_blur(psf, (10, 11), "periodic")
    counts = np.random.default_rng(5).poisson(3, (10, 11)).astype(float)
    result = solve(counts, psf, boundary="periodic", iterations=7, background=0.5, dtype="float64")
    found = log_likelihood(matrix @ result.estimate.ravel() + 0.5, counts.ravel())
    perfect = log_likelihood(counts.ravel(), counts.ravel())
    assert result.likelihood[-1] == pytest.approx(found - perfect, rel=1e-9)


def test_a_bad_prediction_is_replaced_by_the_plain_step(monkeypatch):
    def predict(self, point, before, after):  # noqa: ARG001
        self.factor = 1.0
        return before.copy_(after.flip(0)).mul_(3)

    monkeypatch.setattr(Extrapolation, "predict", predict)
    counts = np.random.default_rng(6).poisson(scene_with_light((16, 17))).astype(float)
    psf = random_psf((3, 4))
    guarded = solve(counts, psf, iterations=6, dtype="float64", background=2.0)
    plain = solve(counts, psf, iterations=6, dtype="float64", background=2.0, accelerate=False)
    np.testing.assert_allclose(guarded.estimate, plain.estimate, rtol=1e-12)
    np.testing.assert_allclose(guarded.likelihood, plain.likelihood, rtol=1e-12)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_dark_regions_and_empty_psf_entries_give_no_nan(boundary):
    counts = np.zeros((40, 41))
    counts[3, 4] = 2000
    counts[30:33, 20:23] = 1
    psf = np.zeros((9, 8))
    psf[4, 4], psf[2, 5] = 0.7, 0.3
    result = solve(counts, psf, boundary=boundary, iterations=80, keep_every=1)
    assert np.isfinite(result.intermediate).all()
    assert result.intermediate.min() >= 0
    assert np.isfinite(result.likelihood).all()


def test_an_empty_image_stays_empty():
    assert not solve(np.zeros((8, 9)), random_psf((3, 3)), iterations=5).estimate.any()
    assert not solve(np.zeros((8, 9)), random_psf((3, 3)), iterations="auto").estimate.any()


def test_warm_start_continues_where_it_stopped():
    counts = np.random.default_rng(7).poisson(scene_with_light((20, 18))).astype(float)
    psf = random_psf((5, 5))
    options = {"boundary": "periodic", "accelerate": False, "dtype": "float64"}
    half = solve(counts, psf, iterations=5, **options).estimate
    whole = solve(counts, psf, iterations=10, **options).estimate
    np.testing.assert_allclose(
        solve(counts, psf, iterations=5, start=half, **options).estimate, whole, rtol=1e-10
    )


def test_warm_start_is_ahead_for_an_extended_scene():
    counts = np.random.default_rng(7).poisson(scene_with_light((20, 18)) + 20).astype(float)
    psf = random_psf((5, 5))
    near = solve(counts, psf, iterations=20).estimate
    cold, warm = (solve(counts, psf, iterations=5, start=start) for start in (None, near))
    assert warm.likelihood[0] > cold.likelihood[0]
    assert warm.likelihood[-1] > cold.likelihood[-1]


def test_cancelling_leaves_the_partial_estimate_in_the_last_step():
    counts = np.random.default_rng(8).poisson(scene_with_light((20, 18))).astype(np.float32)
    psf = random_psf((5, 5))
    job = richardson_lucy_job(counts, psf, iterations=50, accelerate=False, device="cpu")
    steps = [next(job) for _ in range(4)]
    job.close()
    assert [step.done for step in steps] == [1, 2, 3, 4]
    assert steps[-1].total == 50
    assert steps[-1].likelihood > steps[0].likelihood
    expected = solve(counts, psf, iterations=4, accelerate=False).estimate
    np.testing.assert_array_equal(steps[-1].preview, expected)


def test_intermediate_estimates_are_those_of_shorter_runs():
    counts = np.random.default_rng(9).poisson(scene_with_light((20, 18))).astype(np.float32)
    psf = random_psf((5, 5))
    result = solve(counts, psf, iterations=9, keep_every=4)
    assert result.intermediate.shape == (2, 20, 18)
    np.testing.assert_array_equal(result.intermediate[1], solve(counts, psf, iterations=8).estimate)


def test_single_and_double_precision_agree():
    counts = np.random.default_rng(10).poisson(scene_with_light((24, 25)) + 10).astype(float)
    psf = random_psf((5, 5))
    single, double = (
        solve(counts, psf, iterations=10, accelerate=False, dtype=dtype).estimate
        for dtype in ("float32", "float64")
    )
    assert double.dtype == np.float64
    # Ten steps multiply ten factors whose transforms are rounded to some 1e-6.
    np.testing.assert_allclose(single, double, rtol=1e-4)


def test_units_do_not_matter():
    counts = np.random.default_rng(11).poisson(scene_with_light((20, 18))).astype(float)
    psf = random_psf((5, 5))
    once, scaled = (
        solve(factor * counts, 7 * psf, iterations=15, background=3.0 * factor, dtype="float64")
        for factor in (1.0, 1000.0)
    )
    np.testing.assert_allclose(scaled.estimate, 1000 * once.estimate, rtol=1e-8)


def test_the_input_is_not_written_to_and_negative_values_are_named():
    counts = np.random.default_rng(12).poisson(5, (12, 13)).astype(np.float32)
    counts[2, 3] = -4
    before = counts.copy()
    result = solve(counts, random_psf((3, 3)), iterations=3, read_noise=2.0)
    np.testing.assert_array_equal(counts, before)
    assert result.message == "1 negative values of the image were set to zero."


@pytest.mark.parametrize("periodic", [False, True])
def test_total_variation_denominator_equals_its_formula(periodic):
    scene = np.random.default_rng(13).random((6, 7))
    ends = (scene[:1], scene[:, :1]) if periodic else (scene[-1:], scene[:, -1:])
    slopes = [np.diff(scene, axis=axis, append=end) for axis, end in enumerate(ends)]
    length = np.maximum(np.hypot(*slopes), 3 * 2 * 0.02 * scene)
    flow = [slope / length for slope in slopes]
    starts = (flow[0][-1:], flow[1][:, -1:])
    divergence = sum(
        np.diff(f, axis=axis, prepend=start if periodic else 0)
        for axis, (f, start) in enumerate(zip(flow, starts, strict=True))
    )
    found = total_variation_denominator(torch.tensor(scene), 0.02, periodic=periodic)
    np.testing.assert_allclose(found.numpy(), 1 - 0.02 * divergence, rtol=1e-12)


@pytest.mark.parametrize("strength", [0.002, 0.01, 0.05])
def test_total_variation_does_not_make_round_off_grow(strength):
    counts = np.random.default_rng(15).poisson(20, (64, 64)).astype(float)
    options = {"iterations": 20, "total_variation": strength}
    single, double = (
        solve(counts, random_psf((5, 5)), dtype=dtype, **options).estimate
        for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(single, double, atol=1e-4 * double.max())


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0])
def test_total_variation_lets_no_checkerboard_grow(ndim, factor):
    ripple = 1e-6 * (-1.0) ** np.indices((8,) * ndim).sum(0)
    before = point = torch.tensor(1 + ripple)
    for _ in range(30):
        after = point / total_variation_denominator(point, 0.01, periodic=True)
        before, point = after, extrapolate(before.clone(), after, factor)
    assert float((point - point.mean()).abs().max()) <= 2e-6


def test_total_variation_calms_noise():
    counts = np.random.default_rng(14).poisson(20, (32, 32)).astype(float)
    psf = random_psf((5, 5))
    noisy, calm = (
        solve(counts, psf, boundary="periodic", iterations=30, total_variation=strength).estimate
        for strength in (0.0, 0.02)
    )
    assert calm.std() < 0.5 * noisy.std()
    assert calm.mean() == pytest.approx(counts.mean(), rel=0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"boundary": "mirror"}, "boundary must be one of"),
        ({"iterations": 0}, "iterations must be"),
        ({"iterations": "many"}, "iterations must be"),
        ({"background": -1.0}, "background must be"),
        ({"read_noise": np.nan}, "read_noise must be"),
        ({"keep_every": 0}, "keep_every must be"),
        ({"keep_every": 2.5}, "keep_every must be"),
        ({"start": np.ones((3, 3))}, "start has shape"),
        ({"start": np.zeros((8, 8))}, "start is zero everywhere"),
    ],
)
def test_wrong_arguments_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        solve(np.ones((8, 8)), np.ones((3, 3)), **{"iterations": 1, **options})
