"""Why is it not running? Every reason that holds, from facts, and when the job may start.

Pure: `jobs/explanation.py` reads the facts. Promise: a reason is told if and only if it keeps a worker from taking the
job now, or stands before it in the line; where the start cannot be known, that is said instead of a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from jobs.states import FINISHED, State
from jobs.store.limiting import Limits

__all__ = ["Code", "Explanation", "Facts", "Parent", "Reason", "explain"]

Code = Literal[
    "finished", "dead", "running", "parents", "time", "queue_paused", "kind_paused", "queue_limit", "key_limit",
    "queue_rate", "key_rate", "no_worker", "unknown_kind", "workers_busy", "jobs_ahead", "next",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A job this one waits for."""

    id: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the database says about a job and what stands around it, at `now`.

    holders, key_holders: jobs that hold the places, a few of them. tokens: starts that the rate allows, None without a
    rate. serving: live workers of its queue; knowing: those of them that know its kind; threads: how many jobs these
    run at once; held, held_jobs: what they have; lost_running: how many of their places are taken by handlers of jobs
    that they have lost. silent_since: of a running job, when its worker gave the last sign of life, if that is longer
    ago than a lease. ahead: jobs before it in the line, counted up to a cap; ahead_of_key: those of its own key. pace:
    jobs of the queue that completed lately, each second; None where too few did.
    """

    now: datetime
    state: State
    kind: str
    queue: str
    key: str | None = None
    due_at: datetime | None = None
    reason: str = ""
    parents: Sequence[Parent] = ()
    more_parents: int = 0
    queue_paused_at: datetime | None = None
    queue_paused_by: str = ""
    kind_paused_at: datetime | None = None
    kind_paused_by: str = ""
    limits: Limits = field(default_factory=Limits)
    running: int = 0
    holders: Sequence[int] = ()
    key_running: int = 0
    key_holders: Sequence[int] = ()
    tokens: float | None = None
    key_tokens: float | None = None
    serving: int = 0
    knowing: int = 0
    threads: int = 0
    held: int = 0
    held_jobs: Sequence[int] = ()
    lost_running: int = 0
    silent_since: datetime | None = None
    ahead: int = 0
    ahead_capped: bool = False
    ahead_of_key: int = 0
    pace: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason. `until`: when it ends by itself; `jobs`: those it is about."""

    code: Code
    text: str
    until: datetime | None = None
    jobs: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`starts_at`: an estimate; None where `starts_note` says why there is none."""

    state: State
    reasons: list[Reason]
    starts_at: datetime | None
    starts_note: str


_ENDLESS = ("parents", "queue_paused", "kind_paused", "no_worker", "unknown_kind")
_OTHERS_RUN = ("queue_limit", "key_limit", "workers_busy")
_PLACES = (*_OTHERS_RUN, "jobs_ahead")


def explain(facts: Facts) -> Explanation:
    """Every reason that holds, and the estimate."""
    if facts.state in FINISHED or facts.state in (State.DEAD, State.RUNNING):
        return Explanation(state=facts.state, reasons=[_over(facts)], starts_at=None, starts_note="")
    reasons = [*_waits(facts), *_pauses(facts), *_workers(facts), *_limits(facts), *_line(facts)]
    if not reasons:
        reasons = [
            Reason(code="next", text="Nothing stands in its way: the next worker that has room takes it.")
        ]
    starts_at, note = _estimate(facts, reasons)
    return Explanation(state=facts.state, reasons=reasons, starts_at=starts_at, starts_note=note)


def _over(facts: Facts) -> Reason:
    if facts.state is State.RUNNING:
        return Reason(code="running", text=_running(facts.silent_since))
    if facts.state is State.DEAD:
        return Reason(code="dead", text="It is a dead letter: an operator replays or discards it.")
    why = f" {facts.reason}" if facts.reason else ""
    return Reason(code="finished", text=f"It has ended: {facts.state}.{why}")


def _running(silent_since: datetime | None) -> str:
    if silent_since is None:
        return "It runs at this moment."
    return (
        f"Its worker has given no sign of life since {silent_since:%Y-%m-%d %H:%M:%S} UTC. "
        "As soon as another worker has noticed, it is given back and runs again."
    )


def _waits(facts: Facts) -> Iterator[Reason]:
    if facts.state is State.BLOCKED:
        named = ", ".join(f"#{parent.id} ({parent.state})" for parent in facts.parents)
        more = f" and {facts.more_parents} more" if facts.more_parents else ""
        yield Reason(
            code="parents",
            text=f"It waits for jobs of its workflow: {named}{more}.",
            jobs=[parent.id for parent in facts.parents],
        )
    if facts.state is not State.AVAILABLE and facts.due_at is not None and facts.due_at > facts.now:
        what = "the wait after a failed attempt ends" if facts.state is State.RETRYABLE else "its time comes"
        yield Reason(code="time", text=f"It waits until {what}.", until=facts.due_at)


def _pauses(facts: Facts) -> Iterator[Reason]:
    if facts.queue_paused_at is not None:
        by = f", by {facts.queue_paused_by}" if facts.queue_paused_by else ""
        yield Reason(code="queue_paused", text=f"Its queue, {facts.queue}, is paused{by}.")
    if facts.kind_paused_at is not None:
        by = f", by {facts.kind_paused_by}" if facts.kind_paused_by else ""
        yield Reason(code="kind_paused", text=f"Its kind, {facts.kind}, is paused{by}.")


def _workers(facts: Facts) -> Iterator[Reason]:
    if not facts.serving:
        yield Reason(code="no_worker", text=f"No live worker serves its queue, {facts.queue}.")
    elif not facts.knowing:
        yield Reason(
            code="unknown_kind",
            text=f"No live worker that serves the queue {facts.queue} knows its kind, {facts.kind}.",
        )
    elif facts.state is State.AVAILABLE and 0 < facts.threads <= facts.held + facts.lost_running:
        with_what = [_named(facts.held_jobs)] if facts.held_jobs else []
        if facts.lost_running == 1:
            with_what.append("the handler of a job that was taken from them, which still runs")
        elif facts.lost_running:
            with_what.append(
                f"the handlers of {facts.lost_running:,} jobs that were taken from them, which still run"
            )
        yield Reason(
            code="workers_busy",
            text=f"The workers that could run it are busy: {facts.threads:,} at once, {' and '.join(with_what)}.",
            jobs=list(facts.held_jobs),
        )


def _limits(facts: Facts) -> Iterator[Reason]:
    limits, key = facts.limits, facts.key
    if limits.max_running is not None and facts.running >= limits.max_running:
        yield _places("queue_limit", f"the queue {facts.queue}", limits.max_running, facts.holders)
    if key and limits.key_max_running is not None and facts.key_running >= limits.key_max_running:
        yield _places("key_limit", f"its key {key}", limits.key_max_running, facts.key_holders)
    if limits.rate is not None and facts.tokens is not None and facts.tokens < 1:
        until = _refilled(facts.now, facts.tokens, limits.rate, limits.rate_seconds)
        yield _rate("queue_rate", f"the queue {facts.queue}", limits.rate, limits.rate_seconds, until)
    if key and limits.key_rate is not None and facts.key_tokens is not None and facts.key_tokens < 1:
        until = _refilled(facts.now, facts.key_tokens, limits.key_rate, limits.key_rate_seconds)
        yield _rate("key_rate", f"its key {key}", limits.key_rate, limits.key_rate_seconds, until)


def _places(code: Code, whose: str, most: int, holders: Sequence[int]) -> Reason:
    held = f" They are held by {_named(holders)}." if holders else ""
    return Reason(
        code=code, text=f"As many jobs of {whose} run as may run at once: {most:,}.{held}", jobs=list(holders)
    )


def _named(jobs: Sequence[int]) -> str:
    return ", ".join(f"#{job}" for job in jobs)


def _rate(code: Code, whose: str, rate: int, seconds: float, until: datetime) -> Reason:
    text = f"The rate of {whose} is used up: {rate:,} start{'' if rate == 1 else 's'} in {seconds:g} s."
    return Reason(code=code, text=text, until=until)


def _refilled(now: datetime, tokens: float, rate: int, seconds: float) -> datetime:
    return now + timedelta(seconds=(1 - tokens) * seconds / rate)


def _line(facts: Facts) -> Iterator[Reason]:
    if facts.ahead:
        number = f"{facts.ahead:,}{' or more' if facts.ahead_capped else ''}"
        verb = "job is" if facts.ahead == 1 and not facts.ahead_capped else "jobs are"
        yield Reason(code="jobs_ahead", text=f"{number} {verb} before it in the queue {facts.queue}.")


def _estimate(facts: Facts, reasons: Sequence[Reason]) -> tuple[datetime | None, str]:
    """As long as nothing comes in between. None where it depends on somebody, or on a pace that is not known."""
    codes = {reason.code for reason in reasons}
    for code in _ENDLESS:
        if code in codes:
            return None, "Not known: it depends on what is said above."
    starts = max([facts.now, *(reason.until for reason in reasons if reason.until is not None)])
    if codes.isdisjoint(_PLACES):
        return starts, ""
    if facts.ahead_capped:
        return None, "Not known: more jobs are before it than are counted."
    allowed = _allowed(facts)
    # Where rates alone hold it back, what completed lately says less: for a part of that time nothing may have waited.
    by_rate = facts.pace is None or not codes.isdisjoint(("queue_rate", "key_rate"))
    if allowed is not None and by_rate and codes.isdisjoint(_OTHERS_RUN):
        return max(starts, allowed[0]), f"At {allowed[1]} rate."
    if facts.pace is not None:
        due = facts.now + timedelta(seconds=(facts.ahead + 1) / facts.pace)
        return max(starts, due, allowed[0] if allowed else due), "At the queue's recent pace."
    bound = ", but not before the time that is said above" if starts > facts.now else ""
    return None, f"Not known{bound}: too few jobs completed lately to tell when its turn comes."


def _allowed(facts: Facts) -> tuple[datetime, str] | None:
    """When the rates have let those before it start, and it too, and whose is the slowest; None without a rate."""
    limits, turns = facts.limits, []
    if limits.rate is not None and facts.tokens is not None:
        turns.append(
            (_turn(facts.now, facts.ahead, facts.tokens, limits.rate, limits.rate_seconds), "the queue's")
        )
    if limits.key_rate is not None and facts.key_tokens is not None:
        late = _turn(
            facts.now, facts.ahead_of_key, facts.key_tokens, limits.key_rate, limits.key_rate_seconds
        )
        turns.append((late, "its key's"))
    return max(turns, default=None)


def _turn(now: datetime, ahead: int, tokens: float, rate: int, seconds: float) -> datetime:
    return now + timedelta(seconds=max(0.0, ahead + 1 - tokens) * seconds / rate)
