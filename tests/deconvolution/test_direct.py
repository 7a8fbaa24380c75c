"""The direct inverse filters against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_convfact.deconvolution.direct import direct_filter, reflect_onto_torus

RNG = np.random.default_rng(0)


def circulant(psf: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Matrix of the periodic convolution, from its definition."""
    n = int(np.prod(shape))
    matrix = np.zeros((n, n))
    for column in range(n):
        unit = np.zeros(n)
        unit[column] = 1
        image = np.zeros(shape)
        for index in np.ndindex(psf.shape):
            shift = tuple(i - k // 2 for i, k in zip(index, psf.shape, strict=True))
            image += psf[index] * np.roll(unit.reshape(shape), shift, tuple(range(len(shape))))
        matrix[:, column] = image.ravel()
    return matrix


def periodic_gradient(shape: tuple[int, ...]) -> np.ndarray:
    """All forward differences, stacked; they go around the edges."""
    n = int(np.prod(shape))
    units = np.eye(n).reshape(n, *shape)
    differences = [np.roll(units, -1, axis + 1) - units for axis in range(len(shape))]
    return np.concatenate([difference.reshape(n, n).T for difference in differences])


def apply(image: np.ndarray, psf: np.ndarray, **options) -> np.ndarray:
    inverse = direct_filter(psf, image.shape, dtype=torch.float64, **options)
    return inverse.apply(torch.as_tensor(image)).numpy()


@pytest.mark.parametrize(
    ("shape", "psf_shape"),
    [((11,), (4,)), ((6, 7), (3, 4)), ((3, 4, 5), (2, 3, 2)), ((1, 8), (1, 3))],
)
@pytest.mark.parametrize("prior", ["identity", "gradient"])
def test_tikhonov_solves_the_normal_equations(shape, psf_shape, prior):
    psf = RNG.random(psf_shape)
    psf /= psf.sum()
    image = RNG.random(shape)
    K = circulant(psf, shape)
    L = np.eye(K.shape[0]) if prior == "identity" else periodic_gradient(shape)
    expected = np.linalg.solve(K.T @ K + 0.05 * L.T @ L, K.T @ image.ravel())
    estimate = apply(image, psf, boundary="periodic", prior=prior, strength=0.05)
    np.testing.assert_allclose(estimate.ravel(), expected, atol=1e-10)


def test_wiener_is_tikhonov_with_the_identity():
    image, psf = RNG.random((9, 8)), np.full((3, 3), 1 / 9)
    wiener = apply(image, psf, method="wiener", prior="gradient", strength=0.1)
    tikhonov = apply(image, psf, method="tikhonov", prior="identity", strength=0.1)
    np.testing.assert_array_equal(wiener, tikhonov)


@pytest.mark.parametrize(("length", "box"), [(20, 5), (21, 7), (12, 3), (16, 4)])
def test_a_box_has_no_spurious_gain(length, box):
    """Where a box's spectrum is zero up to round-off, nothing may come through."""
    psf = np.full(box, 1 / box)
    inverse = direct_filter(
        psf,
        (length,),
        method="pseudo-inverse",
        boundary="periodic",
        rcond=1e-6,
        dtype=torch.float64,
    )
    assert float(inverse.gain.abs().max()) < 100
    image = RNG.random(length)
    expected = np.linalg.pinv(circulant(psf, (length,)), rcond=1e-6) @ image
    np.testing.assert_allclose(inverse.apply(torch.as_tensor(image)).numpy(), expected, atol=1e-10)


def test_the_threshold_is_global():
    psf = np.array([0.25, 0.5, 0.25])
    inverse = direct_filter(
        psf, (64,), method="pseudo-inverse", boundary="periodic", rcond=0.2, dtype=torch.float64
    )
    transfer = 0.5 + 0.5 * np.cos(2 * np.pi * np.arange(33) / 64)
    expected = np.where(transfer > 0.2, 1 / np.maximum(transfer, 1e-300), 0)
    np.testing.assert_allclose(inverse.gain.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "psf_shape"), [((5,), (12,)), ((4, 6), (9, 3)), ((1, 1), (3, 3))]
)
def test_a_psf_larger_than_the_image_wraps(shape, psf_shape):
    psf = RNG.random(psf_shape)
    psf /= psf.sum()
    image = RNG.random(shape)
    K = circulant(psf, shape)
    expected = np.linalg.solve(K.T @ K + 0.1 * np.eye(len(K)), K.T @ image.ravel())
    estimate = apply(image, psf, method="wiener", boundary="periodic", strength=0.1)
    np.testing.assert_allclose(estimate.ravel(), expected, atol=1e-10)


@pytest.mark.parametrize("boundary", ["reflect", "zero"])
def test_padding_leaves_room_for_the_whole_psf(boundary):
    inverse = direct_filter(np.ones((31, 5)) / 155, (20, 40), boundary=boundary)
    assert inverse.torus_shape[0] >= 20 + 30
    assert inverse.torus_shape[1] >= 40 + 4


def test_the_gap_joins_both_reflections():
    image = torch.tensor([1.0, 2.0, 4.0])
    torus = reflect_onto_torus(image, (6,))
    # Next to the image mostly its own edge, in the middle half and half.
    expected = [1, 2, 4, 0.75 * 4 + 0.25 * 4, 0.5 * 2 + 0.5 * 2, 0.25 * 1 + 0.75 * 1]
    np.testing.assert_allclose(torus.numpy(), expected)


def test_the_gap_is_filled_along_every_axis():
    image = torch.as_tensor(RNG.random((2, 4, 5)))
    torus = reflect_onto_torus(image, (9, 16))
    rows = reflect_onto_torus(image.movedim(1, 2), (5, 9)).movedim(2, 1)
    np.testing.assert_allclose(torus[..., :5], rows)
    np.testing.assert_allclose(torus, reflect_onto_torus(rows, (9, 16)))
    assert bool((torus >= image.min()).all() and (torus <= image.max()).all())


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_the_gradient_prior_keeps_constants(boundary):
    image = np.full((13, 10), 7.0)
    estimate = apply(image, np.full((4, 3), 1 / 12), boundary=boundary, strength=10.0)
    np.testing.assert_allclose(estimate, image, atol=1e-10)


def test_one_filter_serves_many_images():
    images = RNG.random((3, 2, 12, 9))
    inverse = direct_filter(np.full((3, 3), 1 / 9), (12, 9), dtype=torch.float64)
    together = inverse.apply(torch.as_tensor(images)).numpy()
    for index in np.ndindex(3, 2):
        alone = inverse.apply(torch.as_tensor(images[index])).numpy()
        np.testing.assert_allclose(together[index], alone, atol=1e-13)
