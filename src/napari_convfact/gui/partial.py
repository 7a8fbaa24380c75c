"""What a run had reached when it was cancelled."""

from __future__ import annotations

import math

from napari_convfact.foundation.job import Step
from napari_convfact.gui.run import Run
from napari_convfact.operations.operation import Result


def partial_result(run: Run, step: Step) -> Result | None:
    """Return the estimate of a step, labelled as partial; None where it is not a whole one."""
    source = next(iter(run.inputs.values()))
    estimate, shape = step.preview, tuple(source.data.shape)
    if estimate is None or source.rgb or estimate.size != math.prod(shape):
        return None  # of one frame of a stack: not the result as it would have been
    reached = f"cancelled after {step.done}" + (f" of {step.total}" if step.total else "")
    return Result(
        estimate.reshape(shape),
        f"{source.name} ({reached})",
        summary={"message": f"Partial: {reached}."},
    )
