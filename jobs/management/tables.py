"""Jobs as `manage.py jobs` shows them: dicts for programs, rich tables on a terminal, plain columns into a pipe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.explanation import overtaken_until
from jobs.management.plain import plain
from jobs.models import Job
from jobs.states import State
from jobs.submit import Submitted

__all__ = ["details", "show_job", "show_list", "submitted", "summary"]

_COLOURS = {
    State.COMPLETED: "green",
    State.DEAD: "bold red",
    State.RUNNING: "cyan",
    State.RETRYABLE: "yellow",
}
_COLUMNS = ("id", "state", "kind", "queue", "priority", "attempt", "created_at")
_LOG_LINES = 20


def summary(job: Job) -> dict[str, Any]:
    """One line of a list."""
    return {
        "id": job.pk,
        "state": job.state,
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "workflow": job.workflow_id,
        "task": job.task,
        "created_at": _iso(job.created_at),
        "scheduled_at": _iso(job.scheduled_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
    }


def submitted(placed: Submitted) -> dict[str, Any]:
    """What became of a submission."""
    told: dict[str, Any] = {"id": placed.id, "state": placed.state.value}
    if placed.duplicate:
        told |= {"duplicate": True, "replaced": placed.replaced, "result": placed.result}
    return told


def details(job: Job) -> dict[str, Any]:
    """Everything about one job: its payload, result, attempts, dead letter, last log lines."""
    letter = getattr(job, "dead_letter", None)
    lines = list(job.log_lines.order_by("-pk")[:_LOG_LINES])[::-1]
    return {
        **summary(job),
        "ready_at": _iso(job.ready_at),
        "overtaken_until": _iso(overtaken_until(job)),
        "worker": job.worker_id,
        "payload": job.payload,
        "result": job.result,
        "options": job.options,
        "parents": list(job.parent_edges.order_by("parent_id").values_list("parent_id", flat=True)),
        "children": list(job.child_edges.order_by("child_id").values_list("child_id", flat=True)),
        "attempts": [
            {
                "number": attempt.number,
                "outcome": attempt.outcome,
                "worker": attempt.worker_id,
                "started_at": _iso(attempt.started_at),
                "finished_at": _iso(attempt.finished_at),
                "error_class": attempt.error_class,
                "message": attempt.message,
            }
            for attempt in job.attempts.order_by("number", "pk")
        ],
        "dead_letter": None
        if letter is None
        else {
            "error_class": letter.error_class,
            "message": letter.message,
            "traceback": letter.traceback,
            "fingerprint": letter.fingerprint,
            "died_at": _iso(letter.died_at),
        },
        "log_lines": [{"at": _iso(line.at), "level": line.level, "line": line.line} for line in lines],
    }


def show_list(out: Any, jobs: Sequence[Job]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        # Ids are what the next command needs, so they are never cut.
        table.add_column(column, no_wrap=True, overflow="ignore" if column == "id" else "ellipsis")
    for job in jobs:
        told = summary(job)
        cells = [str(told[column]) for column in _COLUMNS]
        cells[5] = f"{job.attempt}/{job.max_attempts}"
        # Text, not markup: a kind or queue may hold brackets one day.
        table.add_row(
            *(Text(cell, style=_style(job, name)) for name, cell in zip(_COLUMNS, cells, strict=True))
        )
    _print(out, table)


def show_job(out: Any, job: Job) -> None:
    told = details(job)
    lines, attempts, letter = told.pop("log_lines"), told.pop("attempts"), told.pop("dead_letter")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in told.items():
        table.add_row(name, Text(plain(_shown(value)), style=_style(job, name)))
    for attempt in attempts:
        error = (
            f"{attempt['error_class']}: {attempt['message']}"
            if attempt["error_class"]
            else attempt["message"]
        )
        row = f"{attempt['outcome']} at {attempt['finished_at']} (worker {attempt['worker']}) {error}"
        table.add_row(f"attempt {attempt['number']}", Text(plain(row)))
    if letter is not None:
        table.add_row("dead", Text(plain(f"{letter['error_class']}: {letter['message']}"), style="bold red"))
        table.add_row("traceback", Text(plain(letter["traceback"])))
    for line in lines:
        table.add_row("log", Text(plain(f"{line['at']} {line['level']} {line['line']}")))
    _print(out, table)


def _print(out: Any, table: Table) -> None:
    """Onto Django's output, without the blanks that pad a table. A pipe has no width: nothing is cut there."""
    terminal = out.isatty()
    width = shutil.get_terminal_size().columns if terminal else 2_000
    console = Console(file=StringIO(), force_terminal=terminal, width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        out.write(line.rstrip())


def _style(job: Job, column: str) -> str:
    return _COLOURS.get(State(job.state), "") if column == "state" else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
