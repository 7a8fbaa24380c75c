"""What a factorization found, as tables for the form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_EXACT_WAYS = {"separable": "multiplications_separable", "direct": "multiplications_direct"}


def factorization_text(summary: Mapping[str, Any]) -> str:
    """Return the chains, and what it takes to apply them, as rich text."""
    chains: Sequence[Mapping[str, Any]] = summary["details"]
    text = _table(("Chain", "Error", "Status"), [_chain_row(chain) for chain in chains])
    if len(chains) == 1:
        text += f"<p>{chains[0]['message']}</p>"
    text += f"<br>{_ways(chains)}"
    if "fastest" in summary:
        text += f"<p>{summary['fastest']}</p>"
    return text


def _chain_row(chain: Mapping[str, Any]) -> tuple[str, ...]:
    return chain["chain"], _percent(chain["relative_error"]), chain["status"]


def _ways(chains: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each chain and each exact way, with times where they were measured."""
    rows: list[tuple[str, ...]] = [
        (_name(chain, chains), str(chain["multiplications"]), _time(chain, "chain"))
        for chain in chains
    ]
    last = chains[-1]
    for way, key in _EXACT_WAYS.items():
        if last[key] is not None:
            rows.append((way, str(last[key]), _time(last, way)))
    if "milliseconds" in last:
        rows.append(("FFT", "", _time(last, "FFT")))
        return _table(("Applied", "Mult./pixel", "Time"), rows)
    return _table(("Applied", "Mult./pixel"), [row[:2] for row in rows])


def _name(chain: Mapping[str, Any], chains: Sequence[Mapping[str, Any]]) -> str:
    return "chain" if len(chains) == 1 else str(chain["chain"])


def _time(chain: Mapping[str, Any], way: str) -> str:
    milliseconds = chain.get("milliseconds", {}).get(way)
    return "" if milliseconds is None else f"{milliseconds:.3g} ms"


def _percent(error: float) -> str:
    return f"{100 * error:.2g} %" if error > 1e-6 else "none"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["".join(f"<th align='left'>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table cellpadding='3' width='100%'>{body}</table>"
