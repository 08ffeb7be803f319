"""What every operator action shares: who acts, one transaction, a record of who did what and why, what was refused.

Beneath `control.py`, `steering.py` and `deadletters.py`, which hold the actions themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection, transaction

from jobs.errors import InvalidSubmission
from jobs.events import EventKind, ops_event
from jobs.models import Job, OperatorAction
from jobs.payloads import check_integer, check_text
from jobs.states import State
from jobs.store.values import Moved
from notifications.doorbell import ring
from notifications.log import append

__all__ = [
    "MAX_AT_ONCE",
    "ActionResult",
    "Actor",
    "Refusal",
    "acting",
    "checked_ids",
    "checked_reason",
    "ids_of",
    "record",
    "record_moves",
    "result_of",
    "transaction_now",
]

Result = TypeVar("Result")
MAX_AT_ONCE = 10_000
_DEADLOCK = "40P01"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user of the admin or the API, or the command line of the server (`user` None), which may do all."""

    user: Any = None
    name: str = "command line"

    @classmethod
    def of(cls, user: Any) -> Actor:
        return cls(user=user, name=user.get_username())

    @property
    def id(self) -> Any:
        """The user's key; None for the command line."""
        return getattr(self.user, "pk", None)

    def require(self, permission: str) -> None:
        """Raise PermissionDenied without `permission` (`jobs.cancel_job` and the like)."""
        if self.user is not None and not self.user.has_perm(permission):
            raise PermissionDenied(f'"{self.name}" lacks the permission {permission}.')


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One object an action left alone, and why."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What an action did: ids it changed, ids it asked a worker about, and what it refused."""

    done: list[int] = field(default_factory=list)
    requested: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def acting(work: Callable[[Any], Result]) -> Result:
    """Run an action in one transaction, again after a deadlock, and ring the bells when it has committed."""
    tries = 1 if connection.in_atomic_block else 5
    for attempt in range(1, tries + 1):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                result = work(cursor)
                for channel in ("opsched_control", "opsched_jobs", "opsched_events"):
                    ring(channel)
            return result
        except OperationalError as error:
            if attempt == tries or getattr(error.__cause__, "sqlstate", None) != _DEADLOCK:
                raise
    raise AssertionError("unreachable")


def record(
    cursor: Any,
    actor: Actor,
    action: str,
    target_type: str,
    target_id: object,
    *,
    reason: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write down one action and tell the other operators."""
    entry = {"action": action, "target_type": target_type, "target_id": str(target_id), "reason": reason}
    OperatorAction.objects.create(
        actor=actor.user, actor_name=actor.name, before=before or {}, after=after or {}, **entry
    )
    append(cursor, [ops_event(EventKind.OPERATOR_ACTION, actor=actor.name, **entry)])


def transaction_now(cursor: Any) -> Any:
    cursor.execute("SELECT clock_timestamp()")
    return cursor.fetchone()[0]


def record_moves(
    cursor: Any,
    actor: Actor,
    action: str,
    moved: Sequence[Moved],
    after: State,
    reason: str,
    before: State | None = None,
) -> None:
    if not moved:
        return
    entries = [
        OperatorAction(
            actor=actor.user,
            actor_name=actor.name,
            action=action,
            target_type="job",
            target_id=str(job.id),
            reason=reason,
            before={"state": before or job.before} if before or job.before else {},
            after={"state": after.value},
        )
        for job in moved
    ]
    OperatorAction.objects.bulk_create(entries, batch_size=1000)
    told = {"actor": actor.name, "action": action, "target_type": "job", "target_id": str(moved[0].id)}
    append(cursor, [ops_event(EventKind.OPERATOR_ACTION, reason=reason, count=len(moved), **told)])


def ids_of(moved: Sequence[Moved]) -> set[int]:
    return {job.id for job in moved}


def checked_ids(ids: Iterable[int]) -> list[int]:
    # Beyond a bigint the database would refuse the statement, not the id.
    wanted = sorted({check_integer(one, field="ids", low=-(2**63), high=2**63 - 1) for one in ids})
    if not wanted:
        raise InvalidSubmission("ids", "name at least one job")
    if len(wanted) > MAX_AT_ONCE:
        raise InvalidSubmission("ids", f"{len(wanted):,} jobs at once; at most {MAX_AT_ONCE:,} are allowed")
    return wanted


def checked_reason(reason: str, *, required: bool = False) -> str:
    return check_text(reason.strip(), field="reason", max_length=1000, empty=not required)


def result_of(
    wanted: Sequence[int], done: Sequence[Moved], asked: Sequence[Moved], why: str, **of_state: str
) -> ActionResult:
    """What was asked for and not done is refused with the state it is in, or as unknown.

    `of_state`: another `why` for jobs in that state.
    """
    left = [job for job in wanted if job not in ids_of(done) | ids_of(asked)]
    states = dict(Job.objects.filter(pk__in=left).values_list("pk", "state")) if left else {}
    refused = [
        Refusal(
            id=job,
            reason=f"job {job} {of_state.get(states[job], why).format(state=states[job])}"
            if job in states
            else f"there is no job {job}",
        )
        for job in left
    ]
    return ActionResult(done=sorted(ids_of(done)), requested=sorted(ids_of(asked)), refused=refused)
