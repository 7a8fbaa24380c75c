import numpy as np
import pandas as pd
import pytest
import scipy.ndimage

from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture import features
from napari_convfact.texture.autoregression import fit_autoregression
from napari_convfact.texture.bank_errors import bank_errors
from napari_convfact.texture.bank_learning import learn_bank
from napari_convfact.texture.features import (
    GROUPS,
    residual_features,
    residual_features_job,
)


@pytest.fixture(scope="module")
def bank(texture_patches):
    return learn_bank(texture_patches[0], 3, radius=1, dilations=(1, 2))


def test_a_row_for_each_image_and_a_column_for_each_feature(texture_patches, bank):
    table = residual_features(texture_patches[0][:5], bank)
    assert table.index.name == "image"
    assert list(table.index) == [0, 1, 2, 3, 4]
    assert table.columns.is_unique
    assert np.isfinite(table.to_numpy()).all()
    for name in ("mae", "mse", "var", "log_mse", "skewness", "wins", "block_variation", "colour"):
        assert f"{bank.names[0]} {name}" in table
    for name in ("weight (0, 1)", "predictability dilation 4", "coherence dilation 1"):
        assert name in table


def test_energies_are_those_of_the_residual(texture_patches, bank):
    patch = texture_patches[0][3].astype(np.float64)
    table = residual_features(patch, bank)
    for name, kernel in zip(bank.names, bank.kernels, strict=True):
        residual = patch - scipy.ndimage.convolve(patch, kernel.astype(float), mode="reflect")
        assert table[f"{name} mse"][0] == pytest.approx(np.mean(residual**2), rel=1e-4)
        assert table[f"{name} mae"][0] == pytest.approx(np.mean(np.abs(residual)), rel=1e-4)


def test_energies_are_those_of_the_moments(texture_patches, bank):
    patches = texture_patches[0]
    table = residual_features(patches, bank, groups=("energy",))
    log_mse = table[[f"{name} log_mse" for name in bank.names]].to_numpy()
    # Moments remove the mean of each shifted window, the maps that of the image.
    expected = np.log(bank_errors(bank, patches, boundary="reflect"))
    np.testing.assert_allclose(log_mse, expected, atol=0.01)


def test_the_model_columns_are_the_exact_fit(texture_patches, bank):
    patch = texture_patches[0][30]
    table = residual_features(patch, bank, groups=("model",))
    fit = fit_autoregression(patch, dilations=(1, 2, 4), ridge=1e-4)
    np.testing.assert_allclose(table["weight (0, 1)"][0], fit.weights[0, 0, 3], atol=1e-6)
    np.testing.assert_allclose(table["predictability dilation 2"][0], fit.r2[0, 1], atol=1e-6)


def test_labels_have_the_features_of_their_pixels(texture_patches, bank):
    patch = texture_patches[0][0]
    labels = np.zeros((64, 64), np.uint16)
    labels[4:30, 6:40] = 7
    labels[35:60, 20:60] = 3
    table = residual_features(patch, bank, labels=labels)
    assert table.index.names == ["image", "label"]
    assert [label for _, label in table.index] == [3, 7]
    name = bank.names[1]
    centred = patch - np.mean([patch[labels == 7].mean(), patch[labels == 3].mean()])
    residual = centred - scipy.ndimage.convolve(centred, bank.kernels[1], mode="reflect")
    assert table.loc[(0, 7), f"{name} mse"] == pytest.approx(
        np.mean(residual[labels == 7] ** 2), rel=1e-3
    )
    alone = fit_autoregression(patch[4:30, 6:40], boundary="valid", ridge=1e-4)
    assert table.loc[(0, 7), "weight (0, 1)"] == pytest.approx(alone.weights[0, 3], abs=1e-6)


def test_the_order_and_the_names_of_labels_do_not_matter(texture_patches, bank):
    patch = texture_patches[0][0]
    labels = np.zeros((64, 64), int)
    labels[4:30, 6:40] = 1
    labels[35:60, 20:60] = -5
    first = residual_features(patch, bank, labels=labels)
    second = residual_features(patch, bank, labels=np.where(labels == 1, 900, labels * -1))
    np.testing.assert_allclose(first.loc[(0, 1)], second.loc[(0, 900)])
    np.testing.assert_allclose(first.loc[(0, -5)], second.loc[(0, 5)])


def test_a_label_of_one_pixel_has_energies_and_no_model(texture_patches, bank):
    labels = np.zeros((64, 64), int)
    labels[10, 10] = 1
    labels[20:50, 20:50] = 2
    table = residual_features(texture_patches[0][0], bank, labels=labels)
    one = table.loc[(0, 1)]
    assert np.isfinite(one[f"{bank.names[0]} mse"])
    assert np.isnan(one["predictability dilation 1"])
    assert np.isfinite(table.loc[(0, 2)].to_numpy()).all()


def test_images_smaller_than_the_models_have_rows(bank):
    table = residual_features(np.random.default_rng(0).normal(size=(7, 7)), bank)
    assert np.isfinite(table["predictability dilation 2"][0])
    assert np.isnan(table["predictability dilation 4"][0])


def test_a_constant_image_has_a_finite_row(bank):
    assert np.isfinite(residual_features(np.full((32, 32), 5.0), bank).to_numpy()).all()


