import numpy as np
import pytest
import scipy.ndimage
from texture_targets import SYMMETRIC, half_plane_kernel

from napari_convfact.texture import local
from napari_convfact.texture.autoregression import fit_autoregression
from napari_convfact.texture.local import (
    local_autoregression,
    local_autoregression_job,
    local_halo,
)
from napari_convfact.texture.spectrum import ar_synthesize


def field(kernel, shape=(96, 96), seed=0):
    return ar_synthesize(kernel, shape, model="conditional", seed=seed)


@pytest.mark.parametrize("tie", ["symmetric", "full", "ring", "causal"])
def test_each_pixel_has_the_weighted_least_squares_solution(tie):
    image = field(SYMMETRIC, (50, 44)).astype(np.float64)
    sigma, ridge = 3.0, 0.05
    models = local_autoregression(image, dilations=(2,), sigma=sigma, tie=tie, ridge=ridge)
    support = models.supports[0]
    y, x = 25, 20  # far enough from the edges for both windows
    reach = int(4 * sigma + 0.5)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    flat = image - scipy.ndimage.gaussian_filter(image, sigma, mode="reflect", truncate=4)

    def cut(dy=0, dx=0):
        return flat[y - reach + dy : y + reach + 1 + dy, x - reach + dx : x + reach + 1 + dx]

    shifted = np.stack([cut(*offset) for offset in support.offsets])
    predictors = np.stack([shifted[group].sum(axis=0) for group in support.groups(tie)])
    A = np.einsum("iyx,jyx,yx->ij", predictors, predictors, window)
    b = np.einsum("iyx,yx,yx->i", predictors, cut(), window)
    c = (cut() ** 2 * window).sum()
    w = np.linalg.solve(A + ridge * np.trace(A) / len(A) * np.eye(len(A)), b)
    np.testing.assert_allclose(models.weights[0, :, y, x], w, atol=1e-4)
    variance = c - 2 * b @ w + w @ A @ w
    assert models.variance[0, y, x] == pytest.approx(variance, rel=1e-3)
    assert models.predictability[0, y, x] == pytest.approx(1 - variance / c, abs=1e-3)
    kernel = models.kernel_at((y, x))[0]
    expected = support.kernels((support.tie_matrix(tie) @ w)[None])[0, 0]
    np.testing.assert_allclose(kernel, expected, atol=1e-4)


def test_a_wide_window_gives_the_model_of_the_whole_image():
    image = field(SYMMETRIC, (256, 256))
    models = local_autoregression(image, dilations=(1,), sigma=24, ridge=1e-4)
    whole = fit_autoregression(image).weights[0]
    middle = models.weights[0][:, 96:160, 96:160].mean(axis=(1, 2))
    np.testing.assert_allclose(middle, whole, atol=0.02)


def test_two_textures_side_by_side_have_their_own_models():
    other = half_plane_kernel(-0.1, 0.2, 0.1, 0.12)
    image = np.concatenate([field(SYMMETRIC), field(other, seed=1)], axis=1)
    models = local_autoregression(image, dilations=(1,), sigma=8, ridge=1e-3)
    for kernel, columns in ((SYMMETRIC, slice(16, 64)), (other, slice(128, 176))):
        found = models.weights[0][:, 24:72, columns].mean(axis=(1, 2))
        # raster order of one half: (-1,-1), (-1,0), (-1,1), (0,-1)
        expected = [kernel[2, 2], kernel[2, 1], kernel[2, 0], kernel[1, 2]]
        # A window of 8 pixels and its removed mean leave a few hundredths.
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_brightness_and_shading_change_nothing():
    image = field(SYMMETRIC)
    shading = np.linspace(0, 3, 96)[:, None]
    plain = local_autoregression(image, sigma=6)
    brighter = local_autoregression(2 * image + 500, sigma=6)
    shaded = local_autoregression(image + shading, sigma=6)
    np.testing.assert_allclose(brighter.weights, plain.weights, atol=2e-3)
    np.testing.assert_allclose(brighter.predictability, plain.predictability, atol=2e-3)
    inner = np.s_[..., 30:-30, :]
    np.testing.assert_allclose(shaded.weights[inner], plain.weights[inner], atol=5e-3)


