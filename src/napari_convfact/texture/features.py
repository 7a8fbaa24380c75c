"""Features of textures as a table: a row for each image, or for each label of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture import statistics
from napari_convfact.texture.images import TextureImage, split_stack, texture_images
from napari_convfact.texture.measure import runs_of_one_shape
from napari_convfact.texture.model_features import model_features
from napari_convfact.texture.residuals import Residuals

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("energy", "shape", "whiteness", "blocks", "usage", "model", "anisotropy")
_PER_KERNEL = ("energy", "shape", "whiteness", "blocks")
# What follows the contrast, and with which power.
_FOLLOWS = {"mae": 1, "mse": 2, "var": 2}
# Residuals are kept in blocks of about this many values, and so many regions make a step.
_BLOCK = 2**24
_REGIONS = 64


def residual_features(
    images: Any,
    bank: KernelBank,
    *,
    labels: Any = None,
    blocks: Sequence[int] = (4, 4),
    dilations: Sequence[int] = (1, 2, 4),
    groups: Sequence[str] = GROUPS,
    device: str = "auto",
) -> pd.DataFrame:
    """Describe textures by what the kernels of a bank cannot predict of them.

    Parameters
    ----------
    images : array_like or sequence of array_like
        One image ``(*n)``, a stack ``(images, *n)`` or a sequence of images of any sizes.
        Pixels without a value are left out.
    bank : KernelBank
        Kernels of one channel.
    labels : array_like, optional
        Whole numbers in the shape of `images`: the rows are then the labels (without 0) of
        each image instead of the images.
    blocks : sequence of int
        Number of blocks along each axis, for the variation of the energy; the last is
        repeated for further axes.
    dilations : sequence of int
        Distances between neighbours for the image's own models.
    groups : sequence of str
        Which features, of those listed below.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Returns
    -------
    pandas.DataFrame
        Index ``image``, or ``image`` and ``label``. Columns, each behind the kernel's name
        where there is one for each kernel:

        - energy: ``mae``, ``mse``, ``var``, ``log_mse`` (over the image's variance),
          ``log_excess`` (over the best kernel's ``mse``);
        - shape: ``mae_ratio``, ``skewness``, ``kurtosis``, ``quantile_05`` ...;
        - whiteness: ``autocorrelation_...`` of the residual at short lags, ``colour`` (the sum
          of their squares);
        - blocks: ``block_variation`` of the energy;
        - usage: ``wins``, the share of pixels at which the kernel predicts best;
        - model: ``weight ...``, ``log_variance`` (over the image's variance) and
          ``predictability`` of the image's own symmetric model for each dilation, NaN where a
          label is too small for it;
        - anisotropy: ``coherence`` of those models, and in 2-D its components along the
          double angle, ``along_x`` and ``along_diagonal``.

    Raises
    ------
    ValueError
        If an argument is not legal, or images, labels and bank do not match.

    References
    ----------
    J. Mao and A. K. Jain, "Texture classification and segmentation using multiresolution
    simultaneous autoregressive models", Pattern Recognition 25, 1992.
    """
    return run(
        residual_features_job(
            images,
            bank,
            labels=labels,
            blocks=blocks,
            dilations=dilations,
            groups=groups,
            device=device,
        )
    )


def residual_features_job(
    images: Any,
    bank: KernelBank,
    *,
    labels: Any = None,
    blocks: Sequence[int] = (4, 4),
    dilations: Sequence[int] = (1, 2, 4),
    groups: Sequence[str] = GROUPS,
    device: str = "auto",
) -> Job[pd.DataFrame]:
    """Generate the steps of `residual_features`."""
    import pandas as pd

    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        raise ValueError(f"groups must be some of {', '.join(GROUPS)}, not {tuple(groups)!r}.")
    if not blocks or min(blocks) < 1:
        raise ValueError(f"blocks must be positive whole numbers, not {blocks!r}.")
    ndim = bank.ndim
    grid = (*blocks, *(blocks[-1],) * ndim)[:ndim]
    place = choose_device(device).name
    recipe = _Recipe(bank, groups, grid, place)
    checked = texture_images(images, ndim=ndim)
    label_images = None if labels is None else _label_images(labels, checked, ndim)
    rows: list[np.ndarray] = []
    index: list[Any] = []
    names: list[str] = []
    done = 0
    for block in _blocks(checked, alone=labels is not None):
        yield Step(done, len(checked), "Features of textures")
        numbers = range(done, done + len(block))
        done += len(block)
        label_image = None if label_images is None else label_images[numbers[0]]
        regions = [_whole(block[0])] if label_image is None else _regions(block[0], label_image)
        if not regions:
            continue
        residual = yield from recipe.residual_rows(block, regions)
        values = None if label_image is None else [int(region.label or 0) for region in regions]
        models = model_features(block, label_image, values, dilations, groups)
        rows.append(np.column_stack([residual, *models.values()]))
        names = recipe.names + list(models)
        index += numbers if values is None else [(numbers[0], value) for value in values]
    if not rows:
        raise ValueError("There is no label besides 0: paint at least one.")
    table = pd.DataFrame(np.concatenate(rows), columns=names)
    table.index = (
        pd.Index(index, name="image")
        if labels is None
        else pd.MultiIndex.from_tuples(index, names=["image", "label"])
    )
    return table


@dataclass(frozen=True, eq=False)
class _Region:
    """A window of an image and the weights of its pixels, of sum 1."""

    window: tuple[slice, ...]
    weight: np.ndarray
    label: int | None = None


class _Recipe:
    """What is computed of the residuals of each image."""

    def __init__(
        self, bank: KernelBank, groups: Sequence[str], blocks: tuple[int, ...], device: str
    ) -> None:
        self.bank = bank
        self.groups = [group for group in groups if group in (*_PER_KERNEL, "usage")]
        self.blocks = blocks
        self.device = device
        self.names: list[str] = []
        self._residuals = Residuals(bank, device)

    def residual_rows(
        self, images: Sequence[TextureImage], regions: Sequence[_Region]
    ) -> Job[np.ndarray]:
        """Generate the columns that come from residuals.

        There is a row for each image, or for each region where there is one image.
        """
        if not self.groups:
            return np.empty((len(images) * len(regions), 0))
        x, scale = self._centred(images, regions)
        columns: list[dict[str, list[Tensor]]] = [{} for _ in regions]
        least, winner = torch.full_like(x, torch.inf), torch.zeros_like(x, dtype=torch.int64)
        length = max(1, _BLOCK // x.numel())
        for first in range(0, len(self.bank), length):
            chosen = range(first, min(first + length, len(self.bank)))
            stack = torch.stack([self._residuals.of(x, index) for index in chosen])
            for number, region in enumerate(regions):
                if number % _REGIONS == 0:
                    yield Step(first, len(self.bank), "Residuals of the bank")
                for name, values in self._statistics(x, stack, region).items():
                    units = scale ** _FOLLOWS.get(name, 0)
                    columns[number].setdefault(name, []).append(values.cpu().double() * units)
            if "usage" in self.groups:
                values, index = stack.abs().min(dim=0)
                winner = torch.where(values < least, first + index, winner)
                least = torch.minimum(least, values)
        joined = [{name: torch.cat(parts) for name, parts in row.items()} for row in columns]
        for row, region in zip(joined, regions, strict=True):
            self._compare(row, winner, region)
        self.names = [f"{kernel} {name}" for name in joined[0] for kernel in self.bank.names]
        rows = [torch.cat(list(row.values())).numpy().T for row in joined]
        # A region without any value is not one of zeros.
        empty = [not region.weight.any() for region in regions]
        return np.concatenate(
            [np.full_like(row, np.nan) if no else row for row, no in zip(rows, empty, strict=True)]
        )

    def _centred(
        self, images: Sequence[TextureImage], regions: Sequence[_Region]
    ) -> tuple[Tensor, Tensor]:
        """Return images ``(images, *n)`` less the mean of their regions' means, and their units.

        The units, float64 ``(images,)``, are powers of two: nothing is rounded, and neither
        small nor large numbers leave float32 when they are squared.
        """
        stack = np.empty((len(images), *images[0].shape), np.float32)
        units = np.ones(len(images))
        for number, image in enumerate(images):
            data = image.data[0]
            means = [(data[r.window] * r.weight).sum() for r in regions if r.weight.any()]
            centred = np.subtract(data, np.mean(means) if means else 0.0, dtype=np.float64)
            units[number] = 2.0 ** np.frexp(np.abs(centred).max())[1]
            stack[number] = centred / units[number]
        return torch.as_tensor(stack, device=self.device), torch.as_tensor(units)

    def _statistics(self, x: Tensor, stack: Tensor, region: _Region) -> dict[str, Tensor]:
        """Return what is known of each residual for itself, ``(kernels, images)`` each."""
        weight = torch.as_tensor(region.weight, dtype=x.dtype, device=x.device)
        e = stack[:, :, *region.window].flatten(0, 1)
        values: dict[str, Tensor] = {}
        if "energy" in self.groups:
            inside = x[:, *region.window].flatten(1)
            flat = weight.flatten()
            variance = (inside - (inside @ flat)[:, None]).square() @ flat
            values |= statistics.energies(e, weight, variance.repeat(len(stack)))
        if "shape" in self.groups:
            values |= statistics.shape(e, weight)
        if "whiteness" in self.groups:
            values |= statistics.whiteness(e, weight)
        if "blocks" in self.groups:
            values |= statistics.heterogeneity(e, weight, self.blocks)
        return {name: value.reshape(len(stack), len(x)) for name, value in values.items()}

    def _compare(self, row: dict[str, Tensor], winner: Tensor, region: _Region) -> None:
        """Add what is known of the kernels beside each other."""
        if "energy" in self.groups:
            row["log_excess"] = row["log_mse"] - row["log_mse"].min(dim=0).values
        if "usage" in self.groups:
            inside = winner[:, *region.window].cpu().flatten(1)
            weight = torch.as_tensor(region.weight, dtype=torch.float32).flatten()
            wins = torch.zeros(len(inside), len(self.bank))
            row["wins"] = wins.scatter_add_(1, inside, weight.expand(len(inside), -1)).T


def _blocks(images: Sequence[TextureImage], *, alone: bool) -> list[Sequence[TextureImage]]:
    """Split images into blocks that share their shape and have no weights, or are one image."""
    if alone or any(image.weight is not None for image in images):
        return [[image] for image in images]
    return list(runs_of_one_shape(images, _BLOCK // 4))


def _whole(image: TextureImage) -> _Region:
    weight = np.ones(image.shape) if image.weight is None else image.weight
    window = tuple(slice(0, n) for n in image.shape)
    return _Region(window, weight / max(weight.sum(), np.finfo(float).tiny))


def _regions(image: TextureImage, labels: np.ndarray) -> list[_Region]:
    import scipy.ndimage

    values, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape)
    first = int(np.searchsorted(values, 0)) if 0 in values else None
    windows = scipy.ndimage.find_objects(compact + 1)
    regions = []
    for index, (value, window) in enumerate(zip(values, windows, strict=True)):
        if index == first:
            continue
        weight = (compact[window] == index).astype(float)
        if image.weight is not None:
            weight *= image.weight[window]
        weight /= max(weight.sum(), np.finfo(float).tiny)
        regions.append(_Region(window, weight, int(value)))
    return regions


def _label_images(labels: Any, images: Sequence[TextureImage], ndim: int) -> list[np.ndarray]:
    stack = list(split_stack(labels, ndim, "label image"))
    if len(stack) != len(images):
        raise ValueError(f"There are {len(stack)} label images for {len(images)} images.")
    for index, (label, image) in enumerate(zip(stack, images, strict=True)):
        if label.dtype.kind not in "biu":
            raise ValueError(f"Labels are whole numbers, but label image {index} is {label.dtype}.")
        if label.shape != image.shape:
            raise ValueError(
                f"The shape of label image {index} is {label.shape}, but its image's {image.shape}."
            )
    return stack