def test_contrast_and_brightness_only_change_the_absolute_features(texture_patches, bank):
    patch = texture_patches[0][40]
    first, second = residual_features([patch, 7 * patch + 30], bank).to_numpy()
    columns = residual_features(patch, bank).columns
    relative = [not name.endswith((" mae", " mse", " var")) for name in columns]
    np.testing.assert_allclose(first[relative], second[relative], atol=5e-3)


def test_many_kernels_are_taken_in_parts(texture_patches, bank, monkeypatch):
    patch = texture_patches[0][7]
    whole = residual_features(patch, bank)
    monkeypatch.setattr(features, "_BLOCK", 2 * patch.size)
    # float32 sums in another order.
    np.testing.assert_allclose(residual_features(patch, bank), whole, rtol=1e-4, atol=1e-6)


def test_wins_add_up_to_one(texture_patches, bank):
    table = residual_features(texture_patches[0][:3], bank, groups=("usage",))
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)


def test_stripes_are_coherent_and_point_along_themselves(bank):
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(64, 1)), 64, axis=1) + 0.1 * rng.normal(size=(64, 64))
    table = residual_features([rows, rows.T], bank, groups=("anisotropy",))
    assert table["coherence dilation 1"].min() > 0.5
    # Along a row the pixels predict each other.
    assert table["along_x dilation 1"][0] > 0.5
    assert table["along_x dilation 1"][1] < -0.5


def test_volumes_and_their_labels():
    rng = np.random.default_rng(0)
    bank = KernelBank(rng.normal(size=(2, 3, 3, 3)), ndim=3)
    labels = np.zeros((12, 14, 13), int)
    labels[2:10, 2:12, 2:11] = 4
    table = residual_features(rng.normal(size=(12, 14, 13)), bank, labels=labels, dilations=(1,))
    assert np.isfinite(table.to_numpy()).all()
    assert "along_x dilation 1" not in table


def test_the_table_goes_to_csv_and_back(texture_patches, bank, tmp_path):
    table = residual_features(texture_patches[0][:2], bank)
    table.to_csv(tmp_path / "features.csv")
    back = pd.read_csv(tmp_path / "features.csv", index_col="image")
    np.testing.assert_allclose(back, table, rtol=1e-5)


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_can_be_had_alone(texture_patches, bank, group):
    table = residual_features(texture_patches[0][0], bank, groups=(group,))
    whole = residual_features(texture_patches[0][0], bank)
    np.testing.assert_allclose(table, whole[table.columns])


def test_the_job_reports_each_shape(texture_patches, bank):
    patch = texture_patches[0][0]
    steps = list(residual_features_job([patch, patch, patch[:40], patch[:50]], bank))
    started = [step.done for step in steps if step.message == "Features of textures"]
    assert started == [0, 2, 3]


def test_a_stack_has_the_rows_of_its_images(texture_patches, bank):
    patches = texture_patches[0][::15]
    together = residual_features(patches, bank)
    for index, patch in enumerate(patches):
        alone = residual_features(patch, bank).loc[0]
        # float32 sums in another order.
        np.testing.assert_allclose(together.loc[index], alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"groups": ("moments",)}, "groups must be some of"),
        ({"groups": ()}, "groups must be some of"),
        ({"blocks": (0, 4)}, "blocks must be"),
        ({"labels": np.zeros((64, 64))}, "whole numbers"),
        ({"labels": np.zeros((64, 64), int)}, "no label besides 0"),
        ({"labels": np.ones((3, 64, 64), int)}, "3 label images for 1"),
        ({"labels": np.ones((32, 64), int)}, "shape of label image"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(texture_patches, bank, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        residual_features(texture_patches[0][0], bank, **arguments)


@pytest.mark.parametrize("factor", [1e-25, 1e-10, 1e10, 1e25])
def test_only_energies_follow_the_contrast(texture_patches, bank, factor):
    patch = texture_patches[0][7]
    table = residual_features(patch, bank)
    scaled = residual_features(patch * np.float32(factor), bank)
    for name in table:
        power = {"mae": 1, "mse": 2, "var": 2}.get(name.split()[-1], 0)
        expected = table[name][0] * factor**power
        assert scaled[name][0] == pytest.approx(expected, rel=1e-3, abs=1e-3 * factor**power)


def test_a_small_texture_on_a_large_offset_keeps_its_features(texture_patches, bank):
    patch = texture_patches[0][7].astype(np.float64)
    found = residual_features(1e7 + 0.01 * patch, bank, groups=("energy", "shape", "whiteness"))
    expected = residual_features(0.01 * patch, bank, groups=("energy", "shape", "whiteness"))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_label_without_any_value_has_no_features_and_no_influence(texture_patches, bank):
    patch = texture_patches[0][7] + 1000
    labels = np.zeros(patch.shape, int)
    labels[:32], labels[50:, 50:] = 1, 2
    expected = residual_features(patch, bank, labels=np.where(labels == 1, 1, 0))
    patch = np.where(labels == 2, np.nan, patch)
    found = residual_features(patch, bank, labels=labels)
    assert found.loc[(0, 2)].isna().all()
    # The residuals near a hole see what it was filled with; label 1 is far from it.
    np.testing.assert_allclose(found.loc[(0, 1)], expected.loc[(0, 1)], atol=1e-3)
