"""Operators who press the same button, and workers who end a job just then."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection

from jobs import control
from jobs.control import ActionResult, Actor
from jobs.models import DeadLetter, Job, OperatorAction, Workflow
from jobs.states import State
from jobs.store import moving, statements
from jobs.store.values import Transition
from jobs.submit import JobSpec, submit_workflow
from tests.races.harness import KIND, Hand, dead, somebody_waits, submit_some, together
from tests.support import eventually
from tests.support_consistency import EVENTS, assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]


def acting(action: Callable[[], ActionResult]) -> ActionResult:
    """An action in a thread of its own gives Django's connection back."""
    try:
        return action()
    finally:
        connection.close()


def events(kind: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM ({EVENTS}) AS event WHERE kind = %s",
            [kind],
        )
        (count,) = cursor.fetchone()
    return int(count)


def test_ten_operators_replay_a_dead_letter_once(hand: Hands) -> None:
    ids = submit_some(5)
    one = hand()
    one.end(*(dead(job) for job in one.claim(ids)))
    names = [f"operator {number}" for number in range(10)]
    results = together(
        *(
            lambda name=name: acting(lambda: control.replay(Actor(name=name), ids, reason="mended"))
            for name in names
        )
    )
    assert Counter(job for result in results for job in result.done) == dict.fromkeys(ids, 1)
    assert Counter(refusal.id for result in results for refusal in result.refused) == dict.fromkeys(ids, 9)
    assert OperatorAction.objects.filter(action="replay").count() == 5
    assert events("job.replayed") == 5
    assert not DeadLetter.objects.exists()
    assert set(Job.objects.values_list("state", "max_attempts")) == {("available", 5)}
    assert_consistent(connection.cursor())


def test_replay_and_discard_at_once_leave_one_winner(hand: Hands) -> None:
    ids = submit_some(20)
    one = hand()
    one.end(*(dead(job) for job in one.claim(ids)))
    replayed, discarded = together(
        lambda: acting(lambda: control.replay(Actor(name="a"), ids, reason="mended")),
        lambda: acting(lambda: control.discard(Actor(name="b"), ids, reason="pointless")),
    )
    assert sorted(replayed.done + discarded.done) == ids
    assert_consistent(connection.cursor())


def test_cancel_while_a_worker_completes_ends_each_job_one_way(hand: Hands) -> None:
    ids = submit_some(100)
    one = hand()
    jobs = one.claim(ids[:50])

    def complete() -> list[int]:
        return [job for part in range(0, 50, 10) for job in one.complete(*jobs[part : part + 10]).recorded]

    recorded, cancelled = together(complete, lambda: [*acting(lambda: control.cancel(Actor(), ids)).done, 0])
    assert recorded == ids[:50]
    assert set(cancelled) == {0, *ids[50:]}
    assert Counter(Job.objects.values_list("state", flat=True)) == {"completed": 50, "cancelled": 50}
    assert_consistent(connection.cursor())


