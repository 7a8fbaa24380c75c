"""Where to compute, with a sentence that says why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib import metadata


@dataclass(frozen=True)
class Device:
    """A place to compute.

    Attributes
    ----------
    name : str
        What ``torch.device`` takes: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    reason : str
        One sentence for the user.
    """

    name: str
    reason: str


def choose_device(requested: str = "auto", *, dtype: str = "float32") -> Device:
    """Choose the device for a computation.

    Parameters
    ----------
    requested : str
        ``"auto"`` takes CUDA when there is one and the CPU otherwise; Apple's
        ``"mps"`` is only taken when it is asked for.
    dtype : str
        The working precision; ``"mps"`` has no float64.

    Returns
    -------
    Device

    Raises
    ------
    ValueError
        If the requested device is unknown or not there.
    """
    if requested == "cpu":
        return Device("cpu", f"CPU, as requested ({_threads()}).")
    if requested == "auto":
        return _automatic_device()
    if requested == "mps":
        return _mps_device(dtype)
    if requested == "cuda" or requested.startswith("cuda:"):
        return _cuda_device(requested)
    raise ValueError(f"Unknown device {requested!r}: use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.")


def cpu_count() -> int:
    """Return the number of processors this process may use; ``OMP_NUM_THREADS`` limits it."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(count, int(limit)) if limit.isdecimal() and int(limit) else count


def _threads() -> str:
    return "1 thread" if cpu_count() == 1 else f"{cpu_count()} threads"


def _automatic_device() -> Device:
    # Importing torch takes seconds; its version alone already rules CUDA out.
    if _torch_version().endswith("+cpu"):
        return Device("cpu", f"CPU ({_threads()}): this PyTorch is the CPU build.")
    import torch

    if torch.cuda.is_available():
        return Device("cuda", f"GPU: {torch.cuda.get_device_name()}.")
    return Device("cpu", f"CPU ({_threads()}): no CUDA device was found.")


@cache
def _torch_version() -> str:
    return metadata.version("torch")


def _cuda_device(requested: str) -> Device:
    import torch

    if not torch.cuda.is_available():
        raise ValueError(
            f"Device {requested!r} is not available: PyTorch {torch.__version__} finds no "
            "CUDA device. Use 'auto' or 'cpu'."
        )
    _, _, index = requested.partition(":")
    count = torch.cuda.device_count()
    if index and not (index.isdecimal() and int(index) < count):
        raise ValueError(
            f"Device {requested!r} does not exist: there are {count} CUDA devices, from cuda:0."
        )
    return Device(requested, f"GPU, as requested: {torch.cuda.get_device_name(requested)}.")


def _mps_device(dtype: str) -> Device:
    import torch

    if not torch.backends.mps.is_available():
        raise ValueError("Device 'mps' is not available on this machine: use 'auto' or 'cpu'.")
    if dtype == "float64":
        raise ValueError("Device 'mps' has no float64: use dtype='float32' or device='cpu'.")
    return Device("mps", "Apple GPU, as requested.")
