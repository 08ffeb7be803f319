"""Everything at once, at random, from several connections: afterwards the tables agree with each other.

The seed is in the test's name; the moves are drawn from it, their interleaving is the machine's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.db import connection

from jobs import control
from jobs.control import Actor
from jobs.database import in_transaction
from jobs.errors import ActionRefused
from jobs.models import Job, Workflow
from jobs.states import State
from jobs.store import moving, workers
from jobs.store.claiming import claim
from jobs.store.ending import end_attempts
from jobs.store.values import ClaimedJob, Transition
from jobs.submit import JobSpec, submit_workflow
from tests.races.harness import KIND, Hand, dead, submit_some, together
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 60


ENDS: list[tuple[int, Callable[[ClaimedJob], Transition]]] = [
    (60, lambda job: Transition(job=job, target=State.COMPLETED, result="1")),
    (5, lambda job: Transition(job=job, target=State.RETRYABLE, outcome="failed", delay=0.0)),
    (5, lambda job: Transition(job=job, target=State.RETRYABLE, outcome="failed", delay=60.0)),
    (4, lambda job: Transition(job=job, target=State.SCHEDULED, outcome="snoozed", refund=True)),
    (6, lambda job: Transition(job=job, target=State.AVAILABLE, refund=True)),
    (10, dead),
    (5, lambda job: Transition(job=job, target=State.CANCELLED, outcome="cancelled")),
    (5, lambda job: Transition(job=job, target=State.DISCARDED, outcome="discarded")),
]
"""How attempts end, mostly well, with weights."""


def ends(rng: random.Random, job: ClaimedJob) -> Transition:
    weights, ways = zip(*ENDS, strict=True)
    end = rng.choices(ways, weights)[0](job)
    return dead(job) if end.target == State.RETRYABLE and job.attempt >= job.max_attempts else end


def ids_where(hand: Hand, rng: random.Random, *states: str) -> list[int]:
    """A random handful of jobs that were in these states a moment ago."""
    rows = hand.connection.execute("SELECT id FROM jobs_job WHERE state = ANY(%s)", [list(states)]).fetchall()
    found = [row[0] for row in rows]
    return rng.sample(found, min(len(found), rng.randint(1, 20)))


def work_like_a_worker(hand: Hand, seed: int) -> None:
    """Claims and ends in one transaction, as the scheduler does; now and then it is declared lost and begins anew."""
    rng, held = random.Random(seed), list[ClaimedJob]()
    for _ in range(ROUNDS):
        ending = held[: rng.randint(0, len(held))]
        candidates = ids_where(hand, rng, "available")

        def round_(
            cursor: Any, ending: Sequence[ClaimedJob] = ending, candidates: list[int] = candidates
        ) -> Any:
            if ending:
                end_attempts(cursor, hand.worker_id, [ends(rng, job) for job in ending])
            return (
                claim(cursor, worker_id=hand.worker_id, candidates=candidates, limit=8).jobs
                if candidates
                else []
            )

        claimed = in_transaction(hand.connection, round_)
        held = [job for job in held if job not in ending] + claimed
        due = ids_where(hand, rng, "scheduled", "retryable")
        in_transaction(hand.connection, partial(moving.promote, ids=due))
        if rng.random() < 0.05:
            hand.connection.execute(
                "UPDATE jobs_workerprocess SET state = 'lost' WHERE id = %s", [hand.worker_id]
            )
            # Half of the time it goes on for a while under the id that is lost.
            if rng.random() < 0.5:
                told = [ends(rng, job) for job in held]
                in_transaction(
                    hand.connection, partial(end_attempts, worker_id=hand.worker_id, transitions=told)
                )
            held, hand.worker_id = [], in_transaction(hand.connection, register)


def register(cursor: Any) -> int:
    return workers.register(
        cursor, name="storm", hostname="test", pid=1, queues=[], kinds=[KIND], concurrency=1
    )


def work_like_a_rescuer(hand: Hand, seed: int) -> None:
    for _ in range(ROUNDS):
        in_transaction(hand.connection, workers.rescue_orphans)


def work_like_operators(hand: Hand, seed: int) -> None:
    rng, actor = random.Random(seed), Actor(name="storm")
    try:
        for _ in range(ROUNDS):
            match rng.choice(
                ["submit", "workflow", "cancel", "priority", "replay", "discard", "run now", "end workflow"]
            ):
                case "submit":
                    submit_some(rng.randint(1, 30), priority=rng.randint(-100, 100))
                case "workflow":
                    submit_random_graph(rng)
                case "cancel":
                    some(
                        control.cancel,
                        actor,
                        ids_where(hand, rng, "available", "blocked", "retryable", "running")[:4],
                    )
                case "priority":
                    chosen = ids_where(hand, rng, "available", "blocked", "scheduled")
                    if chosen:
                        control.set_priority(actor, chosen, rng.randint(-100, 100))
                case "replay":
                    some(control.replay, actor, ids_where(hand, rng, "dead"))
                case "discard":
                    some(control.discard, actor, ids_where(hand, rng, "dead")[:3])
                case "run now":
                    some(control.run_now, actor, ids_where(hand, rng, "retryable", "scheduled"))
                case _:
                    cancel_a_workflow(rng, actor)
    finally:
        connection.close()


def some(action: Callable[..., Any], actor: Actor, ids: list[int]) -> None:
    if ids:
        action(actor, ids, reason="storm")


def cancel_a_workflow(rng: random.Random, actor: Actor) -> None:
    running = list(Workflow.objects.filter(state__in=["running", "failed"]).values_list("pk", flat=True))
    if running and rng.random() < 0.3:
        with suppress(ActionRefused):  # it ended meanwhile
            control.cancel_workflow(actor, rng.choice(running), reason="storm")


def submit_random_graph(rng: random.Random) -> None:
    keys = [f"t{number}" for number in range(rng.randint(2, 25))]
    specs = [
        JobSpec(
            kind=KIND,
            key=key,
            payload={"task": key, "seconds": 0},
            parents=rng.sample(keys[:place], min(place, rng.randint(0, 4))),
        )
        for place, key in enumerate(keys)
    ]
    submit_workflow("storm", specs)


@pytest.mark.parametrize("seed", range(3))
def test_the_tables_agree_after_a_storm(hand: Callable[..., Hand], seed: int) -> None:
    submit_some(100)
    parts = [
        work_like_a_worker,
        work_like_a_worker,
        work_like_a_rescuer,
        work_like_operators,
        work_like_operators,
    ]
    crew = [hand(f"storm {number}") for number in range(len(parts))]
    together(*(lambda part=part, n=n: part(crew[n], 100 * seed + n) for n, part in enumerate(parts)))
    assert_consistent(connection.cursor())
    assert Job.objects.filter(state="completed").count() > 50
