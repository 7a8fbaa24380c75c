import numpy as np
import pytest
import scipy.ndimage

from napari_convfact.foundation.job import run
from napari_convfact.texture import windows
from napari_convfact.texture.images import TextureImage, texture_images
from napari_convfact.texture.measure import image_moments, moments_job
from napari_convfact.texture.support import make_support
from napari_convfact.texture.windows import label_moments


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def dense_moments(image, support, boundary):
    """Mean and scatter from a matrix with a row for each window, written out."""
    offsets = [(0,) * support.ndim, *map(tuple, support.offsets)]
    modes = {"periodic": "wrap", "reflect": "symmetric", "valid": "wrap"}
    reach = [(r, r) for r in support.reach]
    padded = np.stack([np.pad(channel, reach, mode=modes[boundary]) for channel in image])
    columns = []
    for offset in offsets:
        for channel in padded:
            window = tuple(
                slice(r + d, r + d + n)
                for r, d, n in zip(support.reach, offset, image.shape[1:], strict=True)
            )
            values = channel[window]
            if boundary == "valid":
                inner = zip(support.reach, values.shape, strict=True)
                values = values[tuple(slice(r, n - r) for r, n in inner)]
            columns.append(values.ravel())
    rows = np.stack(columns)
    mean = rows.mean(axis=1)
    return mean, (rows - mean[:, None]) @ (rows - mean[:, None]).T


CASES = [
    ((1, 13, 17), (1, 1), 1),
    ((1, 12, 16), (2, 1), 1),
    ((1, 20, 22), (1, 1), 4),
    ((3, 12, 15), (1, 2), 1),
    ((1, 9, 8, 10), (1, 1, 1), 2),
    ((2, 8, 9, 7), (1, 0, 1), 1),
    ((1, 40), (3,), 1),
]


@pytest.mark.parametrize("boundary", ["periodic", "valid", "reflect"])
@pytest.mark.parametrize(("shape", "radius", "dilation"), CASES)
def test_moments_equal_those_of_a_matrix_of_windows(rng, shape, radius, dilation, boundary):
    image = rng.normal(size=shape) + 3
    support = make_support(radius, dilation, len(shape) - 1, shape[0])
    moments = image_moments([TextureImage(image)], support, boundary=boundary)
    mean, scatter = dense_moments(image, support, boundary)
    # float64 throughout: rounding only.
    np.testing.assert_allclose(moments.mean[0], mean, atol=1e-10)
    np.testing.assert_allclose(moments.scatter[0], scatter, atol=1e-9)
    assert moments.weight[0] == moments.scatter[0].size / len(mean) ** 2 * (
        np.prod([n - 2 * r for n, r in zip(shape[1:], support.reach, strict=True)])
        if boundary == "valid"
        else np.prod(shape[1:])
    )


def test_float32_images_lose_nothing_that_matters(rng):
    image = scipy.ndimage.gaussian_filter(rng.normal(size=(64, 64)), 1.5) * 100 + 20000
    support = make_support(1, 1, 2)
    single = image.astype(np.float32)[None]
    exact = image_moments([TextureImage(single.astype(np.float64))], support)
    rounded = image_moments([TextureImage(single)], support)
    scale = exact.scatter.max()
    assert np.abs(rounded.scatter - exact.scatter).max() < 1e-6 * scale


@pytest.mark.parametrize("radius", [1, 2])
def test_tiles_with_a_halo_add_up_to_the_whole(rng, radius):
    image = rng.normal(size=(1, 60, 50)) + np.linspace(0, 5, 60)[:, None]
    support = make_support(radius, 2, 2)
    halo = 2 * radius
    whole = image_moments([TextureImage(image)], support, boundary="valid")
    tiles = [
        image[:, max(top - halo, 0) : top + 20 + halo, max(left - halo, 0) : left + 25 + halo]
        for top in (0, 20, 40)
        for left in (0, 25)
    ]
    first, *rest = [
        image_moments([TextureImage(tile)], support, boundary="valid") for tile in tiles
    ]
    total = sum(rest, start=first)
    np.testing.assert_allclose(total.weight, whole.weight)
    np.testing.assert_allclose(total.mean, whole.mean, atol=1e-12)
    np.testing.assert_allclose(total.scatter, whole.scatter, atol=1e-10 * whole.scatter.max())


def test_windows_are_gathered_in_parts(rng, monkeypatch):
    image, support = [TextureImage(rng.normal(size=(1, 20, 30)))], make_support(1, 1, 2)
    whole = image_moments(image, support, boundary="valid")
    monkeypatch.setattr(windows, "_BLOCK", 500)
    parts = image_moments(image, support, boundary="valid")
    np.testing.assert_allclose(parts.scatter, whole.scatter, atol=1e-10)


