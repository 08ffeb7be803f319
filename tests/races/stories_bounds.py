"""The stories of what is bounded or kept once: limits of a queue, effects outside of the database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jobs
from jobs import JobSpec
from jobs.database import in_transaction, open_connection
from jobs.models import Effect, LogLine, Permit, Queue
from jobs.queue_steering import change_queue
from jobs.store import effects, telling
from jobs.store.claiming import claim
from jobs.store.effects import EffectKey
from tests.races.harness import KIND, Hand
from tests.races.story import BOSS, Story, a_word, states_of

__all__ = ["BOUNDS"]


def a_queue(**limits: Any) -> Any:
    """With two jobs of one key, one of them running."""
    name = a_word()
    options: dict[str, Any] = {"queue": name, "concurrency_key": "k"}
    spec = JobSpec(kind=KIND, payload={"task": "t", "seconds": 0}, **options)
    ids = [one.id for one in jobs.submit_many([spec, spec])]
    hand = Hand()
    hand.claim(ids, limit=1)
    hand.close()
    ground = SimpleNamespace(name=name, ids=ids, worker=hand.worker_id)
    if limits:
        change_queue(BOSS, name, **limits)
    return ground


def limit_it(ground: Any) -> None:
    change_queue(BOSS, ground.name, max_running=1, key_max_running=1)


def limited(ground: Any) -> None:
    assert Queue.objects.get(pk=ground.name).max_running == 1
    assert Permit.objects.filter(queue=ground.name).count() == 1


def free_it(ground: Any) -> None:
    change_queue(BOSS, ground.name, max_running=None, key_max_running=None)


def freed(ground: Any) -> None:
    assert not Permit.objects.filter(queue=ground.name).exists()


def claim_within(ground: Any) -> None:
    """The claim of a worker that was told the queue has limits."""

    def work(cursor: Any) -> None:
        queues = dict.fromkeys(ground.ids, ground.name)
        claim(cursor, worker_id=ground.worker, candidates=ground.ids, limit=2, limited=queues)

    with open_connection("story") as own:
        in_transaction(own, work)


def within(ground: Any) -> None:
    assert states_of(*ground.ids) == ["running", "running"]
    assert Permit.objects.filter(queue=ground.name).count() == 2


def charge_once(ground: Any) -> None:
    """What `ctx.once` records after the effect."""
    key = EffectKey(key=f"charge:{ground.name}", scope=0)

    def work(cursor: Any) -> None:
        effects.lock(cursor, key)
        if effects.find(cursor, key) is None:
            effects.record(cursor, key, job=ground.ids[0], kind=KIND, attempt=1, result="1")

    with open_connection("story") as own:
        in_transaction(own, work)


def charged(ground: Any) -> None:
    assert Effect.objects.filter(key=f"charge:{ground.name}").count() == 1


def talk_too_much(ground: Any) -> None:
    lines = [(ground.ids[0], 1, 0.0, "info", str(number)) for number in range(3)]
    with open_connection("story") as own:
        in_transaction(own, lambda cursor: telling.write_lines(cursor, lines, keep=1))


def heard_the_last(ground: Any) -> None:
    assert list(LogLine.objects.filter(job_id=ground.ids[0]).values_list("line", flat=True)) == ["2"]


BOUNDS = [
    Story(name="limits of a queue", begin=a_queue, act=limit_it, facts=limited, whole=True),
    Story(
        name="no limits any more",
        begin=lambda: a_queue(max_running=2, key_max_running=2),
        act=free_it,
        facts=freed,
        whole=True,
    ),
    Story(
        name="a claim within limits",
        begin=lambda: a_queue(max_running=2, key_max_running=2),
        act=claim_within,
        facts=within,
        whole=True,
    ),
    Story(name="an effect once", begin=a_queue, act=charge_once, facts=charged, whole=True),
    Story(name="more lines than are kept", begin=a_queue, act=talk_too_much, facts=heard_the_last),
]
