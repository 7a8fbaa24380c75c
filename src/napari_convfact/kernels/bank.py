"""A bank of convolution kernels: what textures are described with and networks are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from napari_convfact.foundation.archive import complete_archive, read_archive, write_archive
from napari_convfact.foundation.validate import check_kernel

_KIND = "kernel bank"


@dataclass(frozen=True, eq=False)
class KernelBank:
    """Convolution kernels of one size, with names.

    Attributes
    ----------
    kernels : numpy.ndarray
        float32, ``(n, *k)``, or ``(n, c, *k)`` where each kernel mixes `c` channels.
        Origin at index ``k // 2`` of each axis.
    names : tuple of str
        One for each kernel; ``kernel 0``, ``kernel 1`` ... by default.
    ndim : int
        Number of spatial axes, ``len(k)``.
    dilations : tuple of int
        Spacing of each kernel's taps; the entries between them are zero. All 1 by default.
    usage : numpy.ndarray or None
        ``(n,)``, share of the training images that each kernel predicts best.
    explained : numpy.ndarray or None
        ``(n,)``, share of the variance that the first, the first two, ... kernels explain
        when the best of them predicts each image.
    metadata : mapping
        JSON-ready record of how the bank was made.

    Raises
    ------
    ValueError
        If the kernels are not finite numbers of the stated number of axes, or if the names
        or dilations do not match them.
    """

    kernels: np.ndarray
    names: tuple[str, ...] = ()
    ndim: int = 2
    dilations: tuple[int, ...] = ()
    usage: np.ndarray | None = None
    explained: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kernels = check_kernel(self.kernels, name="kernel bank", dtype="float32")
        if kernels.ndim - self.ndim not in (1, 2):
            raise ValueError(
                f"A bank of {self.ndim}-D kernels is (n, *k) or (n, channels, *k), "
                f"but its shape is {kernels.shape}: set ndim to the number of spatial axes."
            )
        n = len(kernels)
        values: dict[str, Any] = {
            "kernels": kernels,
            "names": tuple(map(str, self.names)) or tuple(f"kernel {i}" for i in range(n)),
            "dilations": tuple(map(int, self.dilations)) or (1,) * n,
        }
        for name in ("usage", "explained"):
            if getattr(self, name) is not None:
                values[name] = np.asarray(getattr(self, name), dtype=np.float32)
        for name, value in values.items():
            if len(value) != n:
                raise ValueError(f"The bank has {n} kernels but {len(value)} {name}.")
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.kernels)

    @property
    def channels(self) -> int | None:
        """Number of input channels, or None where kernels are ``(n, *k)``."""
        return self.kernels.shape[1] if self.kernels.ndim == self.ndim + 2 else None

    def select(self, indices: Sequence[int]) -> KernelBank:
        """Return the bank of some of the kernels, in the given order.

        Raises
        ------
        IndexError
            If the bank has no kernel of such an index.
        """
        chosen = list(indices)
        for index in chosen:
            if not -len(self) <= index < len(self):
                raise IndexError(f"There is no kernel {index} in a bank of {len(self)}.")
        return KernelBank(
            self.kernels[chosen],
            tuple(self.names[i] for i in chosen),
            self.ndim,
            tuple(self.dilations[i] for i in chosen),
            metadata=self.metadata,
        )

    def mosaic(
        self, *, columns: int | None = None, gap: int = 1, shared: bool = False
    ) -> np.ndarray:
        """Return all kernels side by side in one picture.

        Parameters
        ----------
        columns : int, optional
            Kernels in a row; by default a row for each kernel's channels, or a square.
        gap : int
            Pixels between kernels, filled with 0.5.
        shared : bool
            Show all kernels on one scale with zero at 0.5, instead of each from its
            smallest (0) to its largest value (1).

        Returns
        -------
        numpy.ndarray
            float32 in [0, 1], two-dimensional; 3-D kernels give a stack of mosaics, one
            for each plane.

        Raises
        ------
        ValueError
            If there would be less than one column.
        """
        if columns is not None and columns < 1:
            raise ValueError(f"columns must be at least 1, not {columns!r}.")
        tiles = self._tiles(shared)
        count, *planes, height, width = tiles.shape
        columns = columns or self.channels or math.ceil(math.sqrt(count))
        rows = math.ceil(count / columns)
        shape = (*planes, rows * (height + gap) - gap, columns * (width + gap) - gap)
        picture = np.full(shape, 0.5, dtype=np.float32)
        for index, tile in enumerate(tiles):
            top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
            picture[..., top : top + height, left : left + width] = tile
        return picture

    def _tiles(self, shared: bool) -> np.ndarray:
        spatial = self.kernels.shape[-self.ndim :]
        # A 1-D kernel is a picture of one row.
        tiles = self.kernels.reshape(-1, *(1,) * (self.ndim == 1), *spatial)
        if shared:
            limit = np.abs(tiles).max() or 1.0
            return tiles / (2 * limit) + 0.5
        axes = tuple(range(1, tiles.ndim))
        low, high = tiles.min(axis=axes, keepdims=True), tiles.max(axis=axes, keepdims=True)
        return np.where(high > low, (tiles - low) / np.where(high > low, high - low, 1), 0.5)

    def save(self, path: str | Path) -> Path:
        """Write the bank to a NumPy archive that holds no pickle.

        Parameters
        ----------
        path : str or Path
            ``.npz`` is added where it is missing.

        Returns
        -------
        Path
            The file that was written.
        """
        header = {
            "names": self.names,
            "ndim": self.ndim,
            "dilations": self.dilations,
            "metadata": dict(self.metadata),
        }
        arrays = {"kernels": self.kernels}
        for name in ("usage", "explained"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        return write_archive(path, _KIND, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a bank that `save` wrote.

        Raises
        ------
        ValueError
            If the file is something else.
        FileNotFoundError
            If there is no such file.
        """
        header, arrays = read_archive(path, _KIND)
        with complete_archive(path, _KIND):
            return cls(
                arrays["kernels"],
                tuple(header["names"]),
                header["ndim"],
                tuple(header["dilations"]),
                arrays.get("usage"),
                arrays.get("explained"),
                header["metadata"],
            )

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, layer: str | None = None, *, channels: str | int = "all"
    ) -> KernelBank:
        """Take the kernels of a network's convolution layer.

        See Also
        --------
        napari_convfact.kernels.checkpoints.bank_from_checkpoint
        """
        from napari_convfact.kernels.checkpoints import bank_from_checkpoint

        return bank_from_checkpoint(path, layer, channels=channels)