def test_tiles_with_their_halo_have_the_same_models_as_the_whole():
    image = np.round(field(SYMMETRIC) * 40).astype(np.int16)
    whole = local_autoregression(image, sigma=2)
    halo = local_halo(sigma=2)
    assert halo == (20, 20)
    tile = image[30 - 20 : 60 + 20, 25 - 20 : 70 + 20]
    part = local_autoregression(tile, sigma=2)
    for name in ("weights", "variance", "predictability"):
        inner = getattr(part, name)[..., 20:50, 20:65]
        expected = getattr(whole, name)[..., 30:60, 25:70]
        np.testing.assert_allclose(inner, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_pixels_are_solved_in_parts(monkeypatch):
    image = field(SYMMETRIC, (40, 30))
    whole = local_autoregression(image, sigma=2)
    monkeypatch.setattr(local, "_BLOCK", 256)
    parts = local_autoregression(image, sigma=2)
    np.testing.assert_allclose(parts.weights, whole.weights, atol=1e-6)


def test_the_kernels_of_all_pixels_are_those_of_each():
    image = field(SYMMETRIC, (40, 36)).astype(np.float64)
    models = local_autoregression(image, dilations=(1, 2), sigma=3)
    kernels = models.kernels
    assert kernels.shape == (2, 5, 5, 40, 36)
    np.testing.assert_array_equal(kernels[..., 20, 11], models.kernel_at((20, 11)))
    assert not kernels[:, 2, 2].any()


def test_features_are_named_one_by_one():
    models = local_autoregression(field(SYMMETRIC, (40, 40)), dilations=(1, 2), sigma=2)
    features, names = models.features(), models.feature_names()
    assert features.shape == (12, 40, 40)
    assert len(names) == len(set(names)) == 12
    np.testing.assert_allclose(features[4], np.log(models.variance[0]), rtol=1e-6)


def test_volumes_have_models_too():
    volume = np.random.default_rng(0).normal(size=(12, 13, 14))
    models = local_autoregression(volume, dilations=(1,), sigma=1.5)
    assert models.weights.shape == (1, 13, 12, 13, 14)
    assert models.kernel_at((5, 5, 5)).shape == (1, 3, 3, 3)


def test_flat_and_missing_pixels_are_finite_or_missing():
    image = np.full((40, 40), 3.0)
    image[:, 20:] = field(SYMMETRIC, (40, 20))
    image[5, 5] = np.nan
    models = local_autoregression(image, sigma=1.5)
    finite = np.isfinite(models.weights).all(axis=(0, 1))
    assert not finite[5, 5]
    assert finite.sum() == 1599
    assert not models.weights[:, :, 20, 1].any()
    assert (models.predictability[:, 20, 1] == 0).all()


def test_the_job_yields_often_enough_to_be_cancelled():
    job = local_autoregression_job(field(SYMMETRIC), dilations=(1,))
    assert sum(1 for _ in job) >= 10


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sigma": 0}, "sigma must be at least 0.125"),
        ({"ridge": 0}, "ridge must be positive"),
        ({"radius": 20, "dilations": (3,)}, "do not fit"),
        ({"tie": "isotropic"}, "tie must be one of"),
        ({"ndim": 3}, "axes"),
        ({"ndim": 1}, "axes"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        local_autoregression(field(SYMMETRIC), **arguments)


@pytest.mark.parametrize(("offset", "contrast"), [(1e7, 1e-2), (1e8, 1.0)])
def test_a_small_texture_on_a_large_offset_keeps_its_models(offset, contrast):
    image = field(SYMMETRIC).astype(np.float64)
    expected = local_autoregression(image)
    found = local_autoregression(offset + contrast * image)
    np.testing.assert_allclose(found.predictability, expected.predictability, atol=1e-4)


@pytest.mark.parametrize("level", [0, 1, 255, 65535])
def test_there_is_nothing_to_predict_where_an_image_is_flat(level):
    image = np.zeros((64, 160))
    image[:, 80:] = level
    image[:, :8] = np.random.default_rng(0).normal(size=(64, 8))
    models = local_autoregression(image, sigma=2.0)
    # Farther than two windows and the largest dilation from the step.
    for side in (np.s_[..., 40:56], np.s_[..., 104:]):
        assert not models.predictability[side].any()
        assert not models.variance[side].any()


def test_squares_that_single_precision_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="divide the image by its standard deviation"):
        local_autoregression(field(SYMMETRIC).astype(np.float64) * 1e20)
