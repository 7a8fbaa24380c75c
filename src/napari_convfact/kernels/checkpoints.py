"""Kernels from a neural network's weights, read without running anything from the file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.kernels.bank import KernelBank

#: Keys under which training scripts keep the weights among other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
#: Prefixes that parallel and compiled models add to every name.
_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class ConvolutionLayer:
    """A convolution layer in a file.

    Attributes
    ----------
    name : str
        The module's name, as ``"0"`` or ``"features.2"``.
    shape : tuple of int
        Of its weights, ``(n, c, *k)``.
    """

    name: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        kernels, channels, *size = self.shape
        return f"{self.name}: {kernels} kernels of {channels} x {' x '.join(map(str, size))}"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a safetensors or a PyTorch file.

    PyTorch files are pickles; they are read with ``weights_only=True``, which refuses
    everything that is not a tensor or a plain container, so nothing in the file is run.

    Parameters
    ----------
    path : str or Path
        The file; its content, not its ending, says what it is.

    Returns
    -------
    dict of str to torch.Tensor
        On the CPU, by parameter name.

    Raises
    ------
    ValueError
        If it is neither, is damaged, or holds more than weights.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(9)
    # safetensors begins with the header's length in eight bytes, then the JSON header.
    loaded = _read_safetensors(path) if start[8:9] == b"{" else _read_torch(path)
    weights = {_plain_name(name): value for name, value in loaded.items() if _is_tensor(value)}
    if not weights:
        raise ValueError(f"{path.name} holds no weights: save model.state_dict() to a file.")
    return weights


def list_convolutions(path: str | Path) -> tuple[ConvolutionLayer, ...]:
    """List the convolution layers of a file in its order; see `read_weights`."""
    return convolutions_of(read_weights(path))


def convolutions_of(weights: Mapping[str, Tensor]) -> tuple[ConvolutionLayer, ...]:
    """List the convolution layers among named weights: those of 3 to 5 axes."""
    return tuple(
        ConvolutionLayer(name.removesuffix("weight").rstrip("."), tuple(value.shape))
        for name, value in weights.items()
        if (name == "weight" or name.endswith(".weight"))
        and 3 <= value.ndim <= 5
        and value.is_floating_point()
    )


def bank_from_checkpoint(
    path: str | Path, layer: str | None = None, *, channels: str | int = "all"
) -> KernelBank:
    """Take the kernels of a network's convolution layer.

    Networks correlate; the kernels are flipped, so that convolving with the bank gives what
    the layer gives (without its bias). ``metadata["note"]`` says so.

    Parameters
    ----------
    path : str or Path
        A safetensors file, or a PyTorch file with a state dict.
    layer : str, optional
        The module's name in the file, as ``"0"`` or ``"features.2"``; by default the first
        convolution.
    channels : {"all", "mean"} or int
        Keep the kernels ``(n, c, *k)``, which match images of c channels (RGB if c is 3),
        or reduce them to ``(n, *k)`` for grey images: by their mean over the channels, or
        to the slice of one channel.

    Returns
    -------
    KernelBank
        Its metadata lists the file's convolution layers.

    Raises
    ------
    ValueError
        If the file cannot be read, has no convolution, or not this layer or channel.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    weights = read_weights(path)
    layers = convolutions_of(weights)
    if not layers:
        raise ValueError(
            f"{path.name} has no convolution layer: none of its {len(weights)} weights has "
            "3 to 5 axes."
        )
    name = layers[0].name if layer is None else str(layer)
    if name not in [known.name for known in layers]:
        raise ValueError(
            f"{path.name} has no convolution layer {name!r}: it has "
            f"{', '.join(known.name for known in layers)}."
        )
    kernels = weights[f"{name}.weight" if name else "weight"].to(torch.float32).numpy()
    ndim = kernels.ndim - 2
    kernels = np.flip(kernels, tuple(range(-ndim, 0)))
    return KernelBank(
        _choose_channels(kernels, channels),
        tuple(f"{name or 'kernel'} [{i}]" for i in range(len(kernels))),
        ndim,
        metadata={
            "source": path.name,
            "layer": name,
            "layers": [str(known) for known in layers],
            "channels": channels,
            "note": "The network correlates: its kernels were flipped, to be convolved with.",
        },
    )


def _choose_channels(kernels: np.ndarray, channels: str | int) -> np.ndarray:
    if channels == "all":
        return kernels
    if channels == "mean":
        return np.asarray(kernels.mean(axis=1))
    count = kernels.shape[1]
    whole = isinstance(channels, (int, np.integer)) and not isinstance(channels, bool)
    if not whole or not 0 <= (index := int(channels)) < count:
        raise ValueError(
            f"channels must be 'all', 'mean' or an index from 0 to {count - 1}, not {channels!r}."
        )
    return np.asarray(kernels[:, index])


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is a damaged safetensors file: {error}.") from None
    return weights


def _read_torch(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path.name} holds more than weights, and loading it could run code: it was "
            "refused. Save model.state_dict() to a file instead."
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).split("\n", maxsplit=1)[0] or "it is cut short."
        raise ValueError(
            f"{path.name} is neither a safetensors nor a PyTorch file that can be read: {reason}"
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if _is_tensor(content):
        return {"weight": content}
    return content if isinstance(content, Mapping) else {}


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _plain_name(name: object) -> str:
    plain = str(name)
    for prefix in _PREFIXES:
        plain = plain.removeprefix(prefix)
    return plain
