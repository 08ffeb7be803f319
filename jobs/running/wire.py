"""What travels between a worker and its child processes, and in which form.

To the child go pickled tuples of the worker's own values. Back comes JSON and nothing else: whatever a handler put into
its answer must not be able to run code in the worker, or fail there.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from jobs.errors import InvalidSubmission
from jobs.outcomes import Cancel, Completed, Discard, Failed, GiveBack, Outcome, Reject, Retry, Snooze
from jobs.payloads import encode_json

__all__ = ["decode_outcome", "encode_outcome"]

MAX_RESULT_DEPTH = 100
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
        return json.dumps([type(outcome).__name__, told])
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
