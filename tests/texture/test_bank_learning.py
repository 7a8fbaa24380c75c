import itertools

import numpy as np
import pytest
import torch
from texture_targets import SYMMETRIC, half_plane_kernel

from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.autoregression import fit_autoregression
from napari_convfact.texture.bank_errors import bank_errors, reduce_bank
from napari_convfact.texture.bank_learning import METHODS, learn_bank, learn_bank_job
from napari_convfact.texture.clusters import greedy_cover
from napari_convfact.texture.spectrum import ar_synthesize

OTHER = half_plane_kernel(-0.1, 0.2, 0.1, 0.12)


@pytest.fixture(scope="module")
def mixed_fields():
    """Two kinds of Gauss-Markov fields, in random order."""
    kinds = np.random.default_rng(0).permutation(np.arange(60) % 2)
    kernels = (SYMMETRIC, OTHER)
    fields = [
        ar_synthesize(kernels[kind], (64, 64), model="conditional", seed=index)
        for index, kind in enumerate(kinds)
    ]
    return np.stack(fields), kinds


def test_a_mixture_of_two_separates_two_kinds_of_fields(mixed_fields):
    fields, kinds = mixed_fields
    bank = learn_bank(fields, 2, radius=1)
    order = [
        int(np.abs(bank.kernels - kernel).max(axis=(1, 2)).argmin())
        for kernel in (SYMMETRIC, OTHER)
    ]
    assert sorted(order) == [0, 1]
    for index, kernel in zip(order, (SYMMETRIC, OTHER), strict=True):
        np.testing.assert_allclose(bank.kernels[index], kernel, atol=0.02)
    assigned = bank_errors(bank, fields).argmin(axis=1)
    assert np.mean(assigned == np.array(order)[kinds]) >= 0.99
    assert bank.usage.sum() == pytest.approx(1)


