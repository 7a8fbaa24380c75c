import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from skimage import data

from napari_convfact.convolution.convolve import convolve, convolve_job
from napari_convfact.convolution.named import named_bank
from napari_convfact.foundation.job import Step
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.kernels.shapes import gaussian

SCIPY_MODES = {"reflect": "reflect", "periodic": "wrap", "zero": "constant"}


@pytest.fixture(scope="module")
def camera():
    return data.camera()[::3, ::3][:, :160]


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("kernel_shape", [(3, 3), (4, 5), (1, 6), (9, 2)])
@pytest.mark.parametrize("boundary", SCIPY_MODES)
def test_equal_to_scipy(camera, boundary, kernel_shape):
    kernel = random(*kernel_shape)
    # scipy's origin of even kernels is k // 2 too: `origin=0` there.
    expected = scipy.ndimage.convolve(camera.astype(float), kernel, mode=SCIPY_MODES[boundary])
    ours = convolve(camera, kernel, boundary=boundary)
    assert ours.dtype == np.float32
    assert np.linalg.norm(ours - expected) <= 1e-5 * np.linalg.norm(expected)
    assert abs(ours - expected).max() <= 1e-5 * abs(expected).max()


@pytest.mark.parametrize("boundary", ["valid", "full"])
def test_equal_to_scipy_signal(camera, boundary):
    kernel = random(4, 7)
    expected = scipy.signal.convolve2d(camera.astype(float), kernel, mode=boundary)
    np.testing.assert_allclose(
        convolve(camera, kernel, boundary=boundary), expected, atol=1e-5 * abs(expected).max()
    )


@pytest.mark.parametrize("boundary", SCIPY_MODES)
def test_named_kernels_are_those_of_scipy(camera, boundary):
    image, mode = camera.astype(float), SCIPY_MODES[boundary]

    def check(ours, expected):
        np.testing.assert_allclose(ours, expected, atol=1e-5 * abs(expected).max())

    options = {"boundary": boundary}
    check(
        convolve(camera, "gaussian", sigma=2, **options),
        scipy.ndimage.gaussian_filter(image, 2, mode=mode),
    )
    check(
        convolve(camera, "box", size=5, **options),
        scipy.ndimage.uniform_filter(image, 5, mode=mode),
    )
    check(convolve(camera, "laplacian", **options), scipy.ndimage.laplace(image, mode=mode))
    sobel = np.stack([scipy.ndimage.sobel(image, axis, mode=mode) for axis in (0, 1)])
    check(convolve(camera, "sobel", **options), sobel)
    check(convolve(camera, "sobel", result="magnitude", **options), np.hypot(*sobel))


def test_named_kernels_in_three_dimensions():
    volume = random(9, 10, 11)
    for axis, ours in enumerate(convolve(volume, "sobel", ndim=3)):
        expected = scipy.ndimage.sobel(volume, axis)
        np.testing.assert_allclose(ours, expected, atol=1e-5 * abs(expected).max())
    expected = scipy.ndimage.laplace(volume)
    np.testing.assert_allclose(
        convolve(volume, "laplacian", ndim=3), expected, atol=1e-5 * abs(expected).max()
    )


def test_blur_and_sharpen_by_the_formula(camera):
    blurred = convolve(camera, "gaussian", sigma=3)
    expected = scipy.ndimage.gaussian_filter(camera.astype(float), 3)
    np.testing.assert_allclose(blurred, expected, atol=1e-5 * 255)
    difference = convolve(camera, "gaussian", sigma=3, result="difference")
    np.testing.assert_allclose(difference, camera - expected, atol=1e-5 * 255)
    sharpened = convolve(camera, "gaussian", sigma=3, result="sharpened", amount=1.5)
    np.testing.assert_allclose(sharpened, camera + 1.5 * (camera - expected), atol=1e-5 * 500)


def test_an_impulse_shows_the_kernel_and_not_its_mirror_image():
    kernel = random(3, 4)
    impulse = np.zeros((9, 9))
    impulse[4, 4] = 1
    response = convolve(impulse, kernel)
    np.testing.assert_allclose(response[3:6, 2:6], kernel, atol=1e-6)


