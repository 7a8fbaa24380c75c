import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_convfact.convolution.convolve import convolve
from napari_convfact.convolution.feature_maps import feature_maps
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.kernels.checkpoints import bank_from_checkpoint, list_convolutions


class SmallVgg(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 5, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(5, 4, 5, padding=2),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(nn.Linear(8, 2))

    def forward(self, x):
        return self.features(x)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SmallVgg().eval()


@pytest.fixture(scope="module", params=["safetensors", "torch", "wrapped"])
def checkpoint(request, network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / f"small.{request.param}"
    weights = network.state_dict()
    if request.param == "safetensors":
        save_file(weights, path)
    elif request.param == "torch":
        torch.save(weights, path)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, path)
    return path


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).standard_normal((3, 22, 27)).astype(np.float32)


def test_the_convolutions_are_listed(checkpoint):
    layers = list_convolutions(checkpoint)
    assert [(layer.name, layer.shape) for layer in layers] == [
        ("features.0", (6, 3, 3, 3)),
        ("features.2", (5, 6, 3, 3)),
        ("features.5", (4, 5, 5, 5)),
    ]
    assert str(layers[0]) == "features.0: 6 kernels of 3 x 3 x 3"


def test_the_bank_gives_what_the_layer_gives(checkpoint, network, image):
    bank = KernelBank.from_checkpoint(checkpoint)
    layer = network.features[0]
    with torch.no_grad():
        expected = layer(torch.from_numpy(image)[None])[0] - layer.bias[:, None, None]
    layers = convolve(image, bank, boundary="zero")
    np.testing.assert_allclose(layers, expected.numpy(), atol=1e-5)
    assert bank.names[1] == "features.0 [1]"
    assert "flipped" in bank.metadata["note"]
    assert bank.metadata["layers"][1].startswith("features.2: 5 kernels")


def test_a_deeper_layer_by_name(checkpoint, network):
    bank = KernelBank.from_checkpoint(checkpoint, "features.5")
    weights = network.features[5].weight.detach().numpy()
    np.testing.assert_array_equal(bank.kernels, weights[:, :, ::-1, ::-1])


def test_channels_by_mean_or_one_slice(checkpoint, image):
    whole = bank_from_checkpoint(checkpoint)
    mean = bank_from_checkpoint(checkpoint, channels="mean")
    np.testing.assert_allclose(mean.kernels, whole.kernels.mean(axis=1), atol=1e-7)
    slices = [bank_from_checkpoint(checkpoint, channels=c) for c in range(3)]
    of_slices = sum(convolve(image[c], slices[c]) for c in range(3))
    np.testing.assert_allclose(of_slices, convolve(image, whole), atol=1e-5)
    # A grey image is the same in all channels.
    np.testing.assert_allclose(
        3 * convolve(image[0], mean), convolve(np.stack([image[0]] * 3), whole), atol=1e-5
    )


@pytest.mark.parametrize("depth", range(1, 8))
def test_feature_maps_are_those_of_torch(checkpoint, network, image, depth):
    with torch.no_grad():
        expected = network.features[:depth](torch.from_numpy(image)[None])[0].numpy()
    result = feature_maps(image, checkpoint, depth)
    np.testing.assert_allclose(result.maps, expected, atol=1e-5)
    assert result.stride == (2 if depth >= 5 else 1)
    kinds = ["convolution", "ReLU", "convolution", "ReLU", "pooling", "convolution", "ReLU"]
    assert result.modules == tuple(f"features.{i} ({kind})" for i, kind in enumerate(kinds[:depth]))
    assert result.layer == result.modules[-1]


def test_feature_maps_end_after_the_first_relu_by_default(checkpoint, image):
    assert feature_maps(image, checkpoint).layer == "features.1 (ReLU)"


