"""From an outcome to a transition: decides what the end of an attempt means. Pure; the store writes it.

Everything a handler said is bounded here (message, traceback, result), so that no job can grow the database at will.
"""

from __future__ import annotations

import json
import math
import random
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jobs.core.backoff import Backoff
from jobs.errors import InvalidSubmission, JobCancelled, JobsError, PermanentError
from jobs.fingerprints import fingerprint
from jobs.outcomes import (
    DONE,
    Cancel,
    Completed,
    Discard,
    Expire,
    Failed,
    GiveBack,
    Outcome,
    Reject,
    Retry,
    Settled,
    Snooze,
)
from jobs.payloads import encode_json
from jobs.states import State
from jobs.store.values import ClaimedJob, Error, Transition

__all__ = ["Policies", "class_names", "decide", "failed", "failure", "outcome_of"]

Policies = Mapping[str, Backoff | None]
"""What follows on an exception, by the full name of its class: a backoff, or None for a dead letter at once."""

MAX_MESSAGE = 4_000
MAX_TRACEBACK = 20_000
MAX_RESULT_DEPTH = 100
MAX_DELAY = 365 * 86400.0


def outcome_of(value: Any) -> Outcome:
    """What a handler returned, as an outcome."""
    if value is None:
        return DONE
    return value if isinstance(value, Outcome) else Completed(value)


def failure(error: BaseException) -> Outcome:
    """What a handler raised, as an outcome."""
    if isinstance(error, Outcome):
        return error
    if isinstance(error, JobCancelled):
        return Cancel(_said(error))
    frames = _frames(error)
    if len(frames) > MAX_TRACEBACK:
        # Both ends matter: where it began, and what was raised in the end.
        half = MAX_TRACEBACK // 2
        frames = f"{frames[:half]}\n… shortened …\n{frames[-half:]}"
    return Failed(
        error_class=type(error).__name__,
        message=_text(_said(error)),
        traceback=_clean(frames),
        permanent=isinstance(error, PermanentError),
        classes=class_names(type(error)),
    )


def failed(cause: type[JobsError], message: str, *, traceback: str = "") -> Failed:
    """A failure that the worker states itself, such as JobTimeout."""
    return Failed(
        error_class=cause.__name__, message=message, traceback=traceback, classes=class_names(cause)
    )


def class_names(cls: type[BaseException]) -> list[str]:
    """Full names of an exception class and its bases, nearest first."""
    return [f"{one.__module__}.{one.__qualname__}" for one in cls.__mro__]


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as unsayable:  # noqa: BLE001 - user code once more: a broken `__str__` must not end the worker's thread
        return f"(its text could not be made: {type(unsayable).__name__})"


def _frames(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as broken:  # noqa: BLE001 - reads attributes of the error, which is user code as well
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}{type(error).__name__} (which could not be described: {type(broken).__name__})\n"


def _no_policies() -> Policies:
    return {}


def decide(
    job: ClaimedJob,
    outcome: Outcome,
    *,
    backoff: Callable[[], Backoff],
    max_result: int,
    rng: random.Random,
    policies: Callable[[], Policies] = _no_policies,
) -> Transition:
    """The transition that follows from how an attempt ended.

    `policies` is asked for failures only, and `backoff` only where a delay is needed.
    """
    try:
        if isinstance(outcome, Failed) and not outcome.permanent:
            backoff, outcome = _by_policy(outcome, policies(), backoff)
        return _decide(job, outcome, backoff=backoff, max_result=max_result, rng=rng)
    except Exception as error:  # noqa: BLE001 - such as Snooze("soon"), or a result whose own methods fail
        # The outcome is user code's: a handler's mistake ends its own attempt, not the worker.
        message = _text(f"{type(outcome).__name__}: {_said(error)}")
        return _failed(
            job, Failed(error_class="InvalidOutcome", message=message, permanent=True), backoff, rng
        )


def _by_policy(
    outcome: Failed, policies: Policies, backoff: Callable[[], Backoff]
) -> tuple[Callable[[], Backoff], Failed]:
    """The backoff of the nearest class that has a policy; without one all stays as it is."""
    name = next((name for name in outcome.classes if name in policies), None)
    if name is None:
        return backoff, outcome
    found = policies[name]
    if found is None:
        return backoff, replace(outcome, permanent=True)
    return lambda: found, outcome


