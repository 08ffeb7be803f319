"""What a handler may answer: the values that travel from the executor to completion.

A handler returns one of these, raises one, or returns any JSON value (which means `Completed`). Nothing here writes.
An outcome is an exception so that code deep inside a handler can raise it; its fields are set once and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

from jobs.store.values import Transition

__all__ = [
    "DONE",
    "Cancel",
    "Completed",
    "Discard",
    "Expire",
    "Failed",
    "GiveBack",
    "Outcome",
    "Reject",
    "Retry",
    "Settled",
    "Snooze",
]


class Outcome(Exception):
    """Base of all answers. Fields cannot be set twice; the interpreter may still attach a traceback."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("__") and name in self.__dict__:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super().__setattr__(name, value)


@dataclass(eq=False)
class Completed(Outcome):
    """The job is done. `result`: any JSON value, kept with the job."""

    result: Any = None


DONE = Completed()
"""What a handler that returns nothing answers: one for all of them, since making an exception costs more than a short
job. Never raised."""


@dataclass(eq=False, kw_only=True)
class Retry(Outcome):
    """Try again; counts as a failed attempt. `after`: seconds, or None for the kind's backoff."""

    after: float | None = None
    reason: str = ""


@dataclass(eq=False)
class Snooze(Outcome):
    """Not yet: run again after `seconds`, at no cost in attempts."""

    seconds: float


@dataclass(eq=False)
class Discard(Outcome):
    """The job makes no sense any more and ends as discarded. `reason` is recorded."""

    reason: str = ""


@dataclass(eq=False)
class Cancel(Outcome):
    """The job ends as cancelled. `reason` is recorded."""

    reason: str = ""


@dataclass(eq=False)
class Reject(Outcome):
    """The input or a producer's answer was refused; tried again like a failure. `errors`: one sentence each."""

    errors: list[str] = field(default_factory=list)


@dataclass(eq=False, kw_only=True)
class Failed(Outcome):
    """Made by the executor from an exception: class name, message, traceback text (bounded).

    classes: full names of the class and its bases, nearest first, for the kind's retry policies.
    """

    error_class: str
    message: str
    traceback: str = ""
    permanent: bool = False
    classes: Sequence[str] = ()


@dataclass(eq=False)
class Expire(Outcome):
    """Made by the worker: the job's start deadline or deadline passed before its handler began."""

    reason: str = ""


@dataclass(eq=False)
class GiveBack(Outcome):
    """Made by the worker: the job did not run to an end because the worker stops. Costs no attempt."""

    reason: str = ""


@dataclass(eq=False)
class Settled(Outcome):
    """Made by `atomic`: the handler's own transaction has recorded this end, or the fence refused it there."""

    transition: Transition
