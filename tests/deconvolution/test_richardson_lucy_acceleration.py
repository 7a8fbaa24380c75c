"""The extrapolation between Richardson-Lucy steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from napari_convfact.deconvolution.acceleration import Extrapolation  # noqa: E402


def predict(extrapolation, point, before, after):
    tensors = [torch.tensor(x) for x in (point, before, after)]
    return extrapolation.predict(*tensors).numpy()


def test_predictions_follow_the_correlation_of_the_last_two_steps():
    point, before, after, later = np.random.default_rng(0).random((4, 300, 7)) + 0.1
    extrapolation = Extrapolation()
    # Nothing is known before the second step.
    np.testing.assert_allclose(predict(extrapolation, point, before, after), after)
    second = predict(extrapolation, after, after, later)
    step, previous = later - after, after - point
    factor = np.clip((step * previous).sum() / (previous**2).sum(), 0, 1)
    np.testing.assert_allclose(second, later * (later / after) ** factor)


def test_opposite_steps_are_not_extrapolated():
    x = np.random.default_rng(1).random((5, 6)) + 0.5
    extrapolation = Extrapolation()
    predict(extrapolation, x, x, x + 0.1)
    np.testing.assert_allclose(predict(extrapolation, x + 0.1, x + 0.1, x), x)


def test_equal_steps_are_extrapolated_in_full_and_dark_samples_stay_dark():
    x = np.array([[0.0, 1.0, 2.0, 4.0]])
    step = np.array([[0.0, 0.5, -1.0, 0.0]])
    extrapolation = Extrapolation()
    predict(extrapolation, x - step, x - step, x)
    found = predict(extrapolation, x, x, x + step)
    np.testing.assert_allclose(found, [[0.0, 1.5**2, 0.5, 4.0]], atol=1e-300)


def test_a_restart_forgets_the_last_step():
    x = np.random.default_rng(2).random((5, 6)) + 0.5
    extrapolation = Extrapolation()
    predict(extrapolation, x, x, x + 0.1)
    extrapolation.restart()
    np.testing.assert_allclose(predict(extrapolation, x + 0.1, x + 0.1, x + 0.2), x + 0.2)
