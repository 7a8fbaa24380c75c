import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from texture_scenes import region_split_patches

from napari_convfact.texture.bank_learning import learn_bank
from napari_convfact.texture.classifier import TextureClassifier
from napari_convfact.texture.end_to_end import ResidualNetwork
from napari_convfact.texture.maps import residual_maps


@pytest.fixture(scope="module")
def split():
    train, test, labels = region_split_patches(32, 20, 0)
    return train, labels, test, labels


@pytest.fixture(scope="module")
def fitted(split):
    train, labels, _, _ = split
    names = np.array(["brick", "grass", "gravel"])[labels]
    return TextureClassifier(n_kernels=4).fit(train, names)


@pytest.mark.parametrize(("size", "least"), [(64, 0.99), (32, 0.97)])
def test_textures_are_told_apart_across_regions(size, least):
    """Ten splits; each trains on one half of the images and tests on the other."""
    scores = []
    for number in range(10):
        train, test, labels = region_split_patches(size, 8, number)
        scores.append(TextureClassifier(n_kernels=3).fit(train, labels).score(test, labels))
    assert np.mean(scores) >= least


def test_a_support_vector_machine_does_as_well(split):
    train, labels, test, truth = split
    model = TextureClassifier(n_kernels=4, classifier="svc").fit(train, labels)
    assert model.score(test, truth) >= 0.95
    probabilities = model.predict_proba(test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_end_to_end_training_learns(split):
    train, labels, test, truth = split
    model = TextureClassifier(n_kernels=4, end_to_end=True, epochs=12).fit(train, labels)
    assert model.loss_[-1] < 0.3 * model.loss_[0]
    assert model.score(test, truth) >= 0.9
    start = learn_bank(model._images(train), 4, radius=1, dilations=(1, 2, 4))
    assert np.abs(model.bank_.kernels - start.kernels).max() > 1e-3
    assert not model.bank_.kernels[:, 4, 4].any()
    assert ((model.bank_.kernels != 0) <= (start.kernels != 0)).all()


def test_gradients_reach_the_kernels():
    bank = learn_bank(np.random.default_rng(0).normal(size=(8, 16, 16)), 2, radius=1)
    network = ResidualNetwork(bank, 2).double().eval()
    x = torch.randn(3, 1, 16, 16, dtype=torch.float64, generator=torch.manual_seed(0))

    def features(kernels):
        return torch.func.functional_call(network, {"kernels": kernels}, (x,))

    assert torch.autograd.gradcheck(features, (network.kernels.detach().requires_grad_(),))


def test_the_network_sees_the_residual_of_the_bank(split):
    bank = learn_bank(split[0], 3, radius=1, dilations=(1, 2))
    network = ResidualNetwork(bank, 2).eval()
    patch = split[0][0]
    with torch.no_grad():
        log_energy = network.statistics(torch.as_tensor(patch)[None, None])[0, : len(bank)]
    expected = np.log((residual_maps(patch, bank, kind="residual") ** 2).mean(axis=(1, 2)))
    np.testing.assert_allclose(log_energy, expected, atol=1e-3)


def test_classes_keep_their_names_and_order(fitted, split):
    assert fitted.classes_.tolist() == ["brick", "grass", "gravel"]
    predicted = fitted.predict(split[2])
    assert predicted.shape == (60,)
    assert predicted[0] == fitted.classes_[fitted.predict_proba(split[2])[0].argmax()]


def test_brightness_and_contrast_are_no_cue(fitted, split):
    probabilities = fitted.predict_proba(split[2][::7])
    changed = fitted.predict_proba(split[2][::7] * 12 + 300)
    np.testing.assert_allclose(changed, probabilities, atol=2e-3)


def test_images_of_any_sizes_can_be_classified(fitted, split):
    images = [split[2][0], split[2][0][:20, :28], np.zeros((16, 16)), split[2][25]]
    assert fitted.predict(images)[[0, 3]].tolist() == ["brick", "grass"]


@pytest.mark.parametrize(
    "parameters", [{}, {"classifier": "svc"}, {"end_to_end": True, "epochs": 2}]
)
def test_a_loaded_classifier_predicts_the_same(split, tmp_path, parameters):
    train, labels, test, _ = split
    model = TextureClassifier(n_kernels=2, **parameters).fit(train, labels)
    loaded = TextureClassifier.load(model.save(tmp_path / "model"))
    np.testing.assert_allclose(loaded.predict_proba(test), model.predict_proba(test), atol=1e-6)
    assert loaded.get_params() == model.get_params()
    assert loaded.bank_.metadata == model.bank_.metadata
    with np.load(tmp_path / "model.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fiuU" for name in archive.files)


def test_another_file_is_refused(tmp_path, split):
    path = learn_bank(split[0], 2).save(tmp_path / "bank.npz")
    with pytest.raises(ValueError, match="not a texture classifier"):
        TextureClassifier.load(path)
    np.savez(tmp_path / "bad.npz", header=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not a texture classifier"):
        TextureClassifier.load(tmp_path / "bad.npz")
    with pytest.raises(FileNotFoundError):
        TextureClassifier.load(tmp_path / "nothing.npz")


def test_scikit_learn_can_clone_and_cross_validate(split):
    model = TextureClassifier(n_kernels=2, dilations=(1, 2))
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.set_params(seed=4).seed == 4
    scores = cross_val_score(model, split[0], split[1], cv=2)
    assert scores.shape == (2,)
    assert scores.min() > 0.8


def test_what_was_fitted_survives_a_cancelled_fit(fitted, split):
    before = fitted.predict_proba(split[2][:3])
    job = clone(fitted).fit_job(split[0], split[1])
    next(job)
    job.close()
    refit = fitted.fit_job(split[0], split[1])
    next(refit)
    refit.close()
    np.testing.assert_array_equal(fitted.predict_proba(split[2][:3]), before)


def test_the_seed_decides(split):
    models = [
        TextureClassifier(n_kernels=2, end_to_end=True, epochs=1, seed=5).fit(*split[:2])
        for _ in range(2)
    ]
    first, second = (model.predict_proba(split[2][:4]) for model in models)
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "y", "sentence"),
    [
        ({"classifier": "tree"}, np.arange(60) % 3, "classifier must be"),
        ({}, np.zeros(60, int), "only one class"),
        ({}, np.arange(3), "60 images but classes"),
        ({}, np.linspace(0, 1, 60), "whole numbers or text"),
        ({"classifier": "svc"}, np.arange(60) == 0, "at least two images of each"),
        ({"n_kernels": 0}, np.arange(60) % 3, "n_kernels must be"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(split, parameters, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        TextureClassifier(**{"n_kernels": 2, **parameters}).fit(split[0], y)


def test_end_to_end_needs_one_shape(split):
    images = [*split[0][:-1], split[0][-1][:20]]
    with pytest.raises(ValueError, match="images of one shape"):
        TextureClassifier(n_kernels=2, end_to_end=True).fit(images, split[1])


def test_predicting_before_fitting_is_refused(split):
    with pytest.raises(NotFittedError):
        TextureClassifier().predict(split[0])


def test_classes_may_come_as_objects(split, fitted):
    names = pd.Series(np.array(["brick", "grass", "gravel"])[split[1]], dtype=object)
    model = TextureClassifier(n_kernels=4).fit(split[0], names)
    np.testing.assert_array_equal(model.predict(split[2]), fitted.predict(split[2]))


def test_parameters_may_be_numbers_of_numpys(split, tmp_path):
    settings = {"n_kernels": np.int64(2), "seed": np.int32(1), "learning_rate": np.float32(0.01)}
    model = TextureClassifier(**settings).fit(split[0], split[1])
    again = TextureClassifier.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(split[2]), model.predict_proba(split[2]))


def test_brightness_is_no_cue_however_large(split, fitted):
    bright = split[2].astype(np.float64) + 1e8
    np.testing.assert_array_equal(fitted.predict(bright), fitted.predict(split[2]))


def test_one_image_of_each_class_is_refused_in_a_sentence(split):
    with pytest.raises(ValueError, match="one image of each class"):
        TextureClassifier(n_kernels=1, radius=1, dilations=(1,)).fit(split[0][::20], split[1][::20])
