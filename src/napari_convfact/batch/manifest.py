"""The record of a run in tiles: its recipe, constants, plan, and which tiles are done."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.batch.costs import Costs
from napari_convfact.batch.plan import TilePlan
from napari_convfact.batch.samples import sample_size, sample_windows
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.provenance import provenance, versions

_FILE, _DONE = "run.json", "done"
# Voxels of each sample that stands for a large image, and their number.
_SAMPLE, _SAMPLES = 2**14, 16
# Differences that do not change the numbers.
_WITHOUT_EFFECT = ("created", "summary")


@dataclass(frozen=True)
class Manifest:
    """What every process of a run must agree on.

    Attributes
    ----------
    recipe : dict
        Operation, parameters, sources with a fingerprint of their voxels, versions.
    constants : dict
        What was found once for all tiles.
    plan : TilePlan
        The tiles.
    files : tuple of str
        Names of the results.
    """

    recipe: dict[str, Any]
    constants: dict[str, Any]
    plan: TilePlan
    files: tuple[str, ...]

    @property
    def recipe_hash(self) -> str:
        """Hash of everything that decides the numbers."""
        return _hash({k: v for k, v in self.recipe.items() if k not in _WITHOUT_EFFECT})

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "recipe": self.recipe,
            "constants": self.constants,
            "plan": self.plan.to_dict(),
            "files": list(self.files),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Manifest:
        """Undo `to_dict`."""
        plan = TilePlan.from_dict(record["plan"])
        return cls(record["recipe"], record["constants"], plan, tuple(record["files"]))


def make_recipe(
    operation: Operation, parameters: Parameters, inputs: Mapping[str, SpatialImage]
) -> dict[str, Any]:
    """Return the provenance record of a run with fingerprints of what it reads."""
    recipe = provenance(operation, parameters, inputs, {})
    for name, image in inputs.items():
        recipe["sources"][name]["fingerprint"] = fingerprint(image.data)
    recipe["versions"] = {"napari-convfact": versions()["napari-convfact"]}
    # Through JSON once, so that a record from a file compares equal.
    result: dict[str, Any] = json.loads(json.dumps(recipe))
    return result


def fingerprint(data: Any) -> str:
    """Return a hash of an image's shape, type, and samples of its voxels."""
    size = sample_size(data.shape, _SAMPLE)
    digest = hashlib.sha256(repr((tuple(data.shape), str(data.dtype))).encode())
    count = min(_SAMPLES, math.ceil(math.prod(data.shape) / math.prod(size)) ** 2)
    for window in sample_windows(data, size, count):
        digest.update(np.ascontiguousarray(window).tobytes())
    return digest.hexdigest()[:16]


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in words what two recipes differ in; empty if they give the same numbers."""
    words = [key for key in ("operation", "versions") if old[key] != new[key]]
    names = {*old["parameters"], *new["parameters"]}
    for name in sorted(names):
        before, after = old["parameters"].get(name), new["parameters"].get(name)
        if before != after:
            words.append(f"{name} ({before} before, {after} now)")
    for name in sorted({*old["sources"], *new["sources"]}):
        before, after = (_without_path(record["sources"].get(name, {})) for record in (old, new))
        if before != after:
            words.append(f"the {name}")
    return ", ".join(words)


def _without_path(source: Mapping[str, Any]) -> dict[str, Any]:
    # The checksum is there only if the voxels are in memory; the fingerprint always is.
    return {k: v for k, v in source.items() if k not in ("path", "name", "checksum")}


class WorkFolder:
    """The folder in which a run keeps its results until they are complete.

    It is called like the result with ``.partial`` added.

    Parameters
    ----------
    output : Path
        Where the (first) result will be.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.with_name(output.name + ".partial")

    def exists(self) -> bool:
        """Return whether a run was begun and is not complete."""
        return (self.path / _FILE).is_file()

    def create(self, manifest: Manifest, fill: Any) -> None:
        """Create the folder in one step, so that of several processes one does it.

        Parameters
        ----------
        manifest : Manifest
            Of the run.
        fill : callable
            ``fill(folder)`` creates the empty results.
        """
        fresh = Path(tempfile.mkdtemp(dir=self.output.parent, prefix=f".{self.output.name}-"))
        try:
            fill(fresh)
            (fresh / _DONE).mkdir()
            text = json.dumps(manifest.to_dict(), indent=2, ensure_ascii=False)
            (fresh / _FILE).write_text(text, encoding="utf-8")
            fresh.chmod(0o777 & ~_umask())
            try:
                fresh.rename(self.path)
            except OSError:
                if self.exists():
                    return  # another process of the same run was faster
                if not self.path.exists():
                    raise
                raise ValueError(
                    f"{self.path} is in the way and holds no run: move it, or choose another name."
                ) from None
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def manifest(self) -> Manifest:
        """Read the record.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        text = (self.path / _FILE).read_text(encoding="utf-8")
        try:
            return Manifest.from_dict(json.loads(text))
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f"{self.path / _FILE} is damaged: delete {self.path.name} to start anew."
            ) from None

    def mark_done(self, number: int, recipe_hash: str, costs: Costs) -> None:
        """Write the marker of a tile whose voxels are all stored."""
        marker = self._marker(number)
        temporary = marker.with_name(f".{marker.name}-{os.getpid()}")
        temporary.write_text(f"{recipe_hash}\n{json.dumps(costs.to_dict())}\n", encoding="utf-8")
        temporary.replace(marker)

    def is_done(self, number: int) -> bool:
        """Return whether a tile has its marker."""
        return self._marker(number).exists()

    def _marker(self, number: int) -> Path:
        return self.path / _DONE / f"{number:08d}"

    def done(self, recipe_hash: str) -> dict[int, Costs]:
        """Return the numbers of the tiles that are done, and what they cost.

        A marker that a crash of the machine left empty or cut short marks nothing.

        Raises
        ------
        ValueError
            If a marker was left by another recipe.
        """
        found = {}
        for marker in (self.path / _DONE).iterdir():
            if not marker.name.isdecimal():
                continue
            recipe, _, costs = marker.read_text(encoding="utf-8").partition("\n")
            if recipe_hash.startswith(recipe.strip("\0")) and not costs.endswith("}\n"):
                continue
            if recipe != recipe_hash:
                raise ValueError(
                    f"{self.path} holds tiles of another recipe: delete it to start anew."
                )
            found[int(marker.name)] = Costs(**json.loads(costs))
        return found

    def remove(self) -> None:
        """Delete what an unfinished run left.

        It loses its name first: half of it, after a crash, would be in the way of the next run.
        """
        if not self.path.exists():
            return
        away = Path(tempfile.mkdtemp(dir=self.output.parent, prefix=f".{self.output.name}-"))
        try:
            self.path.rename(away / self.path.name)
        except OSError:  # another process was faster, or a file in it is open
            shutil.rmtree(self.path, ignore_errors=True)
        finally:
            shutil.rmtree(away, ignore_errors=True)


def _hash(record: Mapping[str, Any]) -> str:
    sources = {name: _without_path(source) for name, source in record["sources"].items()}
    text = json.dumps({**record, "sources": sources}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
