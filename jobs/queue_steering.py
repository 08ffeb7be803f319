"""Operator actions on queues and kinds: make, pause, resume, order, weight, limits. Same rules as `control.py`.

A limit holds from the moment the change commits, also against claims that were under way, and jobs that run already
count. Nothing here looks at a job but to rank it anew or put it into its lane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from jobs.control import Actor, acting, record, transaction_now
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.events import EventKind, ops_event
from jobs.models import PausedKind, Queue
from jobs.payloads import check_integer, check_seconds, check_text
from jobs.registry import NAME
from jobs.store.limiting import Limits, change_limits, make_queue
from jobs.store.statements import execute
from notifications.log import append

__all__ = [
    "SETTINGS",
    "change_queue",
    "create_queue",
    "limits_of",
    "pause_kind",
    "pause_queue",
    "resume_kind",
    "resume_queue",
]

_NAMED = '1 to 100 letters, digits, "_", ".", ":" or "-"'
_YEAR = 31_536_000.0
_SHORTEST = 0.001
"""Shorter, and what has come in since the last start would be beyond a number of the database: claims would fail."""
_MOST = 1_000_000
_LIMITS = tuple(field.name for field in fields(Limits))
SETTINGS = ("description", "ageing_seconds", "weight", *_LIMITS)
"""What of a queue can be changed."""
# Claims last milliseconds; one that takes longer than this belongs to a worker that hangs in its transaction.
_PATIENCE = "SET LOCAL lock_timeout = '5s'"


def pause_queue(actor: Actor, name: str, *, reason: str = "") -> Queue:
    """No worker takes another job from the queue until it is resumed. Permission `jobs.pause_queue`."""
    return _set_paused(actor, name, paused=True, reason=reason)


def resume_queue(actor: Actor, name: str, *, reason: str = "") -> Queue:
    """Workers take from the queue again. Permission `jobs.pause_queue`."""
    return _set_paused(actor, name, paused=False, reason=reason)


def _set_paused(actor: Actor, name: str, *, paused: bool, reason: str) -> Queue:
    actor.require("jobs.pause_queue")
    check_text(reason, field="reason", max_length=1000, empty=True)

    def work(cursor: Any) -> Queue:
        queue = _queue(name)
        if (queue.paused_at is not None) is paused:
            raise ActionRefused(f'The queue "{name}" is {"already" if paused else "not"} paused.')
        before = {"paused_at": _iso(queue.paused_at)}
        queue.paused_at = transaction_now(cursor) if paused else None
        queue.save(update_fields=["paused_at"])
        event = EventKind.QUEUE_PAUSED if paused else EventKind.QUEUE_RESUMED
        append(cursor, [ops_event(event, queue=name, actor=actor.name)])
        after = {"paused_at": _iso(queue.paused_at)}
        verb = "pause" if paused else "resume"
        record(cursor, actor, verb, "queue", name, reason=reason, before=before, after=after)
        return queue

    return acting(work)


def pause_kind(actor: Actor, kind: str, *, reason: str = "") -> PausedKind:
    """No worker takes another job of the kind, in whatever queue. Permission `jobs.pause_kind`.

    A kind that no handler is registered for here may be paused too: another deployment may know it.
    """
    actor.require("jobs.pause_kind")
    _check_kind(kind)
    check_text(reason, field="reason", max_length=1000, empty=True)

    def work(cursor: Any) -> PausedKind:
        paused, made = PausedKind.objects.get_or_create(
            pk=kind,
            defaults={"paused_at": transaction_now(cursor), "paused_by": actor.name, "reason": reason},
        )
        if not made:
            raise ActionRefused(f'The kind "{kind}" is already paused.')
        append(cursor, [ops_event(EventKind.KIND_PAUSED, kind=kind, actor=actor.name)])
        after = {"paused_at": _iso(paused.paused_at)}
        record(cursor, actor, "pause", "kind", kind, reason=reason, after=after)
        return paused

    return acting(work)


def resume_kind(actor: Actor, kind: str, *, reason: str = "") -> None:
    """Workers take jobs of the kind again. Permission `jobs.pause_kind`."""
    actor.require("jobs.pause_kind")
    _check_kind(kind)
    check_text(reason, field="reason", max_length=1000, empty=True)

    def work(cursor: Any) -> None:
        paused = PausedKind.objects.select_for_update().filter(pk=kind).first()
        if paused is None:
            raise ActionRefused(f'The kind "{kind}" is not paused.')
        before = {"paused_at": _iso(paused.paused_at)}
        paused.delete()
        append(cursor, [ops_event(EventKind.KIND_RESUMED, kind=kind, actor=actor.name)])
        record(cursor, actor, "resume", "kind", kind, reason=reason, before=before)

    acting(work)


def _check_kind(kind: str) -> None:
    if not isinstance(kind, str) or not NAME.match(kind):
        raise InvalidSubmission("kind", _NAMED)


def change_queue(actor: Actor, name: str, *, reason: str = "", **settings: Any) -> Queue:
    """Change some of a queue's `SETTINGS`; what waits is ranked anew. Permission `jobs.change_queue`.

    Where all of them have that value already nothing happens, and nothing is recorded.
    Raises InvalidSubmission with the setting, and ActionRefused where workers hold on to their claims for seconds.
    """
    actor.require("jobs.change_queue")
    _check_all(settings, reason)
    busy = "Workers are in the middle of claims that do not end; nothing was changed. Try again."
    return _patiently(lambda cursor: _change(cursor, actor, name, settings, reason), busy=busy)


def create_queue(actor: Actor, name: str, *, reason: str = "", **settings: Any) -> Queue:
    """A queue before its first job, so that its settings hold for that one too. Permission `jobs.change_queue`.

    What is left out has the default that a queue has which its first job makes. Raises ActionRefused where there is one
    of that name, InvalidSubmission with the setting or `name`.
    """
    actor.require("jobs.change_queue")
    if not isinstance(name, str) or not NAME.match(name):
        raise InvalidSubmission("name", _NAMED)
    _check_all(settings, reason)

    def work(cursor: Any) -> Queue:
        cursor.execute(_PATIENCE)  # a submission to it that has not ended makes us wait
        if not make_queue(cursor, name):
            raise ActionRefused(f'There is a queue "{name}" already.')
        queue = _queue(name)
        after = {**_settings_of(queue), **settings}
        _set(cursor, actor, queue, settings)
        record(cursor, actor, "create", "queue", name, reason=reason, after=after)
        return queue

    return _patiently(work, busy="A submission is making this queue and does not end. Try again.")


def _change(cursor: Any, actor: Actor, name: str, settings: dict[str, Any], reason: str) -> Queue:
    queue = _queue(name)
    before = _settings_of(queue)
    changed = {setting: value for setting, value in settings.items() if before[setting] != value}
    if changed:
        _set(cursor, actor, queue, changed)
        after = {**before, **changed}
        record(cursor, actor, "change", "queue", name, reason=reason, before=before, after=after)
    return queue


def _set(cursor: Any, actor: Actor, queue: Queue, settings: dict[str, Any]) -> None:
    before, limits = _settings_of(queue), limits_of(queue)
    for setting, value in settings.items():
        setattr(queue, setting, value)
    cursor.execute(_PATIENCE)
    if limits != limits_of(queue):
        change_limits(cursor, queue.pk, before=limits, after=limits_of(queue))
    queue.save(update_fields=list(SETTINGS))
    if before["ageing_seconds"] != queue.ageing_seconds:
        execute(cursor, "rank_queue_anew", {"queue": queue.pk, "ageing": queue.ageing_seconds})
    told = ops_event(EventKind.QUEUE_CHANGED, queue=queue.pk, actor=actor.name, **{**before, **settings})
    append(cursor, [told])


def _settings_of(queue: Queue) -> dict[str, Any]:
    return {setting: getattr(queue, setting) for setting in SETTINGS}


def _patiently(work: Callable[[Any], Queue], *, busy: str) -> Queue:
    try:
        return acting(work)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise ActionRefused(busy) from None
        raise


def limits_of(queue: Queue) -> Limits:
    return Limits(**{name: getattr(queue, name) for name in _LIMITS})


def _check_all(settings: dict[str, Any], reason: str) -> None:
    check_text(reason, field="reason", max_length=1000, empty=True)
    for setting, value in settings.items():
        _check(setting, value)


def _check(setting: str, value: Any) -> None:
    match setting:
        case "description":
            check_text(value, field=setting, max_length=500, empty=True)
        case "ageing_seconds":
            if value is not None:
                check_seconds(value, field=setting, high=_YEAR)
        case "weight":
            check_integer(value, field=setting, low=1, high=100)
        case "rate_seconds" | "key_rate_seconds":
            if check_seconds(value, field=setting, high=_YEAR) < _SHORTEST:
                raise InvalidSubmission(setting, f"must be at least {_SHORTEST:g} seconds")
        case _ if setting in asdict(Limits()):
            if value is not None:
                check_integer(value, field=setting, low=1, high=_MOST)
        case _:
            raise InvalidSubmission(setting, "a queue has no such setting")


def _queue(name: str) -> Queue:
    queue = Queue.objects.select_for_update().filter(pk=name).first()
    if queue is None:
        raise NotFound(f'There is no queue "{name}".')
    return queue


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
