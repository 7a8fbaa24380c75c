import numpy as np
import pytest
import torch
from skimage import data

from napari_convfact.convolution.convolve import convolve
from napari_convfact.convolution.feature_maps import feature_maps
from napari_convfact.foundation.job import run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.operations.convolve import OPERATION
from napari_convfact.operations.convolve_parameters import Convolve
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.placement import placed


@pytest.fixture(scope="module")
def camera():
    return SpatialImage(data.camera()[::8, ::8], "camera", (0.5, 0.5), ("um", "um"))


@pytest.fixture(scope="module")
def picture():
    return SpatialImage(data.astronaut()[::8, ::8], "astronaut", rgb=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    stack = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3, padding=1),
        torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(5, 2, 3, padding=1),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("network") / "stack.pt"
    torch.save(stack.state_dict(), path)
    return path


def result(image, kernel=None, **parameters):
    inputs = {"image": image} if kernel is None else {"image": image, "kernel": kernel}
    (only,) = run(OPERATION.job(inputs, Convolve(**parameters)))
    return only


def test_a_gaussian_is_the_default(camera):
    ours = result(camera)
    np.testing.assert_array_equal(ours.data, convolve(camera.data, "gaussian", sigma=2))
    assert ours.name == "camera convolved"
    assert ours.summary["kernel"] == "gaussian"


def test_a_kernel_layer_is_used_where_there_is_one(camera):
    kernel = np.random.default_rng(0).random((1, 3, 5))
    ours = result(camera, SpatialImage(kernel, "kernel"), normalize=True)
    expected = convolve(camera.data, kernel[0] / kernel.sum())
    np.testing.assert_allclose(ours.data, expected, atol=1e-4)
    by_name = result(camera, SpatialImage(kernel, "kernel"), kind="box")
    np.testing.assert_array_equal(by_name.data, convolve(camera.data, "box"))


def test_a_stack_of_kernels_gives_a_stack(camera):
    kernels = np.random.default_rng(0).random((4, 3, 3))
    ours = result(camera, SpatialImage(kernels, "kernels"), stack=True)
    np.testing.assert_array_equal(ours.data, convolve(camera.data, KernelBank(kernels)))
    image = placed(ours, {"image": camera})
    assert image.axis_labels[0] == "kernel"
    assert image.scale == (1, 0.5, 0.5)


def test_kernels_of_a_movie_suit_its_frames(camera):
    kernels = np.random.default_rng(0).random((4, 1, 3, 3))
    ours = result(camera, SpatialImage(kernels, "kernels"), stack=True)
    np.testing.assert_array_equal(ours.data, convolve(camera.data, KernelBank(kernels[:, 0])))


def test_sharpening_and_edges(camera):
    ours = result(camera, result="sharpened", amount=2.0, sigma=1.5)
    expected = convolve(camera.data, "gaussian", sigma=1.5, result="sharpened", amount=2)
    np.testing.assert_array_equal(ours.data, expected)
    assert ours.name == "camera sharpened"
    assert result(camera, kind="sobel").leading_axes == ("kernel",)
    edges = result(camera, kind="sobel", result="magnitude")
    assert edges.data.shape == camera.data.shape
    assert edges.leading_axes == ()


def test_colours_stay_colours(picture):
    ours = result(picture, kind="box", size=5)
    assert ours.rgb
    assert ours.data.dtype == np.uint8
    green = convolve(picture.data[..., 1], "box", size=5)
    np.testing.assert_array_equal(ours.data[..., 1], np.rint(green))
    assert " % were clipped." in ours.summary["message"]
    difference = result(picture, result="difference")
    assert not difference.rgb
    assert difference.leading_axes == ("colour",)
    assert difference.data.shape == (3, 64, 64)


def test_alpha_is_kept(picture):
    alpha = np.arange(64 * 64).reshape(64, 64, 1) % 256
    with_alpha = SpatialImage(
        np.concatenate([picture.data, alpha.astype(np.uint8)], axis=-1), rgb=True
    )
    ours = result(with_alpha)
    np.testing.assert_array_equal(ours.data[..., 3:], alpha)
    np.testing.assert_array_equal(ours.data[..., :3], result(picture).data)


