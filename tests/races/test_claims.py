"""Who gets a job, and whose word about it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from psycopg import errors

from jobs.models import Attempt, Job
from jobs.states import State
from jobs.store import workers
from jobs.store.claiming import claim, claim_ready
from jobs.store.moving import promote
from jobs.store.values import Transition
from tests.races.harness import KIND, Hand, dead, submit_some, together
from tests.support_consistency import assert_consistent, disagreements

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]
Spoil = Callable[..., None]


def test_candidates_of_several_workers_go_to_exactly_one_each(hand: Hands) -> None:
    ids = submit_some(400)
    hands = [hand(name) for name in "abcd"]
    got = together(*(lambda one=one: one.claim(ids) for one in hands))
    taken = [job.id for jobs in got for job in jobs]
    assert sorted(taken) == ids
    assert set(Job.objects.values_list("state", "attempt")) == {("running", 1)}
    assert_consistent(connection.cursor())


def test_a_claim_never_takes_more_than_its_limit(hand: Hands) -> None:
    ids = submit_some(50)
    got = together(*(lambda one=one: one.claim(ids, limit=7) for one in (hand("a"), hand("b"), hand("c"))))
    assert [len(jobs) for jobs in got] == [7, 7, 7], "who meets a locked one takes the next"
    assert len({job.id for jobs in got for job in jobs}) == 21


def test_a_claim_does_not_wait_for_another_and_gets_the_rest(hand: Hands) -> None:
    ids = submit_some(10)
    first, second = hand("first"), hand("second")
    with first.connection.transaction(), first.connection.cursor() as cursor:
        mine = claim(cursor, worker_id=first.worker_id, candidates=ids, limit=4).jobs
        theirs = second.claim(ids)
    assert [job.id for job in mine] == ids[:4]
    assert [job.id for job in theirs] == ids[4:]


def test_without_lock_and_state_two_workers_get_the_same_job(hand: Hands, spoilt: Spoil, behind: Any) -> None:
    """The negative control."""
    spoilt("claim", "    FOR UPDATE SKIP LOCKED\n", "", " AND j.state = 'available'", "")
    (job,) = submit_some(1)
    first, second = hand("first"), hand("second")
    first.connection.execute("BEGIN")
    with first.connection.cursor() as cursor:
        mine = claim(cursor, worker_id=first.worker_id, candidates=[job], limit=1).jobs
    theirs = behind(lambda: first.connection.execute("COMMIT"), lambda: second.claim([job]))
    assert [one.id for one in mine] == [one.id for one in theirs] == [job]


def test_a_worker_that_was_declared_lost_claims_nothing(hand: Hands) -> None:
    """It may not have heard of it yet."""
    one = hand()
    ids = submit_some(3)
    one.declare_lost()
    assert one.claim(ids) == []
    assert set(Job.objects.values_list("state", "attempt")) == {("available", 0)}


def test_otherwise_it_wears_the_jobs_out(hand: Hands, spoilt: Spoil) -> None:
    """The negative control: what it claims is given back at once, again and again, a loss each time."""
    spoilt("claim", "AND w.state IN ('lost', 'stopped')", "AND false")
    one = hand()
    (job,) = submit_some(1, max_attempts=3)
    for _ in range(3):
        assert one.claim([job])
        assert one.declare_lost() == 1
    assert Job.objects.get().attempt == 3


# -- everything at once ------------------------------------------------------------------------------------------------


def test_what_several_idle_workers_hear_of_goes_to_exactly_one_each(hand: Hands) -> None:
    hands = [hand(name) for name in "abcd"]
    for _ in range(5):
        ids = submit_some(3)
        got = together(*(one.claim_ready for one in hands))
        assert sorted(job.id for jobs in got for job in jobs or []) == ids
    assert set(Job.objects.values_list("state", "attempt")) == {("running", 1)}
    assert_consistent(connection.cursor())


def test_without_lock_and_state_two_of_them_get_the_same_job(hand: Hands, spoilt: Spoil, behind: Any) -> None:
    """The negative control."""
    spoilt("claim_ready", "    FOR UPDATE SKIP LOCKED\n", "", " AND j.state = 'available'", "")
    (job,) = submit_some(1)
    first, second = hand("first"), hand("second")
    first.connection.execute("BEGIN")
    with first.connection.cursor() as cursor:
        mine = claim_ready(cursor, worker_id=first.worker_id, names=[], kinds=[KIND], limit=5)
    theirs = behind(lambda: first.connection.execute("COMMIT"), second.claim_ready)
    assert mine is not None
    assert [one.id for one in mine.jobs] == [one.id for one in theirs] == [job]


def test_more_than_the_limit_is_left_alone(hand: Hands) -> None:
    """There is an order to decide then, which it does not know."""
    ids = submit_some(4)
    one = hand()
    assert one.claim_ready(limit=3) is None
    assert set(Job.objects.values_list("state", flat=True)) == {"available"}
    assert sorted(job.id for job in one.claim_ready(limit=4) or []) == ids
    assert one.claim_ready() == []


def test_a_lost_worker_hears_of_nothing_either(hand: Hands, spoilt: Spoil) -> None:
    """With its negative control."""
    one = hand()
    submit_some(1)
    one.declare_lost()
    assert one.claim_ready() == []
    spoilt("claim_ready", "AND w.state IN ('lost', 'stopped')", "AND false")
    assert len(one.claim_ready() or []) == 1


# -- the fence ---------------------------------------------------------------------------------------------------------


ENDS = {
    "completed": lambda job: Transition(job=job, target=State.COMPLETED, result='"stale"'),
    "dead": dead,
    "retryable": lambda job: Transition(job=job, target=State.RETRYABLE, outcome="failed", delay=1.0),
    "snoozed": lambda job: Transition(
        job=job, target=State.SCHEDULED, outcome="snoozed", delay=1.0, refund=True
    ),
    "given back": lambda job: Transition(job=job, target=State.AVAILABLE, refund=True),
    "cancelled": lambda job: Transition(job=job, target=State.CANCELLED, outcome="cancelled"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_no_word_of_a_lost_worker_counts(hand: Hands, end: Any) -> None:
    """Its job runs elsewhere, with the next attempt."""
    ids = submit_some(1)
    zombie, successor = hand("zombie"), hand("successor")
    (stale,) = zombie.claim(ids)
    assert zombie.declare_lost() == 1
    (fresh,) = successor.claim(ids)
    assert (stale.attempt, fresh.attempt) == (1, 2)
    told = zombie.end(end(stale))
    assert (told.recorded, told.lost) == ([], ids)
    assert Job.objects.get().state == "running"
    assert successor.complete(fresh).recorded == ids
    assert list(Attempt.objects.values_list("number", "outcome")) == [(1, "lost")]
    assert Job.objects.get().result is None
    assert_consistent(connection.cursor())


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_same_worker_cannot_end_an_earlier_attempt(hand: Hands, end: Any) -> None:
    ids = submit_some(1)
    one = hand()
    (first,) = one.claim(ids)
    one.end(Transition(job=first, target=State.RETRYABLE, outcome="failed", delay=0.0))
    one.connection.execute("UPDATE jobs_scheduled SET at = clock_timestamp()")
    assert one.do(lambda cursor: promote(cursor, ids))
    (second,) = one.claim(ids)
    assert one.end(end(first)).lost == ids
    assert one.complete(second).recorded == ids
    assert_consistent(connection.cursor())


def test_an_end_told_twice_counts_once(hand: Hands) -> None:
    ids = submit_some(3)
    one = hand()
    jobs = one.claim(ids)
    assert one.complete(*jobs).recorded == ids
    assert one.complete(*jobs).lost == ids
    assert_consistent(connection.cursor())


def test_without_the_fence_a_lost_workers_word_overwrites(hand: Hands, spoilt: Spoil) -> None:
    """The negative control."""
    fence = "WHERE j.id = u.id AND j.attempt = u.attempt AND j.worker_id = %(worker)s AND j.state = 'running'"
    spoilt("complete", fence, "WHERE j.id = u.id AND %(worker)s > 0")
    ids = submit_some(1)
    zombie, successor = hand("zombie"), hand("successor")
    (stale,) = zombie.claim(ids)
    zombie.declare_lost()
    (fresh,) = successor.claim(ids)
    assert zombie.end(ENDS["completed"](stale)).recorded == ids
    successor.complete(fresh)
    assert any("2 completions" in one for one in disagreements(connection.cursor()))


def test_a_completion_and_a_rescue_at_once_end_the_attempt_once(hand: Hands, behind: Any) -> None:
    """The completion is not committed when the rescuer looks: it waits, and finds nothing to rescue."""
    ids = submit_some(2)
    one, rescuer = hand("one"), hand("rescuer")
    jobs = one.claim(ids)
    one.connection.execute("UPDATE jobs_workerprocess SET state = 'lost' WHERE id = %s", [one.worker_id])
    one.connection.execute("BEGIN")
    one.complete(*jobs)
    rescued = behind(lambda: one.connection.execute("COMMIT"), lambda: rescuer.do(workers.rescue_orphans))
    assert rescued == 0
    assert set(Job.objects.values_list("state", "attempt")) == {("completed", 1)}
    assert_consistent(connection.cursor(), at_rest=True)


def half_given_back(hand: Hands) -> tuple[Hand, Hand, list[int]]:
    """The first still runs half of its only batch; the second runs the other half, which the first gave back."""
    first, second = hand("first"), hand("second")
    mine = first.claim(submit_some(4))
    first.end(*(Transition(job=job, target=State.AVAILABLE, refund=True) for job in mine[::2]))
    theirs = second.claim([job.id for job in mine[::2]])
    assert len(theirs) == 2
    return first, second, [job.id for job in theirs]


def test_a_rescue_leaves_alone_what_another_worker_runs_by_now(hand: Hands) -> None:
    """The old batch still names it. That worker may end its jobs in any order, and both would wait for each other."""
    first, second, theirs = half_given_back(hand)
    first.connection.execute("SET lock_timeout = '2s'")
    with second.connection.transaction():
        second.connection.execute("SELECT FROM jobs_job WHERE id = ANY(%s) FOR UPDATE", [theirs])
        assert first.declare_lost() == 2
    assert set(
        Job.objects.filter(worker_id=second.worker_id, state="running").values_list("id", flat=True)
    ) == set(theirs)
    assert_consistent(connection.cursor())


def test_a_rescue_that_locks_all_that_the_batch_names_would_wait_for_it(hand: Hands, spoilt: Spoil) -> None:
    """The negative control."""
    spoilt("lock_held", " AND worker_id = ANY(%(workers)s::bigint[])", " AND %(workers)s IS NOT NULL")
    first, second, theirs = half_given_back(hand)
    first.connection.execute("SET lock_timeout = '500ms'")
    with second.connection.transaction():
        second.connection.execute("SELECT FROM jobs_job WHERE id = ANY(%s) FOR UPDATE", [theirs])
        with pytest.raises(errors.LockNotAvailable):
            first.declare_lost()


def test_a_rescue_of_several_batches_waits_with_nothing_in_its_hands_that_comes_later(
    hand: Hands, behind: Any
) -> None:
    """Batches in the order they were claimed name jobs in any order: two who lock these would meet."""
    lost, other = hand("lost"), hand("other")
    early, late = submit_some(2)
    lost.claim([late])
    lost.claim([early])
    other.connection.execute("BEGIN")
    other.connection.execute("SELECT FROM jobs_job WHERE id = %s FOR UPDATE", [early])

    def takes_the_later_one_too() -> None:
        other.connection.execute("SELECT FROM jobs_job WHERE id = %s FOR UPDATE NOWAIT", [late])
        other.connection.execute("COMMIT")

    assert behind(takes_the_later_one_too, lost.declare_lost) == 2
