"""A limit never lets one more run: with eight workers at once, with workers that die, while limits are changed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from jobs import queue_steering
from jobs.control import Actor
from jobs.models import Bucket, Job, Queue
from jobs.models.limits import Permit
from jobs.models.waiting import Ready
from jobs.states import State
from jobs.store import limiting
from jobs.store.claiming import claim
from jobs.store.values import Claimed, Transition
from tests.races.harness import Hand, submit_some, together
from tests.races.limited import QUEUE, Storm, running, take, waiting
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]
Spoil = Callable[..., None]


@pytest.fixture
def limit(transactional_db: None) -> Callable[..., Queue]:
    """limit(max_running=3) sets limits of the queue, which comes into being here."""

    def change(**limits: Any) -> Queue:
        Queue.objects.get_or_create(pk=QUEUE)
        queue = queue_steering.change_queue(Actor(), QUEUE, **limits)
        if threading.current_thread() is not threading.main_thread():
            connection.close()
        return queue

    return change


def test_no_more_than_the_limit_run_with_eight_workers_that_die(hand: Hands, limit: Any) -> None:
    limit(max_running=5)
    submit_some(120, queue=QUEUE, max_attempts=20)
    storm = Storm([hand(str(n)) for n in range(8)], {}, 5)
    storm.blow()
    storm.assert_kept()
    assert not Ready.objects.exists()
    assert not Permit.objects.exists()
    assert_consistent(connection.cursor())


def test_no_more_than_the_limit_of_each_key_run_with_eight_workers_that_die(hand: Hands, limit: Any) -> None:
    limit(max_running=6, key_max_running=2)
    for key in ("a", "b", "c", None):
        submit_some(25, queue=QUEUE, max_attempts=20, concurrency_key=key)
    storm = Storm([hand(str(n)) for n in range(8)], {"a": 2, "b": 2, "c": 2}, 6)
    storm.blow()
    storm.assert_kept()
    assert not Ready.objects.exists()
    assert_consistent(connection.cursor())


def both_claim(hand: Hands, ids: list[int]) -> int:
    """Two workers whose claims overlap: the second begins before the first has committed. How many run then."""
    first, second = hand("first"), hand("second")
    limited = dict.fromkeys(ids, QUEUE)
    first.connection.execute("BEGIN")
    with first.connection.cursor() as cursor:
        claim(cursor, worker_id=first.worker_id, candidates=ids[:5], limit=5, limited=limited)
        take(second, ids[5:])
        first.connection.execute("COMMIT")
    return running(first)


def test_claims_that_overlap_keep_the_limit(hand: Hands, limit: Any) -> None:
    limit(max_running=3)
    assert both_claim(hand, submit_some(10, queue=QUEUE)) == 3


def test_without_the_lock_more_run_than_allowed(hand: Hands, limit: Any, spoilt: Spoil) -> None:
    """The negative control."""
    spoilt("lock_limits", "FOR UPDATE SKIP LOCKED", "")
    limit(max_running=3)
    assert both_claim(hand, submit_some(10, queue=QUEUE)) == 6


def test_a_worker_that_comes_second_hears_so_and_does_not_wait(hand: Hands, limit: Any) -> None:
    limit(max_running=3)
    ids = submit_some(10, queue=QUEUE)
    other = submit_some(1)
    first, second = hand("first"), hand("second")
    first.connection.execute("BEGIN")
    with first.connection.cursor() as cursor:
        limiting.claim_limited(cursor, worker_id=first.worker_id, candidates=ids, queues=[QUEUE], limit=1)
        got = second.do(
            lambda cursor: claim(
                cursor,
                worker_id=second.worker_id,
                candidates=[*ids, *other],
                limit=20,
                limited=dict.fromkeys(ids, QUEUE),
            )
        )
        first.connection.execute("COMMIT")
    assert (list(got.busy), [job.id for job in got.jobs]) == ([QUEUE], other)
    assert len(take(second, ids).jobs) == 2


def test_the_word_of_a_lost_worker_frees_nothing(hand: Hands, limit: Any) -> None:
    limit(max_running=2)
    ids = submit_some(4, queue=QUEUE)
    zombie, successor = hand("zombie"), hand("successor")
    stale = take(zombie, ids).jobs
    assert len(stale) == 2
    zombie.declare_lost()
    assert len(take(successor, ids).jobs) == 2
    assert zombie.complete(*stale).recorded == []
    assert take(successor, ids).jobs == []
    assert running(successor) == 2


@pytest.mark.parametrize("way", ["complete", "give back", "fail"])
def test_a_place_is_free_in_the_moment_its_attempt_ends(hand: Hands, limit: Any, way: str) -> None:
    """Also for the next claim of the same transaction."""
    limit(max_running=1)
    ids = submit_some(2, queue=QUEUE)
    one = hand()
    (job,) = take(one, ids).jobs
    end = {
        "complete": Transition(job=job, target=State.COMPLETED),
        "give back": Transition(job=job, target=State.AVAILABLE, refund=True),
        "fail": Transition(job=job, target=State.RETRYABLE, outcome="failed", delay=60.0),
    }[way]
    assert take(one, ids).jobs == []

    def round_(cursor: Any) -> tuple[int, Claimed]:
        from jobs.store.ending import end_attempts

        released = end_attempts(cursor, one.worker_id, [end]).released
        limited = dict.fromkeys(ids, QUEUE)
        return released, claim(cursor, worker_id=one.worker_id, candidates=ids, limit=2, limited=limited)

    released, claimed = one.do(round_)
    assert released >= 1, "the others are told"
    assert len(claimed.jobs) == 1


# -- rates -------------------------------------------------------------------------------------------------------------


def test_a_rate_lets_a_burst_start_and_then_what_comes_in(hand: Hands, limit: Any) -> None:
    limit(rate=2, rate_seconds=3600, rate_burst=5)
    ids = submit_some(40, queue=QUEUE)
    hands = [hand(str(n)) for n in range(8)]
    for _ in range(4):
        together(*(lambda one=one: take(one, waiting(one)) for one in hands))
    assert running(hands[0]) == 5
    Bucket.objects.update(refilled_at="2020-01-01T00:00Z", tokens=0)
    assert len(take(hands[0], ids).jobs) == 5, "at most a burst, however long nothing started"
    assert take(hands[1], ids).jobs == []


def test_without_the_lock_more_start_than_the_rate_allows(
    hand: Hands, limit: Any, spoilt: Spoil, behind: Any
) -> None:
    """The negative control: the second reads what the first has not committed yet."""
    spoilt("lock_limits", "FOR UPDATE SKIP LOCKED", "")
    limit(rate=3, rate_seconds=3600)
    ids = submit_some(10, queue=QUEUE)
    first, second = hand("first"), hand("second")
    first.connection.execute("BEGIN")
    with first.connection.cursor() as cursor:
        limited = dict.fromkeys(ids, QUEUE)
        claim(cursor, worker_id=first.worker_id, candidates=ids[:5], limit=5, limited=limited)
    behind(lambda: first.connection.execute("COMMIT"), lambda: take(second, ids[5:]))
    assert running(first) == 6


def test_each_key_has_a_rate_of_its_own(hand: Hands, limit: Any) -> None:
    limit(key_rate=2, key_rate_seconds=3600)
    mine, other = (submit_some(5, queue=QUEUE, concurrency_key=key) for key in "ab")
    without = submit_some(3, queue=QUEUE)
    hands = [hand(str(n)) for n in range(8)]
    ids = [*mine, *other, *without]
    for _ in range(4):
        together(*(lambda one=one: take(one, ids) for one in hands))
    assert (running(hands[0], "a"), running(hands[0], "b"), running(hands[0])) == (2, 2, 7)
    assert limiting.tidy(connection.cursor()) == 0
    assert Bucket.objects.filter(key="a").exists(), "what is used up is remembered"
    Bucket.objects.update(refilled_at="2020-01-01T00:00Z")
    limiting.tidy(connection.cursor())
    assert not Bucket.objects.exclude(key="").exists(), "and forgotten when it is full again"


# -- changes of limits -------------------------------------------------------------------------------------------------


def limit_behind_a_claim(hand: Hands, limit: Any, behind: Any) -> int:
    """A claim is under way when the queue gets its limit, and another comes; how many run when all is done."""
    ids = submit_some(10, queue=QUEUE)
    first, second = hand("first"), hand("second")
    first.connection.execute("BEGIN")
    with first.connection.cursor() as cursor:
        claim(cursor, worker_id=first.worker_id, candidates=ids[:2], limit=2)
    behind(lambda: first.connection.execute("COMMIT"), lambda: limit(max_running=3) and True)
    take(second, ids)
    second.claim(ids)  # by a worker that has not heard of the limit
    return running(second)


def test_a_new_limit_counts_what_runs_already_and_what_is_just_being_claimed(
    hand: Hands, limit: Any, behind: Any
) -> None:
    assert limit_behind_a_claim(hand, limit, behind) == 3


def test_without_stopping_claims_a_new_limit_misses_one(hand: Hands, limit: Any, spoilt: Spoil) -> None:
    """The negative control: there is nobody to wait for, and the claim's jobs are not seen."""
    spoilt("stop_claims", whole="SELECT 1")
    assert limit_behind_a_claim(hand, limit, lambda release, work: (work(), release())) == 5


