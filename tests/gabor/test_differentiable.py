import numpy as np
import pytest
import torch

from napari_convfact.gabor.bank import gabor_bank
from napari_convfact.gabor.differentiable import gabor_energies
from napari_convfact.gabor.responses import gabor_filter


def parameters(*values):
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


@pytest.mark.parametrize("dc_free", [True, False])
def test_gradients_of_energies(dc_free):
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((7, 6)))
    frequency, theta, sigma = parameters([0.2, 0.31], [0.4, 2.0], [1.1, 0.9])

    def energies(*arguments):
        return gabor_energies(image, *arguments, dc_free=dc_free)

    assert torch.autograd.gradcheck(energies, (frequency, theta, sigma))
    for gradient in torch.autograd.grad(
        energies(frequency, theta, sigma).square().sum(), (frequency, theta, sigma)
    ):
        assert gradient.abs().min() > 1e-6


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_energies_are_those_of_the_bank(boundary):
    # Small enough for the bank to reflect it exactly, on a torus of twice its size.
    image = np.random.default_rng(1).standard_normal((20, 16))
    bank = gabor_bank(frequencies=[0.2], orientations=[0.4, 2.0], sigma=2.0, aspect=1.5)
    expected = gabor_filter(image, bank, boundary=boundary, dtype="float64").energy[0]
    energies = gabor_energies(
        torch.from_numpy(image),
        *parameters([0.2, 0.2], [0.4, 2.0], [2.0, 2.0]),
        aspect=1.5,
        boundary=boundary,
    )
    # In closed form the spectra are the same; the bank's leave out values below 1e-16.
    np.testing.assert_allclose(energies.detach().numpy(), expected, atol=1e-12)


def test_a_kernel_turns_to_the_stripes():
    x = torch.arange(32, dtype=torch.float64)
    image = torch.cos(2 * torch.pi * 0.2 * (x * np.cos(0.9) + x[:, None] * np.sin(0.9)))
    frequency, theta, sigma = parameters([0.2], [0.6], [3.0])
    optimizer = torch.optim.Adam([theta], lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        loss = -gabor_energies(image, frequency, theta, sigma)[..., 8:-8, 8:-8].mean()
        loss.backward()
        optimizer.step()
    assert theta.item() == pytest.approx(0.9, abs=0.02)


def test_bad_arguments():
    image = torch.zeros(4, 4)
    one, two = torch.ones(1), torch.ones(2)
    with pytest.raises(ValueError, match="one length"):
        gabor_energies(image, one, two, one)
    with pytest.raises(ValueError, match="boundary"):
        gabor_energies(image, one, one, one, boundary="mirror")
    with pytest.raises(ValueError, match="aspect has 2 values for 1 kernels"):
        gabor_energies(image, one, one, one, aspect=two)
    for wrong in (torch.zeros(4), np.zeros((4, 4)), torch.zeros(4, 4, dtype=torch.complex64)):
        with pytest.raises(ValueError, match="image must be a real tensor"):
            gabor_energies(wrong, one, one, one)