def test_a_bank_has_a_layer_for_each_kernel(camera):
    kernels = random(5, 3, 3)
    layers = convolve(camera, KernelBank(kernels))
    assert layers.shape == (5, *camera.shape)
    for layer, kernel in zip(layers, kernels, strict=True):
        # The bank keeps float32.
        np.testing.assert_array_equal(layer, convolve(camera, kernel.astype(np.float32)))


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero", "valid", "full"])
@pytest.mark.parametrize("size", [(3, 4), (13, 12)])
def test_kernels_that_mix_channels(boundary, size):
    image, kernels = random(2, 3, 30, 25), random(4, 3, *size, seed=1)
    layers = convolve(image, KernelBank(kernels), boundary=boundary)
    assert layers.shape[:2] == (4, 2)
    for n, frame in np.ndindex(4, 2):
        expected = sum(
            convolve(image[frame, c], kernels[n, c], boundary=boundary) for c in range(3)
        )
        np.testing.assert_allclose(layers[n, frame], expected, atol=1e-5 * abs(expected).max())


def test_mixing_flips_what_torch_correlates():
    image, kernels = random(2, 12, 11), random(3, 2, 3, 3, seed=1)
    layers = convolve(image, KernelBank(kernels), boundary="valid")
    weights = torch.from_numpy(kernels[:, :, ::-1, ::-1].copy())
    expected = torch.nn.functional.conv2d(torch.from_numpy(image)[None], weights)[0].numpy()
    np.testing.assert_allclose(layers, expected, atol=1e-5)


def test_leading_axes_are_independent():
    movie = random(2, 3, 20, 21)
    together = convolve(movie, "gaussian")
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(together[index], convolve(movie[index], "gaussian"))


def test_normalized_kernels_keep_the_mean(camera):
    kernel = 7 * gaussian(1.5)
    result = convolve(camera, kernel, normalize=True, boundary="periodic")
    assert result.mean() == pytest.approx(camera.mean(), rel=1e-6)
    laplacian = convolve(camera, "laplacian", normalize=True)
    np.testing.assert_array_equal(laplacian, convolve(camera, "laplacian"))


