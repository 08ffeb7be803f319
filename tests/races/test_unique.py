"""Submitters of the same key at the same moment: one job, whoever they are, and what they do when one of them fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from jobs import JobSpec, Submitted, Unique, deadletters, submit_many
from jobs import deadletter_steering as steering
from jobs.acting import Actor
from jobs.database import django_cursor
from jobs.models import Job, UniqueKey
from jobs.retention import delete_old_jobs
from jobs.states import FINISHED, State
from jobs.store import letters
from jobs.store.uniqueness import insert_unique
from jobs.store.values import Transition
from jobs.submit import prepare
from tests.races.harness import KIND, Hand, dead, together
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

SUBMITTERS = 8


def one(key: Any, number: int = 0) -> JobSpec:
    return JobSpec(kind=KIND, payload={"task": f"t{number}", "seconds": 0}, unique_key=key)


def submitting(*specs: JobSpec) -> list[Submitted]:
    """From a thread of its own, with a connection of its own."""
    try:
        return submit_many(specs)
    finally:
        connection.close()


def test_eight_submitters_at_once_get_one_job() -> None:
    for round_ in range(10):
        made = together(*(lambda n=n, k=f"k{round_}": submitting(one(k, n)) for n in range(SUBMITTERS)))
        assert len({placed.id for (placed,) in made}) == 1
        assert sorted(placed.duplicate for (placed,) in made) == [False] + [True] * (SUBMITTERS - 1)
    assert Job.objects.count() == UniqueKey.objects.count() == 10
    assert_consistent(connection.cursor())


def test_without_the_unique_index_there_are_two(spoilt: Callable[..., None]) -> None:
    """The control: a look before the insert is not enough, however the rows are locked. With it the second waits."""
    submit_many([one("another")])
    spoilt("claim_uniquekeys", "ON CONFLICT (key, kind) DO NOTHING", "")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_uniquekey DROP CONSTRAINT uniquekey_held_once")
    try:
        with transaction.atomic():
            submit_many([one("k", 1)])
            together(lambda: submitting(one("k", 2)))
        assert UniqueKey.objects.filter(key="k").count() == 2
        assert Job.objects.count() == 3
    finally:
        UniqueKey.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE jobs_uniquekey ADD CONSTRAINT uniquekey_held_once UNIQUE (key, kind)")


def ended_holder(hand: Callable[..., Hand], key: str) -> int:
    (placed,) = submit_many([one(key)])
    worker = hand()
    worker.end(*(Transition(job=job, target=State.COMPLETED) for job in worker.claim([placed.id])))
    return placed.id


def test_one_of_eight_follows_a_job_that_has_ended(hand: Callable[..., Hand]) -> None:
    for round_ in range(5):
        key = f"k{round_}"
        old = ended_holder(hand, key)
        made = together(*(lambda n=n, k=key: submitting(one(k, n)) for n in range(SUBMITTERS)))
        assert {placed.id for (placed,) in made} - {old} == {made[0][0].id}
        assert sum(not placed.duplicate for (placed,) in made) == 1


def test_without_the_lock_on_the_key_several_follow(
    hand: Callable[..., Hand], spoilt: Callable[..., None]
) -> None:
    spoilt("lock_uniquekeys", "FOR UPDATE OF k", "")
    several = 0
    for round_ in range(10):
        key = f"k{round_}"
        ended_holder(hand, key)
        made = together(*(lambda n=n, k=key: submitting(one(k, n)) for n in range(SUBMITTERS)))
        several += sum(not placed.duplicate for (placed,) in made) > 1
        if several:
            break
    assert several


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_whoever_comes_second_waits_for_what_becomes_of_the_first(
    end: str, hand: Callable[..., Hand], behind: Callable[..., Any]
) -> None:
    first = hand()
    first.connection.execute("BEGIN")
    with first.connection.cursor() as cursor:
        (placed,) = insert_unique(cursor, [prepare(one("k"))])
    (second,) = behind(lambda: first.connection.execute(end), lambda: submitting(one("k")))
    assert (second.duplicate, second.id == placed.id) == (end == "COMMIT", end == "COMMIT")
    assert Job.objects.count() == 1


def test_many_submitters_of_many_keys_do_not_deadlock() -> None:
    """Each locks its keys in the same order, however it was given them."""
    keys = [f"k{number}" for number in range(40)]

    def all_of_them(turn: int) -> list[Submitted]:
        order = keys[turn:] + keys[:turn]
        return submitting(*(one(key) for key in (order if turn % 2 else order[::-1])))

    for _ in range(3):
        made = together(*(lambda turn=turn: all_of_them(turn * 5) for turn in range(SUBMITTERS)))
        assert sum(not placed.duplicate for batch in made for placed in batch) in (0, len(keys))
    assert Job.objects.count() == len(keys)


def test_a_claim_and_a_new_payload_meet_in_one_of_two_orders(hand: Callable[..., Hand]) -> None:
    """Either the worker has the new payload, or the submitter hears that it was too late."""
    worker = hand()

    def meet(key: str) -> None:
        (first,) = submit_many([one(key, 1)])
        works: list[Callable[[], Any]] = [
            lambda: worker.claim([first.id]),
            lambda: submitting(one(Unique(key, policy="replace"), 2)),
        ]
        claimed, (second,) = together(*works)
        assert (second.id, second.duplicate) == (first.id, True)
        # A claim passes over a job whose row is being replaced; it is found again later.
        (job,) = claimed or worker.claim([first.id])
        assert ('"t2"' in job.payload) is second.replaced
        assert Job.objects.get(pk=first.id).payload["task"] == ("t2" if second.replaced else "t1")

    for round_ in range(20):
        meet(f"k{round_}")
    assert_consistent(connection.cursor())


def test_a_submitter_and_the_janitor_agree_about_a_key(hand: Callable[..., Hand]) -> None:
    """The row of the job is deleted while somebody follows it: the key is never lost to the new job."""

    def clean() -> int:
        with transaction.atomic(), django_cursor() as cursor:
            number, _ = delete_old_jobs(cursor, keep=0.0, after=0)
        connection.close()
        return number

    deleted = 0
    for round_ in range(10):
        key = f"k{round_}"
        ended_holder(hand, key)
        works: list[Callable[[], Any]] = [clean, partial(submitting, one(key))]
        number, made = together(*works)
        deleted += number
        assert made[0].duplicate is False
        assert UniqueKey.objects.get(key=key).job_id == made[0].id
        assert submit_many([one(key)])[0].id == made[0].id
    # What it passed over because somebody held its key, it finds later; and nothing else.
    assert deleted
    assert deleted + clean() == 10


# -- an undone discard -------------------------------------------------------------------------------------------------


def discarded_with_a_key(hand: Callable[..., Hand]) -> tuple[int, int]:
    """A discarded dead letter with the key "k", and the run that can be undone."""
    job_id = submit_many([one("k")])[0].id
    worker = hand()
    worker.end(*(dead(job) for job in worker.claim([job_id])))
    run = deadletters.discard(Actor(), [job_id], reason="r").run
    assert run is not None
    return job_id, run


def undoing(run: int) -> list[int]:
    """From a thread of its own."""
    try:
        return [len(steering.undo(Actor(), run, reason="r").done)]
    finally:
        connection.close()


def unfinished() -> int:
    return Job.objects.exclude(state__in=FINISHED).count()


def submission_before_undo(hand: Callable[..., Hand], behind: Callable[..., Any]) -> list[int]:
    """The undo begins before a submission of the same key has committed; how many jobs came back."""
    _, run = discarded_with_a_key(hand)
    open_transaction = transaction.atomic()
    open_transaction.__enter__()
    assert not submit_many([one("k")])[0].duplicate
    done: list[int] = behind(lambda: open_transaction.__exit__(None, None, None), lambda: undoing(run))
    return done


def test_an_undo_waits_for_a_submission_of_the_same_key_and_leaves_it_alone(
    hand: Callable[..., Hand], behind: Callable[..., Any]
) -> None:
    assert submission_before_undo(hand, behind) == [0]
    assert unfinished() == 1
    assert_consistent(connection.cursor())


def test_without_taking_the_key_two_unfinished_jobs_have_it(
    hand: Callable[..., Hand], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(letters, "take_again", lambda *_: {})
    done = submission_before_undo(hand, lambda release, work: (work_in_a_thread(work), release())[0])
    assert (done, unfinished()) == ([1], 2)


def work_in_a_thread(work: Callable[[], Any]) -> Any:
    return together(work)[0]


def test_a_submission_waits_for_an_undo_and_meets_the_job_that_came_back(
    hand: Callable[..., Hand], behind: Callable[..., Any]
) -> None:
    job_id, run = discarded_with_a_key(hand)
    open_transaction = transaction.atomic()
    open_transaction.__enter__()
    assert steering.undo(Actor(), run, reason="r").done == [job_id]
    (met,) = behind(lambda: open_transaction.__exit__(None, None, None), lambda: submitting(one("k")))
    assert (met.duplicate, met.id, met.state) == (True, job_id, "dead")
    assert_consistent(connection.cursor())