def _decide(
    job: ClaimedJob, outcome: Outcome, *, backoff: Callable[[], Backoff], max_result: int, rng: random.Random
) -> Transition:
    match outcome:
        case Completed(result=None):
            return Transition(job=job, target=State.COMPLETED)
        case Expire():
            # It has not begun, so no attempt is counted and none is in its history.
            return Transition(job=job, target=State.DISCARDED, reason=outcome.reason, refund=True)
        case Completed():
            return _completed(job, outcome.result, backoff=backoff, max_result=max_result, rng=rng)
        case Snooze() | GiveBack() | Discard() | Cancel():
            return _asked_for(job, outcome)
        case Settled():
            return outcome.transition
        case _:
            return _failed(job, outcome, backoff, rng)


def _asked_for(job: ClaimedJob, outcome: Snooze | GiveBack | Discard | Cancel) -> Transition:
    match outcome:
        case Snooze():
            delay = _bounded(outcome.seconds)
            return Transition(job=job, target=State.SCHEDULED, outcome="snoozed", delay=delay, refund=True)
        case GiveBack():
            return Transition(job=job, target=State.AVAILABLE, reason=_text(outcome.reason), refund=True)
        case Discard():
            return Transition(
                job=job, target=State.DISCARDED, outcome="discarded", reason=_text(outcome.reason)
            )
        case Cancel():
            return Transition(
                job=job, target=State.CANCELLED, outcome="cancelled", reason=_text(outcome.reason)
            )


def _completed(
    job: ClaimedJob, result: Any, *, backoff: Callable[[], Backoff], max_result: int, rng: random.Random
) -> Transition:
    try:
        text = encode_json(result, field="result", max_bytes=max_result, max_depth=MAX_RESULT_DEPTH)
    except InvalidSubmission as error:
        # The work is done, but its result cannot be kept: saying so beats losing it in silence.
        failed = Failed(error_class="InvalidResult", message=str(error), permanent=True)
        return _failed(job, failed, backoff, rng)
    return Transition(job=job, target=State.COMPLETED, result=text)


def _failed(
    job: ClaimedJob, outcome: Outcome, backoff: Callable[[], Backoff], rng: random.Random
) -> Transition:
    error, permanent, delay, word = _error_of(outcome)
    if permanent or job.attempt >= job.max_attempts:
        return Transition(job=job, target=State.DEAD, outcome=word, error=error)
    if delay is None:
        delay = backoff().delay(job.attempt, rng)
    delay = _bounded(delay)
    if job.stop_at is not None and time.monotonic() + delay >= job.stop_at:
        # Another attempt would begin after the job's deadline: somebody has to know now that there will be none.
        return Transition(job=job, target=State.DEAD, outcome=word, error=error)
    return Transition(job=job, target=State.RETRYABLE, outcome=word, error=error, delay=delay)


def _error_of(outcome: Outcome) -> tuple[Error, bool, float | None, str]:
    """(error, permanent, delay asked for, word in the history)."""
    match outcome:
        case Failed():
            error = Error(
                error_class=_clean(outcome.error_class)[:200],
                message=_text(outcome.message),
                traceback=_clean(outcome.traceback)[: MAX_TRACEBACK + 100],
                fingerprint=fingerprint(outcome.error_class, outcome.message, outcome.traceback),
            )
            return error, outcome.permanent, None, "failed"
        case Retry():
            message = _text(outcome.reason)
            error = Error(error_class="Retry", message=message, fingerprint=fingerprint("Retry", message, ""))
            return error, False, outcome.after, "failed"
        case Reject():
            # A text is a list of texts too, and "no" would be told as "n; o".
            errors = [outcome.errors] if isinstance(outcome.errors, str) else outcome.errors
            message = _text("; ".join(str(one) for one in errors))
            error = Error(
                error_class="Reject", message=message, fingerprint=fingerprint("Reject", message, "")
            )
            return error, False, None, "rejected"
        case _:
            raise TypeError(f"{type(outcome).__name__} is not an outcome a worker knows")


def _bounded(seconds: float) -> float:
    """A delay the database can add: finite, not negative, at most a year."""
    value = float(seconds)
    if math.isnan(value):
        # As nothing it would be "at once", and a job that snoozes so would go round for ever, at no cost in attempts.
        raise ValueError("the delay is not a number")
    return min(MAX_DELAY, max(0.0, value))


def _clean(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _text(text: str) -> str:
    return _clean(text)[:MAX_MESSAGE]


# Reading options is rare (most jobs have none); kept here because it belongs to the decision.
def backoff_from(options: str | None, default: Backoff) -> Backoff:
    """The backoff of a job: its own where it was submitted with one, else the kind's."""
    stored = json.loads(options).get("backoff") if options else None
    return default if stored is None else Backoff.from_dict(stored)
