"""What running handlers report: log lines and progress, written in batches, told live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.events import EventKind
from jobs.store.statements import Cursor, execute
from notifications.log import EventDraft, append

__all__ = ["Line", "Word", "write_lines", "write_progress"]

Line = tuple[int, int, float, str, str]
"""Job id, attempt, unix seconds, level, text."""
Word = tuple[int, int, float, str]
"""Job id, attempt, fraction 0..1, note."""


def write_lines(cursor: Cursor, lines: Sequence[Line], *, keep: int) -> None:
    """Append the lines in order and keep the newest `keep` of each job."""
    if not lines:
        return
    jobs, attempts, ats, levels, texts = (list(column) for column in zip(*lines, strict=True))
    execute(
        cursor,
        "write_log_lines",
        {"jobs": jobs, "attempts": attempts, "ats": ats, "levels": levels, "lines": texts},
    )
    execute(cursor, "trim_log_lines", {"jobs": sorted(set(jobs)), "keep": keep})
    by_job: dict[int, list[dict[str, object]]] = {}
    for job, attempt, at, level, text in lines:
        by_job.setdefault(job, []).append({"attempt": attempt, "at": at, "level": level, "line": text[:500]})
    drafts = [
        EventDraft(
            kind=EventKind.JOB_LOG.value, topics=(f"job:{job}",), payload={"job": job, "lines": told[-50:]}
        )
        for job, told in by_job.items()
    ]
    append(cursor, drafts)


def write_progress(cursor: Cursor, words: Mapping[int, Word]) -> None:
    """The latest word of each job."""
    if not words:
        return
    told = [words[job] for job in sorted(words)]
    params = {
        "jobs": [word[0] for word in told],
        "attempts": [word[1] for word in told],
        "fractions": [word[2] for word in told],
        "notes": [word[3] for word in told],
    }
    execute(cursor, "write_progress", params)
    drafts = [
        EventDraft(
            kind=EventKind.JOB_PROGRESS.value,
            topics=(f"job:{job}",),
            payload={"job": job, "attempt": attempt, "fraction": fraction, "note": note},
        )
        for job, attempt, fraction, note in told
    ]
    append(cursor, drafts)
