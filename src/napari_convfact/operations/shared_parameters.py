"""Parameters that several operations have, declared once."""

from __future__ import annotations

from typing import Annotated, Literal

from napari_convfact.operations.parameters import Field

Device = Annotated[
    str,
    Field(
        "Device",
        "auto, cpu, cuda, cuda:1 or mps.",
        advanced=True,
        suggestions=("auto", "cpu", "cuda", "mps"),
    ),
]

Missing = Annotated[
    Literal["error", "fill"],
    Field(
        "Missing values",
        "NaN and infinite values: refuse them, or fill them from their neighbours and put "
        "them back into the result.",
        advanced=True,
    ),
]
