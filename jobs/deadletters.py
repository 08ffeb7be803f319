"""Operator actions on dead letters: replay and discard, at once or as a run over a frozen set; another payload.

Same rules as `control.py`. Many letters go in two steps: `preview` freezes the set, `confirm` acts on exactly that set,
and only for the operator who froze it, while it is fresh. `deadletter_steering.py` has what can be done to a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import timedelta
from typing import Any

from django.db import OperationalError

from jobs import letter_runs
from jobs.acting import (
    MAX_AT_ONCE,
    ActionResult,
    Actor,
    acting,
    checked_ids,
    checked_reason,
    record,
    result_of,
)
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.letter_filters import checked_filters, told
from jobs.models import DeadLetterRun, Job
from jobs.payloads import check_integer
from jobs.store import runs
from jobs.store.letters import SPENT
from jobs.store.runs import Run
from jobs.submit import JobSpec, prepare

__all__ = [
    "MAX_PER_MINUTE",
    "MAX_RUN",
    "PERMISSIONS",
    "PREVIEW_SECONDS",
    "TARGET",
    "LettersResult",
    "check_how",
    "confirm",
    "discard",
    "held_run",
    "preview",
    "replay",
    "replay_edited",
]

MAX_RUN = 100_000
"""Letters of one run; the rest of what fits is left for the next."""
MAX_PER_MINUTE = 60_000
PREVIEW_SECONDS = 900
PERMISSIONS = {"replay": "jobs.replay_deadletter", "discard": "jobs.discard_deadletter"}
TARGET = "deadletterrun"
STALE = timedelta(seconds=5)
"""A run that was looked at so long ago is looked at again at once."""
_QUERY_CANCELED = "57014"
_FREEZE_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersResult(ActionResult):
    """As every action's; `run`: what was done stands there, and can be taken back from there."""

    run: int | None = None


def replay(actor: Actor, ids: Iterable[int], *, reason: str, attempts: int = 1) -> LettersResult:
    """Give dead letters `attempts` (1..1000) fresh attempts. Permission `jobs.replay_deadletter`."""
    check_integer(attempts, field="attempts", low=1, high=1000)
    return _at_once(actor, "replay", ids, reason=reason, attempts=attempts)


def discard(actor: Actor, ids: Iterable[int], *, reason: str) -> LettersResult:
    """Decide that dead letters shall not run; what waits for them is skipped. Permission `jobs.discard_deadletter`."""
    return _at_once(actor, "discard", ids, reason=reason)


def _at_once(
    actor: Actor,
    action: str,
    ids: Iterable[int],
    *,
    reason: str,
    attempts: int = 1,
    payload: str | None = None,
) -> LettersResult:
    actor.require(PERMISSIONS[action])
    wanted, reason = checked_ids(ids), checked_reason(reason, required=True)

    def work(cursor: Any) -> LettersResult:
        run, moved = letter_runs.at_once(
            cursor,
            action=action,
            operator_id=actor.id,
            name=actor.name,
            ids=wanted,
            reason=reason,
            attempts=attempts,
            payload=payload,
        )
        verb = "replayed" if action == "replay" else "discarded"
        why = f"is {{state}}; only dead letters can be {verb} (it may have been one a moment ago)"
        spent = {"dead": SPENT} if action == "replay" else {}
        found = result_of(wanted, moved, [], why, **spent)
        return LettersResult(done=found.done, refused=found.refused, run=None if run is None else run.id)

    return acting(work)


def replay_edited(
    actor: Actor, job_id: int, payload: dict[str, Any], *, reason: str, attempts: int = 1
) -> LettersResult:
    """Replay one dead letter with another payload, checked as at submission. Permission `jobs.replay_deadletter`.

    The old payload is kept in the record of the action, and comes back with an undo.
    """
    actor.require(PERMISSIONS["replay"])
    check_integer(attempts, field="attempts", low=1, high=1000)
    reason = checked_reason(reason, required=True)
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    text = prepare(JobSpec(kind=job.kind, payload=payload)).payload

    def work(cursor: Any) -> LettersResult:
        found = Job.objects.select_for_update().filter(pk=job_id).values_list("payload").first()
        if found is None:  # deleted since it was looked at above
            raise NotFound(f"Job {job_id} was deleted meanwhile; nothing was replayed.")
        done = _at_once(actor, "replay", [job_id], reason=reason, attempts=attempts, payload=text)
        if done.done:
            change = {"before": {"payload": found[0]}, "after": {"payload": payload}}
            record(cursor, actor, "edit payload of", "job", job_id, reason=reason, **change)
        return done

    return acting(work)


