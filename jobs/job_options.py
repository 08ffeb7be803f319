"""What a job that is submitted carries in its options: what is rare, checked, in the form in which it is stored.

Pure but for the clock of this process, which only says what lies in the past.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from jobs.core.backoff import Backoff
from jobs.errors import InvalidSubmission
from jobs.payloads import check_later, check_seconds, check_text, check_time
from jobs.unique import Unique

__all__ = ["MAX_TIMEOUT", "options_of", "times_of"]

MAX_TIMEOUT = 7 * 86400.0

MAX_DEADLINE = 366 * 86400.0


class Spec(Protocol):
    """The part of a JobSpec that is looked at here."""

    @property
    def scheduled_at(self) -> datetime | None: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def deadline(self) -> datetime | float | None: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def backoff(self) -> Backoff | None: ...
    @property
    def concurrency_key(self) -> str | None: ...


def times_of(spec: Spec, at: str) -> dict[str, Any]:
    """Start deadline and deadline as they are stored: instants as text, seconds as they are."""
    if spec.expires_at is None and spec.deadline is None:
        return {}
    now = datetime.now(UTC)
    starts = None if spec.scheduled_at is None else check_time(spec.scheduled_at, field=f"{at}scheduled_at")
    times: dict[str, Any] = {}
    if spec.expires_at is not None:
        expires = check_later(spec.expires_at, field=f"{at}expires_at", now=now, earliest=starts)
        times["expires_at"] = expires.astimezone(UTC).isoformat()
    if isinstance(spec.deadline, int | float):
        seconds = check_seconds(spec.deadline, field=f"{at}deadline", high=MAX_DEADLINE)
        check_later(now + timedelta(seconds=seconds), field=f"{at}deadline", now=now, earliest=starts)
        times["deadline"] = seconds
    elif spec.deadline is not None:
        last = check_later(spec.deadline, field=f"{at}deadline", now=now, earliest=starts)
        times["deadline"] = last.astimezone(UTC).isoformat()
    return times


def options_of(spec: Spec, unique: Unique | None, times: dict[str, Any], at: str) -> str | None:
    """The JSON text, with the times already found; None where there is nothing to keep."""
    options = {**times}
    if unique is not None:
        options["unique_key"] = unique.to_dict()
    if spec.timeout is not None:
        options["timeout"] = check_seconds(spec.timeout, field=f"{at}timeout", high=MAX_TIMEOUT)
    if spec.backoff is not None:
        if not isinstance(spec.backoff, Backoff):
            reason = f"must be one of jobs.core.backoff, not {type(spec.backoff).__name__}"
            raise InvalidSubmission(f"{at}backoff", reason)
        options["backoff"] = spec.backoff.to_dict()
    if spec.concurrency_key is not None:
        options["concurrency_key"] = check_text(
            spec.concurrency_key, field=f"{at}concurrency_key", max_length=200
        )
    return json.dumps(options) if options else None