def test_volumes_in_colour_are_filtered_in_space(picture):
    kernel = np.random.default_rng(0).standard_normal((3, 3, 3))
    volume = np.stack([picture.data, picture.data[::-1], picture.data[:, ::-1]]).astype(np.float32)
    ours = result(SpatialImage(volume, rgb=True), SpatialImage(kernel, "kernel"))
    assert ours.rgb
    for colour in range(3):
        alone = convolve(np.ascontiguousarray(volume[..., colour]), kernel)
        np.testing.assert_allclose(ours.data[..., colour], alone, atol=1e-3)


def test_kernels_of_a_network(picture, camera, checkpoint):
    bank = KernelBank.from_checkpoint(checkpoint)
    ours = result(picture, kind="file", file=str(checkpoint))
    expected = convolve(np.moveaxis(picture.data, -1, 0), bank)
    np.testing.assert_array_equal(ours.data, expected)
    assert ours.leading_axes == ("kernel",)
    assert "flipped" in ours.summary["message"]
    grey = result(camera, kind="file", file=str(checkpoint))
    np.testing.assert_allclose(grey.data, convolve(np.stack([camera.data] * 3), bank), atol=1e-3)
    movie = SpatialImage(np.stack([camera.data] * 2))
    np.testing.assert_array_equal(
        result(movie, kind="file", file=str(checkpoint)).data[:, 1], grey.data
    )
    one = result(camera, kind="file", file=str(checkpoint), layer="2", channels="3")
    kernels = KernelBank.from_checkpoint(checkpoint, "2", channels=3)
    np.testing.assert_array_equal(one.data, convolve(camera.data, kernels))


def test_a_bank_file(camera, tmp_path):
    bank = KernelBank(np.random.default_rng(0).random((3, 5, 5)), ("a", "b", "c"))
    path = bank.save(tmp_path / "bank.npz")
    ours = result(camera, kind="file", file=str(path))
    np.testing.assert_array_equal(ours.data, convolve(camera.data, bank))
    assert ours.summary["kernels"] == ["a", "b", "c"]


def test_feature_maps_of_a_network(picture, checkpoint):
    ours = result(picture, kind="file", file=str(checkpoint), depth=6, scaling="unit")
    expected = feature_maps(np.moveaxis(picture.data, -1, 0), checkpoint, 6, scaling="unit")
    np.testing.assert_array_equal(ours.data, expected.maps)
    assert ours.scale == (1, 2, 2)
    assert ours.leading_axes[0] == "feature"
    assert ours.summary["stride"] == 2


def test_feature_maps_of_a_movie(camera, checkpoint):
    movie = SpatialImage(np.stack([camera.data, camera.data[::-1]]), scale=(3.0, 0.5, 0.5))
    ours = result(movie, kind="file", file=str(checkpoint), depth=5)
    assert ours.data.shape == (5, 2, 32, 32)
    assert ours.scale == (1, 3, 1, 1)
    np.testing.assert_array_equal(ours.data[:, 0], feature_maps(camera.data, checkpoint, 5).maps)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "file"}, "Choose the file"),
        ({"kind": "file", "file": "none.npz"}, "no file none.npz"),
        ({"ndim": 3}, "set the dimensions"),
        ({"kind": "box", "size": 4}, "odd"),
    ],
)
def test_bad_parameters(camera, parameters, message):
    with pytest.raises(ValueError, match=message):
        result(camera, **parameters)


def test_kernels_that_do_not_fit(camera):
    with pytest.raises(ValueError, match="kernel needs one to that many"):
        result(camera, SpatialImage(np.ones((3, 3, 3)), "cube"))
    with pytest.raises(ValueError, match="one to that many, or tick Stack of kernels"):
        result(camera, SpatialImage(np.ones((2, 3, 3)), "two"))
    with pytest.raises(ValueError, match=r"one to that many\.$"):
        result(camera, SpatialImage(np.ones((2, 2, 3, 3)), "four"))
    with pytest.raises(ValueError, match="colour image"):
        result(camera, SpatialImage(np.ones((3, 3, 3)), "rgb", rgb=True))


def test_the_plan_says_what_will_happen(camera):
    kernel = SpatialImage(np.ones((5, 3)), "k")
    text = OPERATION.plan({"image": camera, "kernel": kernel}, Convolve()).text
    assert text.startswith("Kernel 5 × 3. ")
    assert OPERATION.plan({"image": camera}, Convolve(kind="sobel")).memory > 0
