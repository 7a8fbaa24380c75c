"""A small network whose first layer is a kernel bank: features and classes learned together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from napari_convfact.convolution.boundary import crop, pad
from napari_convfact.foundation.job import Job, Step
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.correlation import correlate
from napari_convfact.texture.statistics import short_lags

_HIDDEN = 64
_BATCH = 16
_TINY = 1e-8


class ResidualNetwork(nn.Module):
    """Residuals of trainable kernels, their differentiable statistics, and a small head.

    The statistics are the log energy, the ratio of mean absolute to root mean square, and the
    autocorrelation at short lags. Kernels are masked: the centre stays zero.

    Parameters
    ----------
    bank : KernelBank
        Where the kernels start, of one channel.
    n_classes : int
        Number of outputs.
    """

    def __init__(self, bank: KernelBank, n_classes: int) -> None:
        super().__init__()
        self.ndim = bank.ndim
        self.reach = tuple(n // 2 for n in bank.kernels.shape[1:])
        kernels = torch.as_tensor(bank.kernels)[:, None]
        # torch correlates.
        self.kernels = nn.Parameter(kernels.flip(*range(2, 2 + self.ndim)))
        self.register_buffer("mask", (self.kernels != 0).float())
        self.lags = short_lags(self.ndim)
        features = len(bank) * (2 + len(self.lags))
        self.head = nn.Sequential(
            nn.BatchNorm1d(features),
            nn.Linear(features, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` of images ``(batch, 1, *n)``."""
        logits: Tensor = self.head(self.statistics(x))
        return logits

    def statistics(self, x: Tensor) -> Tensor:
        """Return the features ``(batch, features)``."""
        mask: Tensor = self.get_buffer("mask")
        padded = pad(x, self.reach, self.reach, "reflect")
        e = x - correlate(padded, self.kernels * mask)
        axes = tuple(range(2, e.ndim))
        energy = e.square().mean(dim=axes) + _TINY
        features = [energy.log(), e.abs().mean(dim=axes) / energy.sqrt()]
        for lag in self.lags:
            size = [n - abs(d) for n, d in zip(e.shape[2:], lag, strict=True)]
            here = crop(e, [max(-d, 0) for d in lag], size)
            there = crop(e, [max(d, 0) for d in lag], size)
            features.append((here * there).mean(dim=axes) / energy)
        return torch.cat(features, dim=1)

    def trained_bank(self, bank: KernelBank) -> KernelBank:
        """Return the kernels as they are now, with the names of the bank they started from."""
        kernels = (self.kernels * self.get_buffer("mask")).detach().cpu()
        flipped = kernels.flip(*range(2, 2 + self.ndim))[:, 0].numpy()
        metadata = {**bank.metadata, "trained": "end to end"}
        return KernelBank(flipped, bank.names, bank.ndim, bank.dilations, metadata=metadata)


def train_job(
    network: ResidualNetwork,
    images: Sequence[np.ndarray],
    classes: np.ndarray,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    device: str,
) -> Job[list[float]]:
    """Generate the steps of training; return the mean loss of each epoch.

    Parameters
    ----------
    network : ResidualNetwork
        It is trained in place and left in evaluation mode.
    images : sequence of numpy.ndarray
        Standardized, all of one shape.
    classes : numpy.ndarray
        Index of each image's class.
    epochs : int
        Passes over the images.
    learning_rate : float
        Of Adam's; it falls to zero along a cosine.
    seed : int
        Of the order of the images.
    device : str
        Where to train.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.as_tensor(np.stack(images)[:, None], device=device)
    y = torch.as_tensor(classes, device=device)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
    history = []
    for epoch in range(epochs):
        losses = []
        order = torch.randperm(len(x), generator=generator)
        for batch in _batches(order):
            yield Step(epoch, epochs, f"Epoch {epoch + 1}")
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
        schedule.step()
        history.append(float(np.mean(losses)))
    network.eval()
    return history


def _batches(order: Tensor) -> Sequence[Tensor]:
    batches = list(torch.split(order, _BATCH))
    if len(batches) > 1 and len(batches[-1]) == 1:
        # Batch normalization needs two.
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
