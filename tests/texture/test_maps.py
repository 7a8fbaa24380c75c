import numpy as np
import pytest
import scipy.ndimage
import torch
from texture_targets import CAUSAL, SYMMETRIC

from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.bank_learning import learn_bank
from napari_convfact.texture.maps import maps_halo, residual_maps, residual_maps_job
from napari_convfact.texture.pooling import GaussianPool
from napari_convfact.texture.residuals import Residuals


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    return scipy.ndimage.gaussian_filter(rng.normal(size=(70, 61)), 1) * 10 + 100


@pytest.fixture(scope="module")
def bank():
    rng = np.random.default_rng(1)
    dilated = np.zeros((2, 5, 5))
    dilated[:, ::2, ::2] = rng.normal(size=(2, 3, 3))
    plain = np.pad(np.stack([CAUSAL, SYMMETRIC]), ((0, 0), (1, 1), (1, 1)))
    return KernelBank(np.concatenate([plain, dilated]), dilations=(1, 1, 2, 2))


def expected_residuals(image, bank):
    centred = image - image.mean()
    return np.stack(
        [
            centred - scipy.ndimage.convolve(centred, k.astype(float), mode="reflect")
            for k in bank.kernels
        ]
    )


def test_residuals_are_the_image_minus_its_convolution(image, bank):
    maps = residual_maps(image, bank, kind="residual")
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, expected_residuals(image, bank), atol=2e-4)


@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (1, 5)])
def test_kernels_of_even_sizes_have_their_origin_at_half(image, shape):
    kernels = np.random.default_rng(2).normal(size=(2, *shape))
    maps = residual_maps(image, KernelBank(kernels), kind="residual")
    np.testing.assert_allclose(maps, expected_residuals(image, KernelBank(kernels)), atol=2e-4)


@pytest.mark.parametrize("shape", [(5, 5), (4, 3)])
def test_both_ways_to_convolve_agree(shape):
    rng = np.random.default_rng(3)
    bank = KernelBank(rng.normal(size=(3, *shape)))
    x = torch.as_tensor(rng.normal(size=(20, 24)).astype(np.float32))
    fused, correlated = Residuals(bank, "cpu"), Residuals(bank, "elsewhere")
    for index in range(3):
        np.testing.assert_allclose(fused.of(x, index), correlated.of(x, index), atol=1e-5)


def test_log_energies_are_averaged_over_a_gaussian_window(image, bank):
    maps = residual_maps(image, bank, sigma=3)
    pooled = [
        scipy.ndimage.gaussian_filter(e**2, 3, mode="reflect", truncate=4)
        for e in expected_residuals(image, bank)
    ]
    np.testing.assert_allclose(maps, np.log(pooled), atol=1e-4)


def test_the_assignment_is_the_best_kernel_counted_from_one(image, bank):
    labels = residual_maps(image, bank, kind="assignment")
    energies = residual_maps(image, bank)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, energies.argmin(axis=0) + 1)


def test_what_the_bank_does_not_know_is_novel(texture_patches):
    patches, labels = texture_patches
    known = learn_bank(patches[labels == 0], 4, radius=1)
    image = np.concatenate([patches[0], patches[25]], axis=1)  # brick beside grass
    novelty = residual_maps(image, known, kind="novelty", sigma=4)
    assert novelty.shape == image.shape
    assert novelty.max() <= 0
    assert np.median(novelty[:, 80:]) > np.median(novelty[:, :48]) + 1


@pytest.mark.parametrize("kind", ["residual", "log-energy", "assignment", "novelty"])
def test_tiles_with_their_halo_have_the_same_maps_as_the_whole(image, bank, kind):
    sigma = 2.5
    whole = residual_maps(image, bank, kind=kind, sigma=sigma)
    halo = maps_halo(bank, sigma)
    assert halo == (12, 12)
    for top, left in ((0, 0), (20, 30), (40, 30)):
        first = [max(top - halo[0], 0), max(left - halo[1], 0)]
        tile = image[first[0] : top + 20 + halo[0], first[1] : left + 31 + halo[1]]
        maps = residual_maps(tile, bank, kind=kind, sigma=sigma, mean=image.mean())
        inner = maps[..., top - first[0] :, left - first[1] :][..., :20, :31]
        expected = whole[..., top : top + 20, left : left + 31]
        np.testing.assert_array_equal(inner, expected)


