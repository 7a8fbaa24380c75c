"""Images with leading axes: independent items that are worked on one after the other."""

from __future__ import annotations

from typing import TypeVar

from napari_convfact.foundation.job import Job, Step, relay

T = TypeVar("T")


def within_stack(job: Job[T], index: int, count: int) -> Job[T]:
    """Run the job of an item (or some) and report its steps as the whole stack's.

    Parameters
    ----------
    job : generator of Step
        The item's job.
    index, count : int
        Which item of how many.

    Yields
    ------
    Step
        Of the only item unchanged; otherwise counted in items and without preview, which
        would show one item of the stack.

    Returns
    -------
    object
        What the item's job returns.
    """
    if count == 1:
        return (yield from job)
    return (
        yield from relay(
            job, lambda step: Step(index, count, f"{index + 1} of {count}: {step.message}")
        )
    )
