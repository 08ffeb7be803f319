"""What travels between a worker and its child processes, and in which form.

To the child go pickled tuples of the worker's own values. Back comes JSON and nothing else: whatever a handler put into
its answer, or wrote into the pipe itself, must not be able to run code in the worker, or fail there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from jobs.context import Report
from jobs.errors import InvalidSubmission
from jobs.outcomes import Cancel, Completed, Discard, Failed, GiveBack, Outcome, Reject, Retry, Snooze
from jobs.payloads import encode_json
from jobs.store.values import ClaimedJob

__all__ = ["MOST_BESIDE", "Said", "Unreadable", "decode_outcome", "encode_outcome", "read"]

MAX_RESULT_DEPTH = 100
MOST_BESIDE = 1024 * 1024
"""Bytes of an answer beside the result: errors with their tracebacks are far below it."""
_OUTCOMES: dict[str, type[Any]] = {
    one.__name__: one for one in (Cancel, Completed, Discard, Failed, GiveBack, Reject, Retry, Snooze)
}


def encode_outcome(outcome: Outcome, *, max_result: int) -> str:
    """JSON of an outcome; what cannot be told becomes the failure that says so."""
    try:
        if isinstance(outcome, Completed):
            result = encode_json(
                outcome.result, field="result", max_bytes=max_result, max_depth=MAX_RESULT_DEPTH
            )
            return f'["Completed",{{"result":{result}}}]'
        told = {field.name: getattr(outcome, field.name) for field in fields(outcome)}  # type: ignore[arg-type]
        text = json.dumps([type(outcome).__name__, told])
        if len(text) > MOST_BESIDE // 2:
            return _failure("InvalidOutcome", f"{type(outcome).__name__} with {len(text):,} bytes")
        return text
    except InvalidSubmission as error:
        return _failure("InvalidResult", str(error))
    except Exception as error:  # noqa: BLE001 - fields of an outcome are user code's, and so are their methods
        return _failure("InvalidOutcome", f"{type(outcome).__name__}: {type(error).__name__}")


def _failure(error_class: str, message: str) -> str:
    return json.dumps(["Failed", {"error_class": error_class, "message": message, "permanent": True}])


def decode_outcome(told: list[Any]) -> Outcome:
    """The outcome again, in the worker."""
    name, values = told
    known = _OUTCOMES.get(name)
    if known is None:
        message = f"{name} is not an outcome a worker knows"
        return Failed(error_class="InvalidOutcome", message=message, permanent=True)
    outcome: Outcome = known(**values)
    return outcome


class Unreadable(Exception):
    """Nothing that a child of ours says: something else has written into its pipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One word of a child: a report, or how its attempt ended. `spent`: it wants no further job."""

    report: Report | None = None
    outcome: Outcome | None = None
    spent: bool = False


def read(data: bytes, job: ClaimedJob) -> Said:
    """What the child that runs this attempt has said. Raises Unreadable."""
    try:
        match json.loads(data):
            case ["report", [int(), int(), int() | float(), str(), *rest] as report] if _is_report(rest):
                return Said(report=tuple(report))
            case ["ended", job.id, job.attempt, [str(), dict()] as told, bool(spent)]:
                return Said(outcome=decode_outcome(told), spent=spent)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable from error
    raise Unreadable


def _is_report(rest: list[Any]) -> bool:
    """A line has its text behind the level, a word of progress nothing behind its note."""
    return not rest or (len(rest) == 1 and isinstance(rest[0], str))
