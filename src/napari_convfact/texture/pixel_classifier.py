"""A classifier of pixels that is kept: painted on a part, applied to the whole and to others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_convfact.foundation.archive import complete_archive, read_archive, write_archive
from napari_convfact.foundation.job import Job
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.pixels import grow_job

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from napari_convfact.texture.pixel_features import PixelFeatures

_KIND = "pixel classifier"


@dataclass(frozen=True, eq=False)
class PixelClassifier:
    """The painted examples, and what their features are made of.

    The forest is grown from them again where it is needed, which takes seconds and no pickle.

    Attributes
    ----------
    examples : numpy.ndarray
        float32, ``(painted, features)``.
    labels : numpy.ndarray
        Whole numbers, ``(painted,)``.
    names : tuple of str
        Of the features.
    features : tuple of str
        Their kinds; see `classify_pixels`.
    sigma : float
        Window that they are averaged over.
    ndim : int
        Spatial axes.
    channels : int
        Of the image.
    bank : KernelBank or None
        For residuals.
    n_trees, seed : int
        Of the forest.
    """

    examples: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    features: tuple[str, ...]
    sigma: float
    ndim: int
    channels: int
    bank: KernelBank | None
    n_trees: int
    seed: int

    @property
    def classes(self) -> list[int]:
        """The labels that it tells apart, in ascending order."""
        return [int(label) for label in np.unique(self.labels)]

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides its answers."""
        parts: Iterable[bytes] = (
            np.ascontiguousarray(self.examples).tobytes(),
            np.ascontiguousarray(self.labels, dtype=np.int64).tobytes(),
            repr((self.names, self.features, self.sigma, self.n_trees, self.seed)).encode(),
            b"" if self.bank is None else self.bank.kernels.tobytes(),
        )
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        return digest.hexdigest()[:16]

    def check_features(self, computed: PixelFeatures) -> None:
        """Raise a ValueError unless an image's features are those that it was painted on."""
        if computed.names != self.names:
            raise ValueError(
                f"The classifier knows {len(self.names)} features that were made in another way "
                f"than the {len(computed.names)} of this version: paint and save it again."
            )

    def forest_job(self) -> Job[RandomForestClassifier]:
        """Grow the forest (a job)."""
        return grow_job(self.examples, self.labels, self.n_trees, self.seed)

    def save(self, path: str | Path) -> Path:
        """Write it to a NumPy archive that holds no pickle; ``.npz`` is added if missing."""
        header = {
            "names": list(self.names),
            "features": list(self.features),
            "sigma": self.sigma,
            "ndim": self.ndim,
            "channels": self.channels,
            "n_trees": self.n_trees,
            "seed": self.seed,
            "bank": self.bank and {"names": self.bank.names, "dilations": self.bank.dilations},
        }
        arrays = {"examples": self.examples, "labels": self.labels}
        if self.bank is not None:
            arrays["kernels"] = self.bank.kernels
        return write_archive(path, _KIND, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is not there or is something else.
        """
        try:
            header, arrays = read_archive(path, _KIND)
        except FileNotFoundError:
            raise ValueError(f"There is no classifier {path}: choose one that was saved.") from None
        with complete_archive(path, _KIND):
            return cls._of(header, arrays)

    @classmethod
    def _of(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        bank = header["bank"] and KernelBank(
            arrays["kernels"],
            tuple(header["bank"]["names"]),
            header["ndim"],
            tuple(header["bank"]["dilations"]),
        )
        return cls(
            arrays["examples"],
            arrays["labels"],
            tuple(header["names"]),
            tuple(header["features"]),
            header["sigma"],
            header["ndim"],
            header["channels"],
            bank,
            header["n_trees"],
            header["seed"],
        )
