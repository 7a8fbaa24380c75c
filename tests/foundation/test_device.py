import pytest
import torch

from napari_convfact.foundation.device import choose_device


def test_auto_is_there_and_says_why():
    device = choose_device()
    torch.zeros(1, device=device.name)
    assert device.reason.endswith(".")


def test_the_cpu_can_be_asked_for():
    assert choose_device("cpu").name == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_gpu_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"'cuda:1' is not available.*'auto' or 'cpu'"):
        choose_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cudax", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(ValueError, match="Unknown device"):
        choose_device(name)
