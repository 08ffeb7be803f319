"""What running handlers report: log lines and progress, written in batches, told live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from jobs.events import EventKind
from jobs.store.statements import Cursor, execute, rows
from notifications.log import EventDraft, append

__all__ = ["Line", "Mark", "Word", "were_written", "write_lines", "write_progress"]

Line = tuple[int, int, float, str, str]
"""Job id, attempt, unix seconds, level, text."""
Mark = tuple[int, Line]
"""The last line of a job in a batch, and the id that it was given."""
Word = tuple[int, int, float, str]
"""Job id, attempt, fraction 0..1, note."""
# An event is for showing, not for keeping: the lines themselves are in the table.
_TOLD_LINES = 50
_TOLD_LENGTH = 500


def write_lines(
    cursor: Cursor, lines: Sequence[Line], *, keep: int, unsent: Mapping[int, int] | None = None
) -> list[Mark]:
    """Append the lines in order and keep the newest `keep` of each job; what goes is counted and told.

    `unsent`: how many lines of each job their worker had to drop before they came here. Whoever does not hear of the
    commit asks `were_written` about what this returned.
    """
    unsent = unsent or {}
    newest, over_limit = _newest(lines, keep)
    ids: list[int] = []
    if newest:
        jobs, attempts, ats, levels, texts = (list(column) for column in zip(*newest, strict=True))
        params = {"jobs": jobs, "attempts": attempts, "ats": ats, "levels": levels, "lines": texts}
        ids = sorted(row[0] for row in rows(cursor, "write_log_lines", params))
        over_limit.update(dict(rows(cursor, "trim_log_lines", {"jobs": sorted(set(jobs)), "keep": keep})))
    lost = _count_lost(cursor, over_limit, unsent)
    by_job: dict[int, list[dict[str, object]]] = {job: [] for job in lost}
    for number, (job, attempt, at, level, text) in zip(ids, newest, strict=True):
        line = {"id": number, "attempt": attempt, "at": at, "level": level, "line": text[:_TOLD_LENGTH]}
        by_job.setdefault(job, []).append(line)
    append(cursor, [_lines_event(job, told, lost.get(job)) for job, told in by_job.items()])
    return list({line[0]: (number, line) for number, line in zip(ids, newest, strict=True)}.values())


def were_written(cursor: Cursor, marks: Sequence[Mark], *, keep: int) -> bool:
    """Did the transaction of `write_lines` commit, of which these are the marks? Its session must have ended before.

    The table alone answers, because nothing else can: after a crash the ids of the last transactions and of the last
    lines are given out again, if they were not on the disk yet, and so a transaction that is known to have committed
    under that id may be somebody else's. A line counts only under its id and with its job, attempt, time and text.

    True also where it cannot be known and writing them would be wrong: of each job there are newer lines instead, as
    many as are kept, or the job is gone.
    """
    ids, lines = (list(column) for column in zip(*marks, strict=True))
    jobs, attempts, ats, _, texts = (list(column) for column in zip(*lines, strict=True))
    params = {"ids": ids, "jobs": jobs, "attempts": attempts, "ats": ats, "lines": texts, "keep": keep}
    return not rows(cursor, "missing_log_lines", params)


def _newest(lines: Sequence[Line], keep: int) -> tuple[list[Line], Counter[int]]:
    """The newest `keep` lines of each job, in order, and how many older ones each had: not worth a row."""
    number = Counter(line[0] for line in lines)
    too_many = Counter({job: count - keep for job, count in number.items() if count > keep})
    left, newest = Counter(too_many), []
    for line in lines:
        if left[line[0]] > 0:
            left[line[0]] -= 1
        else:
            newest.append(line)
    return newest, too_many


def _count_lost(
    cursor: Cursor, over_limit: Mapping[int, int], unsent: Mapping[int, int]
) -> dict[int, dict[str, int]]:
    """Keep the count of lines that are gone; the totals of the jobs that lost any just now."""
    jobs = sorted({*over_limit, *unsent})
    if not jobs:
        return {}
    params = {
        "jobs": jobs,
        "over_limits": [over_limit.get(job, 0) for job in jobs],
        "unsents": [unsent.get(job, 0) for job in jobs],
    }
    return {row[0]: {"over_limit": row[1], "unsent": row[2]} for row in rows(cursor, "add_log_loss", params)}


def _lines_event(job: int, lines: Sequence[dict[str, object]], lost: dict[str, int] | None) -> EventDraft:
    told = lines[-_TOLD_LINES:]
    payload: dict[str, object] = {"job": job, "lines": told, "skipped": len(lines) - len(told)}
    if lost is not None:
        payload["lost"] = lost
    return EventDraft(kind=EventKind.JOB_LOG.value, topics=(f"job:{job}",), payload=payload)


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
