"""Results of the texture operation besides its maps: pictures of the bank, and the table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.operations.operation import Result, SpatialImage

if TYPE_CHECKING:
    import pandas as pd

    from napari_convfact.kernels.bank import KernelBank


def mosaic_result(bank: KernelBank) -> Result:
    """Return all kernels in one picture."""
    return Result(
        bank.mosaic(),
        "texture bank mosaic",
        like=None,
        leading_axes=tuple(f"kernel {axis}" for axis in ("z", "y", "x")[-bank.ndim :]),
        display={"colormap": "gray", "contrast_limits": (0.0, 1.0)},
    )


def kernels_result(bank: KernelBank) -> Result:
    """Return the kernels as a layer that other operations take."""
    limit = float(np.abs(bank.kernels).max()) or 1.0
    return Result(
        bank.kernels,
        "texture bank kernels",
        like=None,
        scale=(1.0,) * (1 + bank.ndim),
        leading_axes=("kernel", *("z", "y", "x")[-bank.ndim :]),
        display={"colormap": "gray", "contrast_limits": (-limit, limit), "visible": False},
    )


def numbered(table: pd.DataFrame, used: list[int], count: int) -> pd.DataFrame:
    """Return the table of some images with their numbers; without labels the others are NaN."""
    if len(used) == count:
        return table
    if table.index.nlevels == 1:
        return table.set_axis(used).reindex(range(count)).rename_axis("image")
    import pandas as pd

    pairs = [(used[image], label) for image, label in table.index]
    return table.set_axis(pd.MultiIndex.from_tuples(pairs, names=table.index.names))


def as_json(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table that can be kept in the provenance record."""
    # Images and labels are whole numbers, of which no digit may be lost.
    keys = table.index.to_frame().to_numpy().tolist()
    values = table.to_numpy(dtype=float)
    return {
        "columns": [*table.index.names, *table.columns],
        "rows": [[*key, *map(_short, row)] for key, row in zip(keys, values, strict=True)],
    }


def _short(value: float) -> float | None:
    """Return eight digits, wherever the point is; JSON has no NaN."""
    return float(f"{value:.8g}") if math.isfinite(value) else None


def layer_features(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a Labels layer has it: the label in a column ``index``."""
    flat = table.reset_index().rename(columns={"label": "index"})
    # A label that occurs in several images has one row for a layer: its mean.
    return flat.drop(columns="image").groupby("index", as_index=False).mean()


def _explained(shares: np.ndarray) -> str:
    last = f"{100 * shares[-1]:.1f} % of the variance"
    if len(shares) == 1:
        return f"1 kernel explains {last}."
    return f"{len(shares)} kernels explain {last}, the first alone {100 * shares[0]:.1f} %."


def with_summary(
    results: list[Result], bank: KernelBank | None, image: SpatialImage
) -> list[Result]:
    """Add to each result what is known of the bank."""
    summary: dict[str, Any] = {} if bank is None else {"kernels": len(bank)}
    if bank is not None and bank.explained is not None and bank.usage is not None:
        summary["explained"] = round(float(bank.explained[-1]), 6)
        summary["usage"] = [round(float(share), 4) for share in bank.usage]
        summary["explained_by_first"] = [round(float(share), 6) for share in bank.explained]
        summary["message"] = _explained(bank.explained)
    if image.rgb:
        summary["colour"] = "Textures are those of the luminance."
    return [
        Result(**{**vars(result), "summary": {**summary, **result.summary}}) for result in results
    ]