def test_feature_maps_with_normalization_in_three_dimensions(tmp_path):
    torch.manual_seed(1)
    stack = nn.Sequential(
        nn.Conv3d(1, 3, 3, padding=1), nn.BatchNorm3d(3), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(3, 2, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    stack[1].running_mean.uniform_()
    stack[1].running_var.uniform_(0.5, 2)
    path = tmp_path / "stack.pt"
    torch.save(stack.state_dict(), path)
    volume = np.random.default_rng(2).standard_normal((8, 9, 10)).astype(np.float32)
    with torch.no_grad():
        expected = stack.eval()(torch.from_numpy(volume)[None, None])[0].numpy()
    np.testing.assert_allclose(feature_maps(volume, path, 6).maps, expected, atol=1e-5)


def test_input_scaling(checkpoint):
    pixels = np.random.default_rng(3).integers(0, 256, (3, 12, 14)).astype(np.uint8)
    mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
    deviation = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
    scaled = (pixels.astype(np.float32) / 255 - mean) / deviation
    ours = feature_maps(pixels, checkpoint, 2, scaling="imagenet").maps
    np.testing.assert_allclose(ours, feature_maps(scaled, checkpoint, 2).maps, atol=1e-5)
    unit = feature_maps(pixels, checkpoint, 2, scaling="unit").maps
    np.testing.assert_allclose(
        unit, feature_maps(pixels / np.float32(255), checkpoint, 2).maps, atol=1e-5
    )


class Malicious:
    def __reduce__(self):
        return exec, ("raise AssertionError('the pickle ran')",)


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_a_malicious_pickle_is_refused(tmp_path, save):
    path = tmp_path / "weights.pt"
    content = {"0.weight": torch.ones(1, 1, 3, 3), "extra": Malicious()}
    if save == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=r"could run code: it was refused"):
        KernelBank.from_checkpoint(path)


def test_a_whole_pickled_network_is_refused(network, tmp_path):
    path = tmp_path / "network.pt"
    torch.save(network, path)
    with pytest.raises(ValueError, match=r"Save model\.state_dict"):
        KernelBank.from_checkpoint(path)


def test_a_file_without_convolutions(tmp_path):
    path = tmp_path / "linear.safetensors"
    save_file({"fc.weight": torch.ones(3, 4), "fc.bias": torch.ones(3)}, path)
    with pytest.raises(ValueError, match=r"linear.safetensors has no convolution layer"):
        KernelBank.from_checkpoint(path)
    with pytest.raises(ValueError, match="has no convolution layer"):
        feature_maps(np.ones((5, 5)), path)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x10\0\0\0\0\0\0\0{broken json}   "])
def test_other_files(tmp_path, content):
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.pt (is|holds)"):
        KernelBank.from_checkpoint(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        KernelBank.from_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "features.1"}, r"no convolution layer 'features.1': it has features.0, feat"),
        ({"channels": 3}, "index from 0 to 2"),
        ({"channels": "red"}, "'all', 'mean' or an index"),
        ({"channels": None}, "'all', 'mean' or an index"),
    ],
)
def test_bad_arguments(checkpoint, arguments, message):
    with pytest.raises(ValueError, match=message):
        bank_from_checkpoint(checkpoint, **arguments)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.Conv2d(2, 1, 3)),
         "3 modules follow 0"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(3, 1, 3)), "takes 3 channels"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(), nn.Conv2d(2, 1, 3)), "1 is neither"),
        (nn.Sequential(nn.Conv2d(1, 2, 4)), "even size"),
        (nn.ModuleDict({"stem": nn.Conv2d(1, 2, 3)}), "called 'stem'"),
    ],
)  # fmt: skip
def test_stacks_that_are_not_plain(tmp_path, stack, message):
    path = tmp_path / "stack.pt"
    torch.save(stack.state_dict(), path)
    with pytest.raises(ValueError, match=message):
        feature_maps(np.ones((9, 9)), path)


@pytest.mark.parametrize(
    ("image", "arguments", "message"),
    [
        (np.ones((2, 9, 9)), {}, "takes 3 channels"),
        (np.ones((9, 9)), {"depth": 8}, "depth must be from 1 to 7"),
        (np.ones((9, 9)), {"scaling": "zero"}, "scaling must be"),
        (np.ones((1, 1)), {"depth": 7}, "too small"),
    ],
)
def test_images_that_do_not_fit(checkpoint, image, arguments, message):
    with pytest.raises(ValueError, match=message):
        feature_maps(image, checkpoint, **arguments)