def test_gradient_descent_on_the_bank_loss_gives_equal_kernels(mixed_fields):
    """Why a mixture is needed: the mean error of all kernels has one minimum for each."""
    fields = torch.as_tensor(mixed_fields[0][:4])[:, None]
    mask = torch.ones(2, 1, 3, 3)
    mask[:, :, 1, 1] = 0
    filters = torch.randn(2, 1, 3, 3, generator=torch.manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([filters], lr=0.1)
    periodic = torch.nn.functional.pad(fields, (1, 1, 1, 1), mode="circular")
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((fields - torch.nn.functional.conv2d(periodic, filters * mask)) ** 2).mean()
        loss.backward()
        optimizer.step()
    first, second = (filters * mask).detach().numpy()[:, 0]
    np.testing.assert_allclose(first, second, atol=1e-3)
    pooled = learn_bank(mixed_fields[0][:4], 1, radius=1, patch_size=None).kernels[0]
    np.testing.assert_allclose(first, pooled, atol=0.02)


def test_learned_banks_predict_better_than_gabor_and_than_one_kernel(texture_patches):
    patches, labels = texture_patches
    single = learn_bank(patches, 1)
    error = {
        method: bank_errors(learn_bank(patches, 16, method=method, labels=labels), patches)
        .min(axis=1)
        .mean()
        for method in METHODS
    }
    pooled = bank_errors(single, patches).mean()
    for method in ("em", "kmeans", "greedy", "class"):
        assert error[method] <= 0.6 * error["gabor"]
        assert error[method] <= 0.9 * pooled
    assert error["em"] <= error["kmeans"] * 1.005


@pytest.mark.parametrize("method", METHODS)
def test_banks_are_valid_predictors_in_order_of_what_they_add(texture_patches, method):
    patches, labels = texture_patches
    bank = learn_bank(patches, 8, method=method, labels=labels, dilations=(1, 2), radius=1)
    per_dilation = 6 if method == "class" else 8  # three classes share eight kernels
    assert bank.kernels.shape == (2 * per_dilation, 5, 5)
    assert bank.dilations == (1,) * per_dilation + (2,) * per_dilation
    assert len(set(bank.names)) == len(bank)
    assert not bank.kernels[:, 2, 2].any()
    assert (np.diff(bank.explained) >= -1e-6).all()
    best = bank_errors(bank, patches, boundary="periodic").min(axis=1).clip(max=1)
    # The errors that are learned from carry the ridge.
    assert bank.explained[-1] == pytest.approx(1 - best.mean(), abs=1e-5)


def test_the_pooled_kernel_is_least_squares_on_all_images(texture_patches):
    patches = texture_patches[0]
    bank = learn_bank(patches, 1, radius=1, patch_size=None)
    moments = fit_autoregression(patches, tie="full").moments[0]
    scale = moments.c[:, :1]
    A = (moments.A / scale[..., None]).mean(axis=0)
    b = (moments.b[..., 0] / scale).mean(axis=0)
    expected = np.linalg.solve(A, b)
    kernel = np.insert(expected, 4, 0).reshape(3, 3)[::-1, ::-1]
    np.testing.assert_allclose(bank.kernels[0], kernel, atol=1e-3)  # the ridge on flat directions


def test_classes_get_their_own_kernels(texture_patches):
    patches, labels = texture_patches
    bank = learn_bank(patches, 3, method="class", labels=labels, radius=1)
    alone = [learn_bank(patches[labels == name], 1, radius=1).kernels[0] for name in range(3)]
    gaps = np.abs(bank.kernels[:, None] - np.stack(alone)[None]).max(axis=(2, 3))
    assert (gaps.min(axis=1) < 1e-5).all()


def test_one_image_is_cut_into_patches(texture_patches):
    image = np.block([[texture_patches[0][0], texture_patches[0][25]]] * 2)
    bank = learn_bank(image, 4)
    assert len(bank) == 4
    assert bank.metadata["patches"] > 4


def test_constant_images_are_left_out(texture_patches):
    patches = np.concatenate([texture_patches[0][:10], np.zeros((3, 64, 64))])
    bank = learn_bank(patches, 4, patch_size=None)
    assert np.isfinite(bank.kernels).all()
    errors = bank_errors(bank, patches)
    assert (errors[-3:] == 1).all()


def test_reducing_keeps_the_kernels_that_explain_most(texture_patches):
    patches = texture_patches[0]
    bank = learn_bank(patches, 12)
    small = reduce_bank(bank, patches, 4)
    rows = [bank.names.index(name) for name in small.names]
    np.testing.assert_array_equal(small.kernels, bank.kernels[rows])
    error = bank_errors(bank, patches)
    assert small.explained[-1] == pytest.approx(1 - error[:, rows].min(axis=1).mean(), abs=1e-6)
    explained = [
        1 - error[:, four].min(axis=1).mean() for four in itertools.combinations(range(12), 4)
    ]
    assert small.explained[-1] >= 0.99 * max(explained)


def test_the_first_kernel_of_the_cover_is_the_best_alone():
    error = np.array([[0.1, 0.5, 0.2], [0.9, 0.1, 0.2], [0.9, 0.9, 0.2]])
    np.testing.assert_array_equal(greedy_cover(error, 3), [2, 0, 1])


def test_the_same_seed_gives_the_same_bank(texture_patches):
    first, second = (learn_bank(texture_patches[0], 5, seed=3).kernels for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_volumes_give_three_dimensional_kernels():
    volumes = np.random.default_rng(0).normal(size=(6, 12, 12, 12))
    bank = learn_bank(volumes, 2, radius=1, ndim=3, patch_size=None)
    assert bank.kernels.shape == (2, 3, 3, 3)
    assert bank.ndim == 3


def test_learning_can_be_cancelled(texture_patches):
    job = learn_bank_job(texture_patches[0], 8)
    for _ in range(4):
        next(job)
    job.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"method": "svd"}, "method must be one of"),
        ({"n_kernels": 0}, "n_kernels must be"),
        ({"method": "class"}, "needs labels"),
        ({"method": "class", "labels": [0, 1]}, "labels of shape"),
        ({"method": "class", "labels": np.arange(60), "n_kernels": 3}, "only 3 kernels"),
        ({"n_kernels": 61, "patch_size": None}, "too few for 61"),
        ({"patch_size": 4}, "patch_size must be"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(texture_patches, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        learn_bank(texture_patches[0], **arguments)


def test_only_predictors_have_errors(texture_patches):
    for kernels in (np.ones((1, 3, 3)), np.zeros((1, 4, 3)), np.zeros((1, 2, 3, 3))):
        with pytest.raises(ValueError, match="Predictors"):
            bank_errors(KernelBank(kernels), texture_patches[0])
