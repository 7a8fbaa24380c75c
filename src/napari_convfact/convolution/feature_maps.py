"""Feature maps of an image through the first layers of a plain stack of convolutions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.foundation.validate import check_image
from napari_convfact.kernels.checkpoints import convolutions_of, read_weights

Scaling = Literal["none", "unit", "imagenet"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
_POOLS = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)


@dataclass(frozen=True)
class FeatureMaps:
    """What a layer of a network makes of an image.

    Attributes
    ----------
    maps : numpy.ndarray
        float32, ``(channels, *m)``.
    layer : str
        The last module, as ``"features.3 (ReLU)"``.
    stride : int
        Pixels of the image for each sample of a map.
    modules : tuple of str
        The modules that the image went through.
    """

    maps: np.ndarray
    layer: str
    stride: int
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """A module of a stack: its name in the file and what it does."""

    name: str
    kind: Literal["convolution", "normalization", "ReLU", "pooling"]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


def feature_maps(
    image: Any,
    path: str | Path,
    depth: int | None = None,
    *,
    scaling: Scaling = "none",
    device: str = "auto",
) -> FeatureMaps:
    """Run an image through the first modules of a network's stack of convolutions.

    A file of weights does not say what lies between the layers that have some. In a plain
    stack, as VGG's, a gap of one number is a ReLU, and a gap of two a ReLU and a maximum
    over 2 x 2 pixels; convolutions keep the size and have stride 1. Other stacks are refused.

    Parameters
    ----------
    image : array_like
        ``(*spatial)``, or ``(c, *spatial)`` with the network's number of channels. A grey
        image is repeated for each channel.
    path : str or Path
        See `napari_convfact.kernels.checkpoints.read_weights`.
    depth : int, optional
        Number of modules to go through, counted as in the stack; by default up to the ReLU
        after the first convolution.
    scaling : {"none", "unit", "imagenet"}
        What the network expects of its input: the values as they are, from 0 to 1 (integer
        images are divided by their type's largest value), or that minus ImageNet's mean, by
        its deviation.
    device : str
        See `choose_device`.

    Returns
    -------
    FeatureMaps

    Raises
    ------
    ValueError
        If the file is not of a plain stack or the image does not fit it.
    FileNotFoundError
        If there is no such file.
    """
    return run(feature_maps_job(image, path, depth, scaling=scaling, device=device))


def feature_maps_job(
    image: Any,
    path: str | Path,
    depth: int | None = None,
    *,
    scaling: Scaling = "none",
    device: str = "auto",
) -> Job[FeatureMaps]:
    """Do what `feature_maps` does, as a job that yields a `Step` after each module."""
    weights = read_weights(path)
    modules = plain_stack(weights, Path(path).name)
    if depth is None:
        depth = [module.kind for module in modules].index("ReLU") + 1
    if not 1 <= depth <= len(modules):
        raise ValueError(f"depth must be from 1 to {len(modules)}, not {depth}.")
    first = weights[f"{modules[0].name}.weight"]
    x = _as_input(image, first.shape[1], first.ndim - 2, scaling)
    place = choose_device(device).name
    weights = {name: value.to(place, torch.float32) for name, value in weights.items()}
    x, stride = x.to(place), 1
    for done, module in enumerate(modules[:depth], start=1):
        if module.kind == "pooling":
            stride *= 2
        x = _apply(module, weights, x)
        yield Step(done, depth, str(module))
    passed = tuple(str(module) for module in modules[:depth])
    return FeatureMaps(x[0].cpu().numpy(), passed[-1], stride, passed)


def plain_stack(weights: Mapping[str, Tensor], source: str) -> list[Module]:
    """Work out the modules of a stack of convolutions from the names of its weights.

    Parameters
    ----------
    weights : mapping of str to torch.Tensor
        By parameter name.
    source : str
        How to call the file in messages.

    Returns
    -------
    list of Module
        Up to the ReLU after the last convolution.

    Raises
    ------
    ValueError
        If the weights are not those of a plain stack.
    """
    layers = convolutions_of(weights)
    if not layers:
        raise ValueError(f"{source} has no convolution layer.")
    numbered = re.fullmatch(r"((?:.+\.)?)0", layers[0].name)
    if numbered is None:
        raise _not_plain(source, f"its first convolution is called {layers[0].name!r}, not 0")
    prefix = numbered.group(1)
    kinds = _kinds(weights, prefix)
    last = max(number for number, kind in kinds.items() if kind == "convolution")
    modules: list[Module] = []
    present = [number for number in sorted(kinds) if number <= last + 1]
    for number, following in zip(present, [*present[1:], present[-1] + 2], strict=True):
        if kinds[number] == "other":
            raise _not_plain(source, f"{prefix}{number} is neither convolution nor normalization")
        modules.append(Module(f"{prefix}{number}", kinds[number]))
        between = range(number + 1, following)
        if len(between) > 2:
            raise _not_plain(source, f"{len(between)} modules follow {prefix}{number}")
        modules += [Module(f"{prefix}{gap}", "ReLU") for gap in between[:1]]
        modules += [Module(f"{prefix}{gap}", "pooling") for gap in between[1:]]
    _check_chain(weights, modules, source)
    return modules


def _kinds(weights: Mapping[str, Tensor], prefix: str) -> dict[int, Any]:
    kinds: dict[int, Any] = {}
    for name, value in weights.items():
        match = re.fullmatch(re.escape(prefix) + r"(\d+)\.(.+)", name)
        if match is None:
            continue
        number, parameter = int(match.group(1)), match.group(2)
        if parameter == "weight" and 3 <= value.ndim <= 5:
            kinds[number] = "convolution"
        elif parameter == "running_mean":
            kinds[number] = "normalization"
        else:
            kinds.setdefault(number, "other")
    return kinds


def _check_chain(weights: Mapping[str, Tensor], modules: list[Module], source: str) -> None:
    channels: int | None = None
    for module in modules:
        if module.kind != "convolution":
            continue
        kernels = weights[f"{module.name}.weight"]
        if channels is not None and kernels.shape[1] != channels:
            raise _not_plain(
                source,
                f"{module.name} takes {kernels.shape[1]} channels after one that has {channels}",
            )
        if any(k % 2 == 0 for k in kernels.shape[2:]):
            raise _not_plain(source, f"the kernels of {module.name} have an even size")
        channels = kernels.shape[0]


def _not_plain(source: str, reason: str) -> ValueError:
    return ValueError(
        f"{source} is not a plain stack of convolutions, ReLU and pooling: {reason}. Take one "
        "layer's kernels as a bank instead."
    )


def _as_input(image: Any, channels: int, ndim: int, scaling: str) -> Tensor:
    data = check_image(image, ndim=ndim).data
    if data.ndim == ndim:
        data = np.broadcast_to(data, (channels, *data.shape))
    if data.ndim != ndim + 1 or data.shape[0] != channels:
        raise ValueError(
            f"The network takes {channels} channels: the image must be (*spatial) or "
            f"({channels}, *spatial) with {ndim} spatial axes, but its shape is {data.shape}."
        )
    x = torch.tensor(np.ascontiguousarray(data))
    kind = np.asarray(image).dtype
    if scaling != "none" and kind.kind in "ui":
        x = x / float(np.iinfo(kind).max)
    if scaling == "imagenet":
        if channels != len(_IMAGENET_MEAN):
            raise ValueError(f"scaling='imagenet' is for 3 channels, not {channels}.")
        shape = (-1, *(1,) * ndim)
        x = (x - torch.tensor(_IMAGENET_MEAN).reshape(shape)) / torch.tensor(
            _IMAGENET_DEVIATION
        ).reshape(shape)
    elif scaling not in ("none", "unit"):
        raise ValueError(f"scaling must be 'none', 'unit' or 'imagenet', not {scaling!r}.")
    return x[None]


def _apply(module: Module, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    ndim = x.ndim - 2
    if module.kind == "convolution":
        kernels = weights[f"{module.name}.weight"]
        padding = [k // 2 for k in kernels.shape[2:]]
        values: Tensor = _CONVOLUTIONS[ndim - 1](
            x, kernels, weights.get(f"{module.name}.bias"), padding=padding
        )
        return values
    if module.kind == "normalization":
        names = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (weights.get(f"{module.name}.{name}") for name in names)
        return torch.nn.functional.batch_norm(x, mean, variance, weight, bias)
    if module.kind == "ReLU":
        return torch.relu(x)
    if min(x.shape[2:]) < 2:
        raise ValueError("The image is too small for so many poolings: choose a smaller depth.")
    pooled: Tensor = _POOLS[ndim - 1](x, 2)
    return pooled