@pytest.mark.parametrize("seed", range(3))
def test_completions_and_cancellations_in_any_order_never_deadlock(hand: Hands, seed: int) -> None:
    """Four connections end, claim and cancel overlapping batches, each in an order of its own; nothing is repeated, so
    a deadlock would be an error of this test."""
    rng = random.Random(seed)
    ids = submit_some(330)  # the last 30 are only ever cancelled
    hands = [hand(name) for name in "ab"]
    cancellers = [hand(name) for name in "cd"]
    orders = [rng.sample(ids[:count], count) for count in (300, 300, 330, 330)]
    # Held before anybody starts, so that no canceller can be through before the first job runs.
    held = [one.claim(order[:30]) for one, order in zip(hands, orders, strict=False)]

    def work(number: int) -> int:
        one, done = hands[number], 0
        for part in range(0, 300, 30):
            jobs = one.claim(orders[number][part : part + 30]) if part else held[number]
            done += len(one.complete(*jobs[: len(jobs) // 2]).recorded)
            back = [
                Transition(job=job, target=State.AVAILABLE, refund=True) for job in jobs[len(jobs) // 2 :]
            ]
            one.end(*back)
        return done

    def cancel(number: int) -> int:
        one, order = cancellers[number], orders[2 + number]
        done = 0
        for part in range(0, 330, 55):
            batch = order[part : part + 55]
            done += len(one.do(partial(moving.close, ids=batch, target=State.CANCELLED, reason="x")))
            one.do(partial(moving.set_priority, ids=batch, priority=5))
        return done

    *worked, one, other = together(lambda: work(0), lambda: work(1), lambda: cancel(0), lambda: cancel(1))
    completed, cancelled = sum(worked), one + other
    assert completed >= 15
    assert cancelled >= 30
    assert Counter(Job.objects.values_list("state", flat=True)) == Counter(
        completed=completed, cancelled=cancelled, available=len(ids) - completed - cancelled
    )
    assert_consistent(connection.cursor())


def test_a_job_that_comes_to_wait_meanwhile_is_locked_in_its_turn(
    hand: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One operator looks while the second job runs; it is given back, and another takes it and wants the third.

    Who locked the second on top of what it holds would be waited for by the other, and wait for it.
    """
    first, second, third = submit_some(3)
    worker, one, other = hand("worker"), hand("one"), hand("other")
    (job,) = worker.claim([second])
    looks: list[list[tuple[Any, ...]]] = []
    others: list[int] = []
    behind = threading.Thread(
        target=lambda: others.extend(other.do(partial(moving.hold, ids=[second, third])))
    )

    def rows(cursor: Any, name: str, params: Any) -> Any:
        found = statements.rows(cursor, name, params)
        if name == "lock_waiting" and threading.current_thread() is threading.main_thread():
            looks.append(found)
            if len(looks) == 1:
                worker.end(Transition(job=job, target=State.AVAILABLE, refund=True))
                behind.start()
                eventually(somebody_waits)
        return found

    monkeypatch.setattr(moving, "rows", rows)
    assert one.do(partial(moving.hold, ids=[first, second, third])) == [first, second, third]
    behind.join(20)
    assert looks[0] == [(first,), (third,)]
    assert others == [second, third]


def test_a_workflow_cancelled_under_busy_workers_ends_cancelled(hand: Hands) -> None:
    """Workers go from jobs to the workflow's counts; so does this."""
    workflow_id, placed = submit_workflow("wide", fan(60, 20))
    ids, children = [one.id for one in placed[:60]], [one.id for one in placed[60:]]
    hands = [hand(name) for name in "ab"]
    held = [one.claim(ids[number::2]) for number, one in enumerate(hands)]

    def complete(number: int) -> list[int]:
        return [job.id for job in held[number] if hands[number].complete(job).recorded]

    results: list[ActionResult] = []

    def cancel() -> list[int]:
        results.append(acting(lambda: control.cancel_workflow(Actor(), workflow_id)))
        return results[0].done

    first, second, done = together(lambda: complete(0), lambda: complete(1), cancel)
    assert sorted(first + second) == ids, "a request is not yet a cancellation"
    assert set(results[0].requested) <= set(ids)
    assert done == children
    assert set(Job.objects.filter(id__in=children).values_list("state", flat=True)) == {"cancelled"}
    workflow = Workflow.objects.get()
    assert (workflow.state, workflow.active) == ("cancelled", 0)
    assert_consistent(connection.cursor())


def fan(width: int, children: int) -> list[JobSpec]:
    parents = [f"p{number}" for number in range(width)]
    specs = [JobSpec(kind=KIND, key=key, payload={"task": key, "seconds": 0}) for key in parents]
    return specs + [
        JobSpec(kind=KIND, key=f"c{number}", parents=parents, payload={"task": "c", "seconds": 0})
        for number in range(children)
    ]