def test_a_normalized_kernel_that_mixes_channels_keeps_the_shares_of_each():
    image, kernels = random(3, 12, 11), random(2, 3, 3, 3, seed=1)
    sums = kernels.sum(axis=(1, 2, 3))
    kernels[0] -= sums[0] / 27 - 0.1  # sums that are far from zero
    kernels[1] -= sums[1] / 27 + 0.2
    plain = convolve(image, KernelBank(kernels), boundary="periodic")
    ours = convolve(image, KernelBank(kernels), boundary="periodic", normalize=True)
    totals = kernels.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(ours, plain / totals[:, None, None], rtol=1e-4, atol=1e-5)
    grey = np.full((3, 12, 11), 5.0)
    np.testing.assert_allclose(convolve(grey, KernelBank(kernels), normalize=True), 5, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_magnitudes_of_any_size(size):
    image = random(30, 31)
    expected = np.hypot(scipy.ndimage.sobel(image, 0), scipy.ndimage.sobel(image, 1))
    ours = convolve(size * image, "sobel", result="magnitude")
    np.testing.assert_allclose(ours.astype(float) / size, expected, atol=1e-5)


@pytest.mark.parametrize("engine", ["fft", "fused"])
@pytest.mark.parametrize("result", ["filtered", "difference", "sharpened"])
@pytest.mark.parametrize("size", [1e-36, 1e37])
def test_float32_takes_images_of_any_size(size, result, engine):
    image = np.random.default_rng(0).random((64, 64))
    ours = convolve(size * image, "gaussian", result=result, engine=engine)
    blurred = scipy.ndimage.gaussian_filter(image, 1, truncate=4)
    expected = {
        "filtered": blurred,
        "difference": image - blurred,
        "sharpened": 2 * image - blurred,
    }[result]
    np.testing.assert_allclose(ours.astype(float) / size, expected, atol=1e-6)


def test_mixed_channels_have_no_value_where_one_of_them_has_none():
    image, bank = random(2, 3, 9, 10), KernelBank(random(4, 3, 3, 3, seed=1))
    image[0, 1, 2, 3] = np.nan
    layers = convolve(image, bank, missing="fill")
    expected = np.zeros((4, 2, 9, 10), bool)
    expected[:, 0, 2, 3] = True
    np.testing.assert_array_equal(np.isnan(layers), expected)
    magnitude = convolve(image, bank, missing="fill", result="magnitude")
    np.testing.assert_array_equal(np.isnan(magnitude), expected[0])


def test_float64_is_exact():
    image, kernel = random(30, 31), random(5, 4)
    expected = scipy.ndimage.convolve(image, kernel, mode="reflect")
    np.testing.assert_allclose(convolve(image, kernel, dtype="float64"), expected, atol=1e-12)


@pytest.mark.parametrize("engine", ["fft", "fused"])
@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_float64_takes_kernels_of_any_size(engine, size):
    image = random(12, 13)
    for kernel in (random(3, 5), np.outer(random(3), random(5, seed=1))):
        ours = convolve(image, size * kernel, dtype="float64", engine=engine)
        np.testing.assert_allclose(ours / size, scipy.ndimage.convolve(image, kernel), atol=1e-12)


def test_kernels_of_a_bank_that_died_out_do_not_stop_the_others():
    # Weight decay leaves subnormal numbers, as in published networks.
    bank = KernelBank(np.stack([np.full((3, 3), 1e-41), random(3, 3)]))
    image = random(9, 9)
    dead, alive = convolve(image, bank)
    np.testing.assert_allclose(dead, 0, atol=1e-38)
    np.testing.assert_allclose(alive, scipy.ndimage.convolve(image, bank.kernels[1]), atol=1e-5)


def test_missing_values_stay_missing(camera):
    image = camera.astype(float)
    image[10, 12] = np.nan
    result = convolve(image, "box", missing="fill")
    assert np.argwhere(np.isnan(result)).tolist() == [[10, 12]]
    with pytest.raises(ValueError, match="NaN"):
        convolve(image, "box")


def test_the_job_reports_each_kernel_and_frame(camera):
    job = convolve_job(np.stack([camera] * 2), KernelBank(random(3, 3, 3)))
    steps = []
    try:
        while True:
            steps.append(next(job))
    except StopIteration:
        pass
    assert [(step.done, step.total) for step in steps] == [(i, 6) for i in range(1, 7)]
    assert all(isinstance(step, Step) for step in steps)


def test_the_image_is_not_changed(camera):
    before = camera.copy()
    convolve(camera, "gaussian", result="sharpened")
    np.testing.assert_array_equal(camera, before)


def test_sobel_grows_with_the_index():
    ramp = np.tile(np.arange(9.0), (7, 1))
    along_y, along_x = convolve(ramp, "sobel")
    np.testing.assert_allclose(along_x[2:-2, 2:-2], 8, atol=1e-5)
    np.testing.assert_allclose(along_y[2:-2, 2:-2], 0, atol=1e-5)
    assert named_bank("sobel").names == ("sobel axis -2", "sobel axis -1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boundary": "mirror"}, "boundary must be one of"),
        ({"boundary": "extended"}, "boundary must be one of"),
        ({"result": "blurred"}, "result must be one of"),
        ({"result": "sharpened", "amount": np.nan}, "amount must be"),
        ({"missing": "ignore"}, "missing must be one of"),
        ({"ndim": 0}, "ndim must be"),
        ({"result": "sharpened", "boundary": "valid"}, "compares with the image"),
        ({"kernel": "median"}, "no kernel 'median'"),
        ({"kernel": np.zeros((2, 2, 2))}, "axes"),
        ({"kernel": np.ones((9, 9)), "boundary": "valid"}, "larger than the image"),
        ({"kernel": [[1, np.inf]]}, "infinite"),
        ({"kernel": [[1e39, 1]]}, "beyond what float32 holds"),
        ({"kernel": [[1e-300]]}, "beyond what float32 holds"),
        ({"sigma": -1}, "sigma"),
        ({"kernel": "box", "size": 4}, "odd"),
        ({"kernel": KernelBank(np.ones((2, 3, 3, 3)))}, "3 channels"),
        ({"image": np.zeros(4, dtype=complex)}, "complex"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        convolve(**{"image": np.ones((8, 8)), "kernel": "gaussian", **arguments})