def test_missing_pixels_stay_missing(image, bank):
    holes = image.copy()
    holes[10:13, 20] = np.nan
    maps = residual_maps(holes, bank)
    assert np.isnan(maps[:, 10:13, 20]).all()
    assert np.isfinite(maps).sum() == maps.size - 3 * len(bank)
    assert (residual_maps(holes, bank, kind="assignment")[10:13, 20] == 0).all()


def test_a_constant_image_and_a_kernel_of_zeros_are_no_trouble():
    bank = KernelBank(np.zeros((1, 3, 3)))
    for kind in ("residual", "log-energy", "assignment", "novelty"):
        assert np.isfinite(residual_maps(np.full((9, 9), 7.0), bank, kind=kind)).all()


def test_volumes_and_lines_have_maps_too():
    rng = np.random.default_rng(0)
    for shape in ((40,), (12, 11, 13)):
        kernels = rng.normal(size=(2, *(3,) * len(shape)))
        bank = KernelBank(kernels, ndim=len(shape))
        x = rng.normal(size=shape)
        maps = residual_maps(x, bank, kind="residual")
        np.testing.assert_allclose(maps, expected_residuals(x, bank), atol=1e-4)


@pytest.mark.parametrize("sigma", [0, 1.3, (0, 2.0)])
def test_pooling_is_that_of_scipy(sigma):
    x = np.random.default_rng(0).normal(size=(2, 30, 25))
    sigmas = (sigma, sigma) if np.isscalar(sigma) else sigma
    expected = scipy.ndimage.gaussian_filter(x, (0, *sigmas), mode="reflect", truncate=4)
    pool = GaussianPool(sigma, 2)
    np.testing.assert_allclose(pool(torch.as_tensor(x)), expected, atol=1e-10)
    # What runs where there is no fused pass.
    np.testing.assert_allclose(pool._correlate(torch.as_tensor(x)), expected, atol=1e-10)


def test_maps_can_be_cancelled(image, bank):
    job = residual_maps_job(image, bank)
    next(job)
    next(job)
    job.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kind": "energy"}, "kind must be one of"),
        ({"sigma": -1}, "sigma must be"),
        ({"sigma": (1, 2, 3)}, "sigma must be"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(image, bank, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        residual_maps(image, bank, **arguments)


def test_image_and_bank_must_match(image, bank):
    with pytest.raises(ValueError, match="axes"):
        residual_maps(np.stack([image, image]), bank)
    with pytest.raises(ValueError, match="mix 3 channels"):
        residual_maps(image, KernelBank(np.zeros((1, 3, 3, 3))))


@pytest.mark.parametrize("kind", ["log-energy", "novelty"])
def test_a_small_texture_on_a_large_offset_keeps_its_maps(image, bank, kind):
    found = residual_maps(1e7 + 0.01 * image, bank, kind=kind)
    shift = 2 * np.log(0.01) if kind == "log-energy" else 0
    np.testing.assert_allclose(found, residual_maps(image, bank, kind=kind) + shift, atol=1e-3)


def test_novelty_knows_the_variance_of_dark_and_bright_parts():
    rng = np.random.default_rng(0)
    image = scipy.ndimage.gaussian_filter(rng.normal(size=(48, 160)), 1.5) * 10
    image[:, 80:] += 30000
    neighbours = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]])
    sigma = 2.0

    def pool(x):
        return scipy.ndimage.gaussian_filter(x, sigma, mode="reflect", truncate=4)

    residual = image - scipy.ndimage.convolve(image, neighbours, mode="reflect")
    variance = pool((image - image.mean()) ** 2) - pool(image - image.mean()) ** 2
    expected = np.log(pool(residual**2)) - np.log(variance)
    found = residual_maps(image, KernelBank(neighbours[None]), sigma=sigma, kind="novelty")
    np.testing.assert_allclose(found, np.minimum(expected, 0), atol=0.02)