# -- many: freeze, say, confirm ----------------------------------------------------------------------------------------


def preview(actor: Actor, action: str, filters: Mapping[str, Any]) -> DeadLetterRun:
    """Freeze the set of letters that fit the filters, at most `MAX_RUN`, oldest death first; changes no job.

    Permission `jobs.replay_deadletter` or `jobs.discard_deadletter`. The run can be confirmed for `PREVIEW_SECONDS`.
    """
    if action not in PERMISSIONS:
        raise InvalidSubmission("action", "must be replay or discard")
    actor.require(PERMISSIONS[action])
    checked = checked_filters(filters)
    limit = MAX_AT_ONCE if "ids" in checked else MAX_RUN

    def work(cursor: Any) -> int:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{_FREEZE_SECONDS}s"])
        run_id = runs.open_run(
            cursor,
            action=action,
            operator_id=actor.id,
            name=actor.name,
            filters=told(checked),
            seconds=PREVIEW_SECONDS,
        )
        runs.freeze(cursor, run_id, checked, limit=limit)
        return run_id

    try:
        return DeadLetterRun.objects.get(pk=acting(work))
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _QUERY_CANCELED:
            raise
        reason = f"took longer than {_FREEZE_SECONDS} seconds to look for; add a fingerprint or a time range"
        raise InvalidSubmission("filters", reason) from None


def check_how(*, attempts: int = 1, per_minute: int | None = None) -> None:
    """Raises InvalidSubmission where `confirm` would."""
    check_integer(attempts, field="attempts", low=1, high=1000)
    if per_minute is not None:
        check_integer(per_minute, field="per_minute", low=1, high=MAX_PER_MINUTE)


def confirm(
    actor: Actor,
    run_id: int,
    *,
    digest: str,
    reason: str,
    attempts: int = 1,
    canary: bool = False,
    per_minute: int | None = None,
) -> DeadLetterRun:
    """Act on exactly the set that was previewed. What changed meanwhile is refused by name, in the run's items.

    Up to `MAX_AT_ONCE` letters without canary and pace are done when this returns; a larger set, a canary or a pace
    goes on by the workers.
    """
    reason = checked_reason(reason, required=True)
    check_how(attempts=attempts, per_minute=per_minute)

    def work(cursor: Any) -> None:
        run = held_run(cursor, actor, run_id)
        _check_confirmable(actor, run, digest)
        if run.action == "discard" and (canary or per_minute is not None):
            field = "canary" if canary else "per_minute"
            raise InvalidSubmission(field, "only a replay can go step by step; a discard runs nothing")
        run = changed(run, reason=reason, attempts=attempts, canary=canary, per_minute=per_minute)
        if canary or per_minute is not None or run.total > MAX_AT_ONCE:
            after = changed(run, state="running", looked_at=run.now - STALE)
        else:
            stepped, _ = letter_runs.step(cursor, run, limit=MAX_AT_ONCE)
            after = letter_runs.finish(stepped)
        runs.write_back(cursor, after, before="previewed")
        told = {"state": after.state, "done": after.done, "refused": after.refused, "total": after.total}
        more = {"canary": canary, "per_minute": per_minute, "attempts": attempts}
        record(cursor, actor, run.action, TARGET, run_id, reason=reason, after=told | more)

    acting(work)
    return DeadLetterRun.objects.get(pk=run_id)


def _check_confirmable(actor: Actor, run: Run, digest: str) -> None:
    if run.operator_id != actor.id:
        raise ActionRefused(f"The set was chosen by {run.operator_name}; only they can confirm it.")
    if run.state != "previewed":
        raise ActionRefused("It was confirmed already.")
    if run.now >= run.expires_at:
        raise ActionRefused("The preview has expired: choose the set anew, since it may have changed.")
    if digest != run.digest:
        raise ActionRefused("The digest is not that of the previewed set.")
    if not run.total:
        raise ActionRefused("The set is empty: there is nothing to do.")


def held_run(cursor: Any, actor: Actor, run_id: int) -> Run:
    """The run, locked, for an actor who may do what it does. Raises NotFound, PermissionDenied."""
    run = runs.lock(cursor, run_id)
    if run is None:
        raise NotFound(f"There is no dead-letter run {run_id}.")
    actor.require(PERMISSIONS[run.action])
    return run
