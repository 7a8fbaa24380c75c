import numpy as np
import pytest
import torch

from napari_convfact.foundation.fft import fast_length, irfftn, rfftn

SHAPES = [(7,), (8,), (1,), (5, 6), (6, 5), (1, 9), (4, 5, 7), (3, 1, 8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transforms_equal_numpy_on_odd_and_even_sizes(shape, dtype):
    x = torch.randn((2, *shape), dtype=dtype)
    axes = tuple(range(1, len(shape) + 1))
    spectrum = rfftn(x, shape)
    expected = np.fft.rfftn(x.numpy().astype(float), axes=axes)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(spectrum.numpy(), expected, atol=tolerance * 50)
    back = irfftn(spectrum, shape)
    assert back.dtype == dtype
    assert back.shape == x.shape
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=tolerance)


def test_a_conjugated_view_is_inverted_as_such():
    x = torch.randn(6, 7, dtype=torch.float64)
    flipped = irfftn(rfftn(x, (6, 7)).conj(), (6, 7))
    expected = np.roll(x.numpy()[::-1, ::-1], (1, 1), axis=(0, 1))
    np.testing.assert_allclose(flipped.numpy(), expected, atol=1e-12)


def test_the_spectrum_is_only_overwritten_on_request():
    x = torch.randn(6, 8)
    spectrum = rfftn(x, (6, 8))
    kept = spectrum.clone()
    irfftn(spectrum, (6, 8))
    assert torch.equal(spectrum, kept)
    back = irfftn(spectrum, (6, 8), overwrite=True)
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-6)


def test_gradients_flow_where_they_are_asked_for():
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: irfftn(rfftn(t, (5, 6)), (5, 6)), x)


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (2048, 2048), (2053, 2160), (521, 540)])
def test_fast_lengths_have_small_factors(n, expected):
    assert fast_length(n) == expected