@pytest.mark.parametrize("boundary", ["periodic", "valid", "zero", "reflect"])
def test_a_mask_leaves_out_the_windows_it_touches(rng, boundary):
    image = rng.normal(size=(12, 14))
    mask = rng.random((12, 14)) > 0.1
    support = make_support(1, 1, 2)
    spoiled = np.where(mask, image, 1e6)
    moments = image_moments(texture_images(spoiled, mask=mask), support, boundary=boundary)
    edge = "wrap" if boundary == "periodic" else "reflect"
    beyond = {"valid": "constant", "zero": "constant"}.get(boundary, edge)
    whole = scipy.ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=boundary == "zero")
    if beyond != "constant":
        whole = scipy.ndimage.minimum_filter(mask, 3, mode=edge)
    assert moments.weight[0] == whole.sum()
    inside = image[whole]
    if boundary != "zero":
        np.testing.assert_allclose(moments.c[0, 0], inside.var(), rtol=1e-9)


def test_missing_pixels_count_as_masked(rng):
    image = rng.normal(size=(20, 20))
    mask = rng.random((20, 20)) > 0.05
    support = make_support(1, 1, 2)
    holes = texture_images(np.where(mask, image, np.nan))
    masked = texture_images(image, mask=mask)
    np.testing.assert_allclose(
        image_moments(holes, support).A, image_moments(masked, support).A, atol=1e-10
    )


def test_whole_number_weights_repeat_their_windows(rng):
    image = rng.normal(size=(10, 12))
    weight = rng.integers(1, 4, size=(10, 12))
    support = make_support(1, 1, 2)
    moments = image_moments(texture_images(image, mask=weight), support, boundary="valid")
    offsets = [(0, 0), *map(tuple, support.offsets)]
    rows = np.stack([image[1 + y : 9 + y, 1 + x : 11 + x].ravel() for y, x in offsets])
    repeated = np.repeat(rows, weight[1:-1, 1:-1].ravel(), axis=1)
    covariance = np.cov(repeated, bias=True)
    np.testing.assert_allclose(moments.A[0], covariance[1:, 1:], atol=1e-10)
    np.testing.assert_allclose(moments.b[0, :, 0], covariance[1:, 0], atol=1e-10)


def test_label_moments_are_those_of_the_windows_inside_each_label(rng):
    image = rng.normal(size=(30, 30))
    labels = np.zeros((30, 30), int)
    labels[2:14, 3:20] = 4
    labels[14:28, 5:25] = 9
    labels[0, 0] = 2
    support = make_support(1, 1, 2)
    moments = label_moments(TextureImage(image[None]), labels, [2, 4, 9], support)
    for row, value in ((1, 4), (2, 9)):
        alone = image_moments(
            texture_images(image, mask=labels == value), support, boundary="valid"
        )
        np.testing.assert_allclose(moments.weight[row], alone.weight[0])
        np.testing.assert_allclose(moments.A[row], alone.A[0], atol=1e-12)
    assert moments.weight[0] == 0
    assert not moments.A[0].any()


@pytest.mark.parametrize("tie", ["full", "symmetric", "ring", "causal"])
def test_the_closed_form_error_is_that_of_the_convolution(rng, tie):
    image = rng.normal(size=(40, 33))
    support = make_support((2, 1), 2, 2)
    moments = image_moments([TextureImage(image[None])], support)
    matrix = support.tie_matrix(tie)
    weights = matrix @ rng.normal(size=(matrix.shape[1], 3))
    kernels = support.kernels(weights.T)[:, 0]
    centred = image - image.mean()
    residuals = [
        centred - scipy.ndimage.convolve(centred, kernel, mode="wrap") for kernel in kernels
    ]
    expected = [np.mean(residual**2) for residual in residuals]
    error = moments.error(weights.T[..., None])[0, :, 0]
    np.testing.assert_allclose(error, expected, rtol=1e-10)


def test_the_errors_of_3x3_kernels_have_rank_13(rng):
    # They are linear in the autocorrelation, which has 13 distinct lags up to (2, 2).
    images = rng.normal(size=(40, 64, 64))
    moments = run(
        moments_job(
            texture_images(images), make_support(1, 1, 2), boundary="periodic", device="cpu"
        )
    )
    errors = moments.error(rng.normal(size=(64, 8, 1)))[..., 0]
    singular = np.linalg.svd(errors, compute_uv=False)
    assert singular[12] / singular[0] > 1e-5
    assert singular[13] / singular[0] < 1e-13


def test_weights_come_back_out_of_kernels(rng):
    support = make_support((1, 2), 3, 2, channels=2)
    weights = rng.normal(size=(4, support.size))
    kernels = support.kernels(weights)
    assert kernels.shape == (4, 2, 7, 13)
    np.testing.assert_array_equal(support.weights(kernels), weights)


def test_ties_hold_each_neighbour_once():
    support = make_support(2, 1, 2)
    assert support.tie_matrix("full").shape == (24, 24)
    assert support.tie_matrix("symmetric").shape == (24, 12)
    assert support.tie_matrix("ring").shape == (24, 5)
    assert support.tie_matrix("causal").shape == (24, 12)
    for tie in ("full", "symmetric", "ring"):
        assert (support.tie_matrix(tie).sum(axis=1) == 1).all()
    assert make_support(4, 1, 2).tie_matrix("ring").shape[1] == 14


def test_moments_of_different_neighbourhoods_do_not_add(rng):
    image = [TextureImage(rng.normal(size=(1, 20, 20)))]
    with pytest.raises(ValueError, match="different neighbourhoods"):
        image_moments(image, make_support(1, 1, 2)) + image_moments(image, make_support(2, 1, 2))
