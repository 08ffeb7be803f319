"""What operators do with runs over dead letters that were confirmed, and with groups: pause, resume, stop, undo, owner.

Same rules as `control.py`: permitted, done in one transaction, recorded, told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace as changed
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef

from jobs.acting import MAX_AT_ONCE, Actor, Refusal, acting, checked_ids, checked_reason, record
from jobs.deadletters import TARGET, LettersResult, held_run
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.events import EventKind, ops_event
from jobs.models import DeadLetterGroup, DeadLetterItem, DeadLetterRun, Job
from jobs.states import State
from jobs.store import letters, runs
from jobs.store.runs import Run
from notifications.log import append

__all__ = ["change_group", "pause", "recount", "resume", "stop", "undo"]

_DONE = {"pause": "paused", "resume": "resumed", "stop": "stopped"}
MAX_NOTE = 4_000


def pause(actor: Actor, run_id: int, *, reason: str = "") -> DeadLetterRun:
    """A run stands still until it is resumed; what was replayed goes on."""
    return _steer(actor, run_id, "pause", ("running",), "paused", reason)


def resume(actor: Actor, run_id: int, *, reason: str = "") -> DeadLetterRun:
    """A paused run, or one that halted because the error came back, goes on.

    A canary that failed is not asked for again.
    """
    return _steer(actor, run_id, "resume", ("paused", "halted"), "running", reason)


def stop(actor: Actor, run_id: int, *, reason: str = "") -> DeadLetterRun:
    """End a run for good; the letters it did not come to stay dead letters."""
    return _steer(actor, run_id, "stop", ("running", "paused", "halted"), "stopped", reason)


def _steer(
    actor: Actor, run_id: int, verb: str, sources: Sequence[str], target: str, reason: str
) -> DeadLetterRun:
    reason = checked_reason(reason)

    def work(cursor: Any) -> None:
        run = held_run(cursor, actor, run_id)
        if run.state not in sources:
            raise ActionRefused(
                f"The run is {run.state}; only one that is {' or '.join(sources)} can be {_DONE[verb]}."
            )
        why = f"paused by {actor.name}" if target == "paused" else ""
        # `looked_at` stays where it was: what came back while the run stood still is found when it goes on.
        after = changed(run, state=target, why=why, next_at=None)
        if run.state == "halted" and target == "running":
            # The operator has seen why it halted, so it is not asked again; a further return halts it again.
            after = changed(after, canary_waived=run.canary and not run.canary_passed, looked_at=run.now)
        if target == "stopped":
            after = changed(after, finished_at=run.now)
        runs.write_back(cursor, after, before=run.state)
        told = {"before": {"state": run.state}, "after": {"state": target}}
        record(cursor, actor, verb, TARGET, run_id, reason=reason, **told)

    acting(work)
    return DeadLetterRun.objects.get(pk=run_id)


def undo(actor: Actor, run_id: int, *, reason: str, ids: Iterable[int] | None = None) -> LettersResult:
    """Take back what a run did and has not started: replayed jobs that wait, discarded ones; `MAX_AT_ONCE` at a time.

    They are dead letters again, with their error as it was. A run that still goes on is stopped first.
    """
    reason = checked_reason(reason, required=True)
    asked = None if ids is None else checked_ids(ids)

    def work(cursor: Any) -> LettersResult:
        run = held_run(cursor, actor, run_id)
        if run.state == "previewed":
            raise ActionRefused("The run was not confirmed: there is nothing to take back.")
        wanted = _undoable(run, asked)
        if not wanted and not asked:
            raise ActionRefused("Nothing of the run is left that could be taken back.")
        back = letters.undo_replay if run.action == "replay" else letters.undo_discard
        moved, held_back = back(cursor, run_id, wanted)
        letters.record(
            cursor,
            moved,
            actor_id=actor.id,
            name=actor.name,
            action=f"undo {run.action} of",
            reason=reason,
            before={"state": "available" if run.action == "replay" else "discarded"},
            after={"state": "dead", "run": run_id},
        )
        after = changed(run, undone=run.undone + len(moved))
        if run.state in ("running", "paused", "halted"):
            after = changed(after, state="stopped", why=f"undone by {actor.name}", finished_at=run.now)
        runs.write_back(cursor, after, before=run.state)
        record(cursor, actor, "undo", TARGET, run_id, reason=reason, after={"undone": len(moved)})
        done = {job.id for job in moved}
        strange = [job for job in asked or [] if job not in wanted]
        refused = [Refusal(id=job, reason=f"job {job} is nothing that this run did") for job in strange]
        refused += [Refusal(id=job, reason=f"job {job}: {why}") for job, why in sorted(held_back.items())]
        refused += _started([job for job in wanted if job not in done and job not in held_back])
        return LettersResult(done=sorted(done), refused=refused, run=run_id)

    return acting(work)


def _undoable(run: Run, asked: Sequence[int] | None) -> list[int]:
    found = DeadLetterItem.objects.filter(run_id=run.id, state="done")
    if asked is not None:
        found = found.filter(job_id__in=asked)
    # First those that can come back: behind 10,000 that have started they would never have their turn.
    where = State.AVAILABLE if run.action == "replay" else State.DISCARDED
    gone = ~Exists(Job.objects.filter(pk=OuterRef("job_id"), state=where))
    return sorted(found.order_by(gone, "-pk").values_list("job_id", flat=True)[:MAX_AT_ONCE])


def _started(ids: Sequence[int]) -> list[Refusal]:
    states = dict(Job.objects.filter(pk__in=ids).values_list("pk", "state"))
    found = []
    for job in ids:
        state = states.get(job)
        why = (
            f"job {job} is gone"
            if state is None
            else f"job {job} has started since, or was changed: it is {state}"
        )
        found.append(Refusal(id=job, reason=why))
    return found


# -- groups ------------------------------------------------------------------------------------------------------------


def change_group(actor: Actor, fingerprint: str, *, owner: str | None, note: str) -> DeadLetterGroup:
    """Who looks after a group (a user's name, or nobody), and what is known of it.

    Permission `jobs.change_deadlettergroup`.
    """
    actor.require("jobs.change_deadlettergroup")
    if len(note) > MAX_NOTE or "\x00" in note:
        raise InvalidSubmission("note", "at most 4,000 characters, and no NUL")

    def work(cursor: Any) -> DeadLetterGroup:
        group = DeadLetterGroup.objects.select_for_update(of=("self",)).filter(pk=fingerprint).first()
        if group is None:
            raise NotFound(f"There is no group {fingerprint}.")
        before = {"owner": _name(group.owner), "note": group.note}
        group.owner, group.note = _user(owner), note.strip()
        group.save(update_fields=["owner", "note"])
        after = {"owner": _name(group.owner), "note": group.note}
        told = {"fingerprint": fingerprint, "actor": actor.name, "owner": after["owner"]}
        append(cursor, [ops_event(EventKind.DEADLETTERS_GROUP, **told)])
        record(cursor, actor, "change", "deadlettergroup", fingerprint, before=before, after=after)
        return group

    return acting(work)


def recount(actor: Actor) -> list[tuple[str, int, int]]:
    """Count the letters of all groups anew: those that were wrong, with the count before and now.

    Counts are exact by themselves; this is for a database that was mended by hand. Permission
    `jobs.change_deadlettergroup`.
    """
    actor.require("jobs.change_deadlettergroup")

    def work(cursor: Any) -> list[tuple[str, int, int]]:
        wrong = letters.recount(cursor)
        for fingerprint, before, after in wrong:
            told = {"before": {"count": before}, "after": {"count": after}}
            record(cursor, actor, "recount", "deadlettergroup", fingerprint, reason="", **told)
        return wrong

    return acting(work)


def _user(name: str | None) -> Any:
    if not name:
        return None
    model = get_user_model()
    found = model._default_manager.filter(**{model.USERNAME_FIELD: name, "is_active": True}).first()
    if found is None or not found.has_perm("jobs.view_deadletter"):
        raise InvalidSubmission("owner", "no active user of that name may see dead letters")
    return found


def _name(user: Any) -> str | None:
    return None if user is None else str(user.get_username())
