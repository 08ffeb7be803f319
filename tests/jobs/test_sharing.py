"""Shares and strict order hold while other workers take from the same queues; a rate is reached, and begins full."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

import jobs
from jobs import JobSpec, lines, queue_steering
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.errors import InvalidSubmission
from jobs.models import Bucket, Job, Queue
from jobs.store.claiming import claim
from jobs.window import Window
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import make_worker, take
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def submit(count: int, **options: Any) -> list[int]:
    return [one.id for one in jobs.submit_many([JobSpec(kind="test.echo", **options)] * count)]


def change(queue: str, **settings: Any) -> None:
    Queue.objects.get_or_create(pk=queue)
    queue_steering.change_queue(Actor(), queue, **settings)


def look(*queues: str, strict: bool = False) -> Window:
    window = Window(queues=queues, kinds=["test.echo"], horizon=3.0, strict=strict)
    with django_cursor() as cursor:
        window.poll(cursor)
    return window


def one_round(window: Window, worker: int, room: int) -> list[int]:
    """A round as the scheduler makes it, with the look before it: the jobs taken."""
    with django_cursor() as cursor:
        window.poll(cursor)
        asked = window.candidates(room)
        limited, order = window.limited(asked), window.shared
        got = claim(cursor, worker_id=worker, candidates=asked, limit=room, limited=limited, in_order=order)
        taken = [job.id for job in got.jobs]
        window.claimed(asked, taken, room, got.busy)
        return taken


def queues_of(ids: list[int]) -> list[str]:
    found = dict(Job.objects.filter(pk__in=ids).values_list("pk", "queue"))
    return [found[job] for job in ids]


def contended(window: Window) -> Window:
    """As after a round in which others took what this one wanted: the next one asks for more than it has room for."""
    window._lines._contended = lines.CONTENDED_AT_MOST
    return window


# -- several queues, several workers -----------------------------------------------------------------------------------


def test_three_queues_get_their_shares_while_others_take_from_them_too() -> None:
    """Whatever the priorities: those count inside a queue."""
    for queue, weight, priority in (("a", 3, -100), ("b", 2, 0), ("c", 1, 100)):
        change(queue, weight=weight)
        submit(60, queue=queue, priority=priority)
    window, worker = look(), make_worker()
    taken = [job for _ in range(10) for job in one_round(contended(window), worker, 6)]
    assert Counter(queues_of(taken)) == {"a": 30, "b": 20, "c": 10}


def test_strict_order_holds_while_others_take_from_the_same_queues() -> None:
    submit(10, queue="later", priority=100)
    submit(6, queue="first", priority=-100)
    window, worker = look("first", "later", strict=True), make_worker()
    assert queues_of(one_round(contended(window), worker, 4)) == ["first"] * 4
    assert queues_of(one_round(contended(window), worker, 4)) == ["first"] * 2 + ["later"] * 2


def test_of_two_workers_one_goes_on_in_its_order_behind_what_the_other_holds() -> None:
    first, later = submit(6, queue="first", priority=-100), submit(10, queue="later", priority=100)
    window = contended(look("first", "later", strict=True))
    take(make_worker(), *first[:4])
    with django_cursor() as cursor:
        asked = window.candidates(3)
        got = claim(cursor, worker_id=make_worker(), candidates=asked, limit=3, in_order=window.shared)
    assert [job.id for job in got.jobs] == [*first[4:], later[0]]
    assert window.claimed(asked, [job.id for job in got.jobs], 3) == 4
    assert window.candidates(2)[0] == later[1], "what was not needed is kept"


def test_strict_order_between_queues_with_limits() -> None:
    for queue in ("first", "later"):
        change(queue, max_running=50)
    submit(10, queue="later", priority=100)
    submit(2, queue="first", priority=-100)
    window, worker = look("first", "later", strict=True), make_worker()
    assert queues_of(one_round(window, worker, 2)) == ["first"] * 2
    assert queues_of(one_round(window, worker, 2)) == ["later"] * 2


def test_a_place_that_comes_free_after_the_look_goes_to_nobody_out_of_turn() -> None:
    """Of each key as many are read as there is room for: what stands behind them is before the heads of later keys."""
    change("narrow", max_running=2, key_max_running=9)
    first = submit(5, queue="narrow", concurrency_key="a")
    submit(5, queue="narrow", concurrency_key="b")
    window, worker = look("narrow"), make_worker()
    change("narrow", max_running=4)
    with django_cursor() as cursor:
        asked = window.candidates(4)
        limited = window.limited(asked)
        got = claim(cursor, worker_id=worker, candidates=asked, limit=4, limited=limited)
    assert [job.id for job in got.jobs] == first[:2]
    assert one_round(window, worker, 4) == first[2:4]


def test_a_key_that_is_used_up_still_hides_nobody() -> None:
    change("narrow", max_running=3, key_max_running=1)
    first, second = (submit(2, queue="narrow", concurrency_key=key)[0] for key in "ab")
    third = submit(2, queue="narrow")[0]
    assert one_round(look("narrow"), make_worker(), 9) == [first, second, third]


def test_a_claim_by_rank_would_take_from_the_wrong_queue() -> None:
    """The negative control: the same candidates, and the order they are in left out."""
    submit(10, queue="later", priority=100)
    first = submit(6, queue="first", priority=-100)
    window = contended(look("first", "later", strict=True))
    asked = window.candidates(4)
    assert asked[:4] == first[:4]
    with django_cursor() as cursor:
        got = claim(cursor, worker_id=make_worker(), candidates=asked, limit=4)
    assert queues_of([job.id for job in got.jobs]) == ["later"] * 4


# -- rates -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(transactional_db: None) -> Iterator[Callable[..., Bench]]:
    kinds.GATE.clear()
    made: list[Bench] = []

    def make(*queues: str) -> Bench:
        made.append(Bench(queues=queues, concurrency=4))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_loop_claims_in_the_order_of_the_shares(bench: Any) -> None:
    for queue, priority in (("a", -100), ("b", 100)):
        jobs.submit_many([JobSpec(kind="test.gated", queue=queue, priority=priority)] * 6)
    worker: Bench = bench("a", "b")
    contended(worker.scheduler._window)
    assert worker.scheduler.tick().claimed == 4
    running = Job.objects.filter(state="running").values_list("queue", flat=True)
    assert Counter(running) == {"a": 2, "b": 2}, "by rank all would be of the second"


@pytest.mark.parametrize("whose", ["", "key_"])
def test_the_next_start_a_rate_allows_does_not_wait_for_the_poll(bench: Any, whose: str) -> None:
    """One in 0.6 s, seen once a second, would be one a second."""
    change("slow", **{f"{whose}rate": 1, f"{whose}rate_seconds": 0.6})
    submit(3, queue="slow", concurrency_key="k")
    worker: Bench = bench("slow")
    began = time.monotonic()

    def done() -> bool:
        worker.scheduler.tick()
        time.sleep(min(0.05, worker.scheduler.wait_seconds()))
        worker.scheduler._polled = time.monotonic()  # nobody polls
        return Job.objects.filter(state="completed").count() == 3

    worker.scheduler.tick()
    eventually(done, interval=0.0)
    assert time.monotonic() - began >= 1.2 - 0.01, "and never more than it allows"


def test_a_rate_that_nobody_waits_for_wakes_nobody(bench: Any) -> None:
    change("slow", rate=1, rate_seconds=0.05)
    worker: Bench = bench("slow")
    with django_cursor() as cursor:
        worker.scheduler._window.poll(cursor)
    assert worker.scheduler._window.seconds_until_token() == float("inf")


def test_a_worker_that_drains_does_not_turn_for_what_is_due(bench: Any) -> None:
    jobs.submit("test.echo", queue="slow", scheduled_at=timezone.now() + timedelta(seconds=0.2))
    worker: Bench = bench("slow")
    with django_cursor() as cursor:
        worker.scheduler._window.poll(cursor)
    eventually(lambda: worker.scheduler._window.seconds_until_due() == 0.0)
    worker.scheduler._polled = time.monotonic()
    assert worker.scheduler.wait_seconds() == 0.0
    worker.scheduler.draining = True
    assert worker.scheduler.wait_seconds() > 0.5


def test_a_new_rate_begins_with_a_full_burst_also_beside_an_older_limit() -> None:
    change("slow", max_running=50)
    change("slow", rate=3, rate_seconds=3600)
    ids = submit(5, queue="slow")
    assert len(one_round(look("slow"), make_worker(), 5)) == 3
    change("slow", rate=None)
    change("slow", rate=1, rate_seconds=3600)
    assert len(one_round(look("slow"), make_worker(), 5)) == 1
    assert len(ids) == 5


def test_a_changed_rate_keeps_what_is_used_up_and_counts_no_time_before_it() -> None:
    change("slow", rate=2, rate_seconds=3600)
    submit(20, queue="slow")
    assert len(one_round(look("slow"), make_worker(), 9)) == 2
    Bucket.objects.update(refilled_at=timezone.now() - timedelta(seconds=1800))
    change("slow", rate=100, rate_seconds=3600)  # half an hour of the old rate is one start
    assert len(one_round(look("slow"), make_worker(), 9)) == 1


@pytest.mark.parametrize("setting", ["rate_seconds", "key_rate_seconds"])
def test_a_time_so_short_that_no_claim_could_reckon_with_it_is_refused(setting: str) -> None:
    Queue.objects.create(pk="slow")
    for seconds in (1e-305, 1e-9, 0.000_9):
        with pytest.raises(InvalidSubmission) as refused:
            change("slow", **{setting: seconds})
        assert refused.value.field == setting
    change("slow", rate=1_000_000, key_rate=1_000_000, **{setting: 0.001})
    Bucket.objects.update(refilled_at="1970-01-01T00:00Z", tokens=0)
    submit(2, queue="slow", concurrency_key="k")
    assert len(one_round(look("slow"), make_worker(), 5)) == 2
