import numpy as np
import pytest
import scipy.stats
import torch

from napari_convfact.texture import statistics


@pytest.fixture
def residual():
    rng = np.random.default_rng(0)
    return rng.gamma(2.0, size=(3, 40, 30)).astype(np.float32) - 1.5


def flat_weight(shape):
    return torch.full(shape, 1 / np.prod(shape))


def test_energies_are_the_plain_means(residual):
    values = statistics.energies(
        torch.as_tensor(residual), flat_weight((40, 30)), torch.tensor(2.0)
    )
    np.testing.assert_allclose(values["mae"], np.abs(residual).mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(values["mse"], (residual**2).mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(values["var"], residual.var(axis=(1, 2)), rtol=1e-5)
    expected = np.log((residual**2).mean(axis=(1, 2)) / 2)
    np.testing.assert_allclose(values["log_mse"], expected, atol=1e-5)


def test_the_shape_is_that_of_scipy(residual):
    values = statistics.shape(torch.as_tensor(residual), flat_weight((40, 30)))
    rows = residual.reshape(3, -1)
    np.testing.assert_allclose(values["skewness"], scipy.stats.skew(rows, axis=1), rtol=1e-4)
    np.testing.assert_allclose(values["kurtosis"], scipy.stats.kurtosis(rows, axis=1), rtol=1e-3)
    scaled = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    # The nearest of 1200 sorted values.
    np.testing.assert_allclose(values["quantile_95"], np.quantile(scaled, 0.95, axis=1), atol=0.02)
    np.testing.assert_allclose(values["mae_ratio"], np.abs(scaled).mean(axis=1), rtol=1e-4)


def test_a_weight_selects_pixels(residual):
    inside = np.zeros((40, 30), dtype=bool)
    inside[5:20, 3:17] = True
    weight = torch.as_tensor(inside / inside.sum(), dtype=torch.float32)
    whole = statistics.shape(torch.as_tensor(residual), weight)
    cropped = statistics.shape(
        torch.as_tensor(residual[:, 5:20, 3:17].copy()), flat_weight((15, 14))
    )
    for name, value in cropped.items():
        np.testing.assert_allclose(whole[name], value, atol=1e-4)


def test_whiteness_is_the_autocorrelation():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(1, 200, 201)).astype(np.float32)
    moving = noise[:, :, 1:] + 0.5 * noise[:, :, :-1]
    values = statistics.whiteness(torch.as_tensor(moving), flat_weight(moving.shape[1:]))
    # 0.5 / (1 + 0.25); estimates scatter by 1/200.
    assert values["autocorrelation_0_1"].item() == pytest.approx(0.4, abs=0.02)
    assert values["autocorrelation_1_0"].item() == pytest.approx(0, abs=0.02)
    assert values["colour"].item() == pytest.approx(0.16, abs=0.03)
    assert statistics.short_lags(2) == [(0, 1), (1, -1), (1, 0), (1, 1)]
    assert len(statistics.short_lags(3)) == 9


@pytest.mark.parametrize("blocks", [(4, 4), (3, 7), (100, 1)])
def test_blocks_cover_the_image_once(residual, blocks):
    values = statistics.heterogeneity(torch.as_tensor(residual), flat_weight((40, 30)), blocks)
    counts = np.minimum(blocks, (40, 30))
    edges = [
        [-(-n * i // count) for i in range(count)]
        for n, count in zip((40, 30), counts, strict=True)
    ]
    sizes = np.add.reduceat(np.add.reduceat(np.ones((40, 30)), edges[0], 0), edges[1], 1)
    sums = np.add.reduceat(np.add.reduceat(residual**2, edges[0], 1), edges[1], 2)
    means = (sums / sizes).reshape(3, -1)
    expected = means.std(axis=1) / means.mean(axis=1)
    np.testing.assert_allclose(values["block_variation"], expected, rtol=1e-4)


def test_even_energy_has_no_block_variation():
    e = torch.ones(1, 16, 16)
    assert statistics.heterogeneity(e, flat_weight((16, 16)), (4, 4))["block_variation"] < 1e-6
    e[:, :8] = 3
    # Blocks have energies 9 and 1: the standard deviation is 4, the mean 5.
    values = statistics.heterogeneity(e, flat_weight((16, 16)), (4, 4))
    assert values["block_variation"].item() == pytest.approx(0.8, rel=1e-5)


def test_nothing_is_infinite_where_there_is_nothing():
    e, weight = torch.zeros(2, 8, 8), flat_weight((8, 8))
    for values in (
        statistics.energies(e, weight, torch.tensor(0.0)),
        statistics.shape(e, weight),
        statistics.whiteness(e, weight),
        statistics.heterogeneity(e, weight, (4, 4)),
    ):
        for value in values.values():
            assert torch.isfinite(value).all()