def test_a_claim_that_comes_while_a_limit_is_being_set_keeps_it(hand: Hands, limit: Any, behind: Any) -> None:
    """It waits for the change and then reads it, though it began before."""
    ids = submit_some(10, queue=QUEUE)
    changer, late = hand("changer"), hand("late")
    Queue.objects.get_or_create(pk=QUEUE)
    changer.connection.execute("BEGIN")
    with changer.connection.cursor() as cursor:
        limits = limiting.Limits(max_running=3)
        limiting.change_limits(cursor, QUEUE, before=limiting.Limits(), after=limits)
        cursor.execute("UPDATE jobs_queue SET max_running = 3 WHERE name = %s", [QUEUE])
    plain = behind(lambda: changer.connection.execute("COMMIT"), lambda: [late.claim(ids)])
    assert plain == [[]]
    assert len(take(late, ids).jobs) == 3


def test_limits_come_and_go_while_eight_workers_claim(hand: Hands, limit: Any) -> None:
    """Whoever claims by an old idea of the queue gets nothing wrong: in the end every job has run."""
    submit_some(60, queue=QUEUE, concurrency_key="k", max_attempts=50)
    hands = [hand(str(n)) for n in range(8)]
    until = time.monotonic() + 20

    def work(rng: random.Random, one: Hand) -> None:
        while time.monotonic() < until and (ids := waiting(one)):
            jobs = take(one, ids, limit=3).jobs if rng.random() < 0.5 else one.claim(ids[:3])
            if jobs:
                one.complete(*jobs)

    def change() -> None:
        for limits in (
            {"max_running": 2},
            {"key_max_running": 1},
            {"max_running": None},
            {"key_max_running": None},
        ):
            limit(**limits)

    together(*(lambda n=n, one=one: work(random.Random(n), one) for n, one in enumerate(hands)), change)
    last = hands[0]
    while time.monotonic() < until and (ids := waiting(last)):
        last.complete(*last.claim(ids))
    limiting.tidy(connection.cursor())
    assert set(Job.objects.values_list("state", flat=True)) == {"completed"}
    assert not Permit.objects.exists()
    assert_consistent(connection.cursor())


def test_a_place_left_behind_is_swept_away_and_a_running_jobs_is_not(hand: Hands, limit: Any) -> None:
    limit(max_running=3)
    ids = submit_some(5, queue=QUEUE)
    one = hand()
    take(one, ids[:1])
    Permit.objects.create(job_id=ids[4], queue=QUEUE, attempt=1, worker_id=one.worker_id)
    assert limiting.tidy(connection.cursor()) == 1
    assert list(Permit.objects.values_list("job_id", flat=True)) == ids[:1]


def test_a_job_in_the_wrong_lane_is_claimed_by_its_own_key_and_put_right(hand: Hands, limit: Any) -> None:
    """It came in while the queue began to limit keys."""
    limit(key_max_running=1)
    ids = submit_some(3, queue=QUEUE, concurrency_key="k")
    Ready.objects.update(key=None)
    assert len(take(hand(), ids).jobs) == 1
    assert set(Ready.objects.values_list("key", flat=True)) == {"k"}
    limit(key_max_running=None)
    assert set(Ready.objects.values_list("key", flat=True)) == {None}
