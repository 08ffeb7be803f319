"""How a benchmark says what it found: lines for a reader as it goes, one JSON object as the last line.

Rows carry the bar beside the figure; `benchmarks.everything` gathers them into the table of docs/performance.md.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Row", "finish", "say", "spread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. `bar`: in words; `met`: None where there is no bar."""

    what: str
    figure: str
    bar: str = ""
    met: bool | None = None


def say(*words: object) -> None:
    """Progress, for whoever watches; standard output stays for the result."""
    print(*words, file=sys.stderr, flush=True)


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """median (min to max)"""
    middle = statistics.median(values)
    if len(values) == 1:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def finish(name: str, rows: Sequence[Row], **figures: Any) -> None:
    """The result, for a reader and for `everything`."""
    for row in rows:
        met = {True: "met", False: "NOT MET", None: ""}[row.met]
        say(f"{row.what}: {row.figure}", f"[{row.bar}: {met}]" if row.bar else "")
    print(json.dumps({"benchmark": name, "rows": [asdict(row) for row in rows], "figures": figures}))
