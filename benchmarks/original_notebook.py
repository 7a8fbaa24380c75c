"""The algorithm that the project grew from, written anew from its description.

F. Cotter's notebook "Convolutional filter factorization" fits small kernels to a 16 x 16 impulse
response by stochastic gradient descent: for each of 50 random starts, each factor in turn takes
a step with an optimizer of its own, on the loss

    data_weight * mean((y - chain)^2) + norm_weight * sum of mean(w^2) + sum_weight * sum(chain)^2

with the target shifted and scaled to zero mean and unit standard deviation. As there, the loss
is taken before a step and the weights after it, and starts that diverge run to their end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class Setting:
    """The weights of the loss and the effort.

    Attributes
    ----------
    data_weight, norm_weight, sum_weight : float
        Weights of the three terms.
    learning_rate : float
        Of every step.
    steps : int
        Sweeps over the factors for each start.
    starts : int
        Random starts.
    """

    data_weight: float = 100.0
    norm_weight: float = 0.1
    sum_weight: float = 1.0
    learning_rate: float = 5e-2
    steps: int = 100
    starts: int = 50


# What the notebook uses for two factors, for three, and for the low-pass kernel.
TWO_FACTORS = Setting()
THREE_FACTORS = Setting(data_weight=500.0, learning_rate=5e-3)
LOW_PASS = Setting(data_weight=1000.0, sum_weight=0.0, learning_rate=5e-3)


def fit(target: np.ndarray, n_factors: int, setting: Setting, seed: int) -> tuple[np.ndarray, int]:
    """Fit a chain of 3 x 3 kernels.

    Parameters
    ----------
    target : numpy.ndarray
        ``(n, n)``, the impulse response.
    n_factors : int
        Length of the chain.
    setting : Setting
        Weights and effort.
    seed : int
        Of the random starts.

    Returns
    -------
    response : numpy.ndarray
        The best chain's, in the units of `target` standardized.
    diverged : int
        How many starts ended in NaN.
    """
    torch.manual_seed(seed)
    y = torch.as_tensor(standardized(target), dtype=torch.float32)[None, None]
    impulse = torch.zeros_like(y)
    impulse[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1
    best_loss, best = np.inf, np.zeros((n_factors, 3, 3), np.float32)
    diverged = 0
    for _ in range(setting.starts):
        loss, weights, last = _one_start(impulse, y, n_factors, setting)
        diverged += not np.isfinite(last)
        if loss < best_loss:
            best_loss, best = loss, weights
    return _chain(impulse, torch.as_tensor(best)[:, None, None])[0, 0].numpy(), diverged


def standardized(target: np.ndarray) -> np.ndarray:
    """Return the target with zero mean and unit (sample) standard deviation."""
    return (target - target.mean()) / target.std(ddof=1)


def _one_start(
    impulse: torch.Tensor, y: torch.Tensor, n_factors: int, setting: Setting
) -> tuple[float, np.ndarray, float]:
    weights = [torch.randn(1, 1, 3, 3, requires_grad=True) for _ in range(n_factors)]
    optimizers = [torch.optim.SGD([w], lr=setting.learning_rate) for w in weights]
    best_loss, best = np.inf, np.zeros((n_factors, 3, 3), np.float32)
    for _ in range(setting.steps):
        for optimizer in optimizers:
            for other in optimizers:
                other.zero_grad()
            loss = _loss(_chain(impulse, weights), y, weights, setting)
            loss.backward()
            optimizer.step()
            if loss.item() < best_loss:
                best_loss = loss.item()
                best = np.stack([w.detach().numpy()[0, 0] for w in weights])
    return best_loss, best, loss.item()


def _chain(x: torch.Tensor, weights: list[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    for w in weights:
        x = functional.conv2d(x, w, padding=1)
    return x


def _loss(
    chain: torch.Tensor, y: torch.Tensor, weights: list[torch.Tensor], setting: Setting
) -> torch.Tensor:
    data = torch.mean((y - chain) ** 2)
    norm = torch.zeros(())
    for w in weights:
        norm = norm + torch.mean(w**2)
    return (
        setting.data_weight * data
        + setting.norm_weight * norm
        + setting.sum_weight * torch.sum(chain) ** 2
    )
