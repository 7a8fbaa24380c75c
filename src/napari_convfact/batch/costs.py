"""What tiles cost: reading, preparing filters, computing and writing, each on its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Literal

Phase = Literal["reading", "preparing", "computing", "writing"]
PHASES: tuple[Phase, ...] = ("reading", "preparing", "computing", "writing")


@dataclass
class Costs:
    """Time of each phase of a tile, or of many.

    Attributes
    ----------
    seconds : dict of str to float
        On the clock.
    processor : dict of str to float
        Processor seconds of all threads of the process.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    processor: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Count what passes inside the block."""
        clock, processor = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - clock
            self.processor[name] += time.process_time() - processor

    @property
    def total(self) -> float:
        """Seconds on the clock of all phases."""
        return sum(self.seconds.values())

    def __str__(self) -> str:
        total = sum(self.processor.values())
        shares = (
            f"{name} {100 * self.processor[name] / total:.0f} %"
            for name in PHASES
            if self.processor[name]
        )
        return f"{total:.1f} processor seconds: {', '.join(shares)}"

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return a JSON-ready record, of which `Costs` takes the keywords."""
        return asdict(self)


def sum_costs(parts: Iterable[Costs]) -> Costs:
    """Return what many tiles cost together."""
    total = Costs()
    for part in parts:
        for name in PHASES:
            total.seconds[name] += part.seconds[name]
            total.processor[name] += part.processor[name]
    return total


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it, without digits that nobody knows."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
