"""Unique keys: one job a key, for as long as the job that has it says, and a duplicate gets what it asks for."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.db import connection, transaction

import jobs
from jobs import Unique
from jobs.database import django_cursor
from jobs.errors import DuplicateJob
from jobs.models import Job, UniqueKey
from jobs.retention import delete_old_jobs
from jobs.states import State
from jobs.store import moving
from jobs.store.uniqueness import delete_free_keys
from tests.jobs.ground import consistent, end, make_worker, state_of, take, told
from tests.jobs.keyed import KIND, complete, submit

pytestmark = pytest.mark.django_db


def later(seconds: float) -> None:
    """As if the keys had been taken that much earlier."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_uniquekey SET until = until - by, created_at = created_at - by"
            " FROM make_interval(secs => %s) AS by",
            [seconds],
        )


def sweep(keep: float = 0.0) -> int:
    with django_cursor() as cursor:
        return delete_old_jobs(cursor, keep=keep, after=0)[0]


# -- while unfinished --------------------------------------------------------------------------------------------------


def test_the_second_submission_gets_the_first_job() -> None:
    first, second = submit(payload={"n": 1}), submit(payload={"n": 2})
    assert (first.duplicate, first.result, first.replaced) == (False, None, False)
    assert (second.duplicate, second.replaced, second.id, second.state) == (
        True,
        False,
        first.id,
        "available",
    )
    assert Job.objects.get().payload == {"n": 1}
    assert Job.objects.get().options == {
        "unique_key": {"key": "k", "scope": "unfinished", "policy": "return"}
    }


def test_keys_of_two_kinds_are_two_keys_and_jobs_without_a_key_meet_nobody() -> None:
    made = [submit(), jobs.submit("test.async", unique_key="k"), jobs.submit(KIND), jobs.submit(KIND)]
    assert len({one.id for one in made}) == 4
    assert UniqueKey.objects.count() == 2


@pytest.mark.parametrize(
    "target", [State.RUNNING, State.RETRYABLE, State.SCHEDULED, State.DEAD, State.AVAILABLE]
)
def test_an_unfinished_job_holds_its_key_also_as_a_dead_letter(target: State) -> None:
    first = submit()
    worker = make_worker()
    claimed = take(worker, first.id)
    if target is not State.RUNNING:
        end(worker, claimed, target)
    second = submit()
    assert (second.id, second.state, second.duplicate) == (first.id, target, True)


@pytest.mark.parametrize("target", [State.COMPLETED, State.CANCELLED, State.DISCARDED])
def test_whatever_ends_the_job_frees_its_key(target: State) -> None:
    first = submit()
    worker = make_worker()
    end(worker, take(worker, first.id), target)
    second = submit()
    assert (second.duplicate, second.id != first.id) == (False, True)
    assert submit().id == second.id
    assert UniqueKey.objects.get().job_id == second.id
    consistent()


def test_a_cancelled_waiting_job_and_a_discarded_dead_letter_free_their_keys() -> None:
    for source, target in ((State.AVAILABLE, State.CANCELLED), (State.DEAD, State.DISCARDED)):
        first = submit(str(source))
        if source is State.DEAD:
            worker = make_worker()
            end(worker, take(worker, first.id), State.DEAD)
        with django_cursor() as cursor:
            assert moving.close(cursor, [first.id], target, reason="test")
        assert not submit(str(source)).duplicate
    consistent()


def test_a_submission_that_is_rolled_back_has_not_taken_its_key() -> None:
    with transaction.atomic():
        assert not submit().duplicate
        transaction.set_rollback(True)
    assert not UniqueKey.objects.exists()
    assert not submit().duplicate


# -- for a window, for ever --------------------------------------------------------------------------------------------


def test_a_window_holds_the_key_after_completion_and_gives_the_result() -> None:
    key = Unique("k", scope="window", seconds=60)
    first = submit(key)
    complete(first.id, '{"sum": 3}')
    second = submit(key)
    assert (second.id, second.state, second.result) == (first.id, "completed", {"sum": 3})
    later(61)
    third = submit(key)
    assert (third.duplicate, third.id != first.id) == (False, True)
    assert submit(key).id == third.id


def test_a_window_that_is_over_frees_the_key_although_the_job_still_waits() -> None:
    first = submit(Unique("k", seconds=60))
    later(61)
    second = submit(Unique("k", seconds=60))
    assert second.id != first.id
    assert state_of(first.id) == "available"


def test_forever_holds_whatever_became_of_the_job() -> None:
    first = submit(Unique("k", scope="forever"))
    with django_cursor() as cursor:
        moving.close(cursor, [first.id], State.CANCELLED, reason="test")
    later(10 * 365 * 86400)
    second = submit("k")
    assert (second.id, second.state, second.duplicate) == (first.id, "cancelled", True)


def test_the_scope_is_that_of_the_job_that_has_the_key() -> None:
    first = submit("k")
    assert submit(Unique("k", scope="forever")).id == first.id
    complete(first.id)
    second = submit(Unique("k", scope="forever"))
    complete(second.id)
    assert submit("k").id == second.id


# -- completion records ------------------------------------------------------------------------------------------------


def test_the_record_outlives_the_row_of_the_job() -> None:
    first = submit(Unique("k", seconds=60))
    complete(first.id, '[1, "ü"]')
    assert sweep() == 1
    assert not Job.objects.exists()
    again = submit(Unique("k", policy="return"))
    assert (again.id, again.state, again.result, again.duplicate) == (first.id, "completed", [1, "ü"], True)
    with pytest.raises(DuplicateJob, match=f"job {first.id}, which is completed"):
        submit(Unique("k", policy="refuse"))
    assert submit(Unique("k", policy="replace"), {"n": 2}).replaced is False
    later(61)
    assert not submit("k").duplicate
    assert UniqueKey.objects.get().state == ""
    assert UniqueKey.objects.get().result is None


def test_without_a_record_the_key_goes_with_the_job() -> None:
    over = submit(Unique("over", seconds=60))
    later(61)
    unfinished, ever = submit("unfinished"), submit(Unique("ever", scope="forever"))
    waiting = submit("waiting")
    for one in (over, unfinished, ever):
        complete(one.id)
    assert sweep() == 3
    assert dict(UniqueKey.objects.values_list("key", "state")) == {"ever": "completed", "waiting": ""}
    assert submit("waiting").id == waiting.id


def test_keys_whose_window_is_over_are_deleted_a_few_at_a_time() -> None:
    for name in "abc":
        submit(Unique(name, seconds=60))
    submit(Unique("d", seconds=6000))
    submit("e")
    later(61)
    with django_cursor() as cursor:
        assert [delete_free_keys(cursor, limit=2) for _ in range(3)] == [2, 1, 0]
    assert set(UniqueKey.objects.values_list("key", flat=True)) == {"d", "e"}


# -- policies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [None, "2100-01-01T00:00:00+00:00"])
def test_replace_gives_the_waiting_job_the_new_payload(at: str | None) -> None:
    when = None if at is None else datetime.fromisoformat(at)
    first = submit(payload={"n": 1}, scheduled_at=when)
    second = submit(Unique("k", policy="replace"), {"n": 2})
    assert (second.id, second.replaced, second.duplicate) == (first.id, True, True)
    assert Job.objects.get().payload == {"n": 2}
    consistent()


@pytest.mark.parametrize("target", [State.RUNNING, State.DEAD])
def test_replace_leaves_a_job_alone_that_does_not_wait(target: State) -> None:
    first = submit(payload={"n": 1})
    worker = make_worker()
    claimed = take(worker, first.id)
    if target is not State.RUNNING:
        end(worker, claimed, target)
    second = submit(Unique("k", policy="replace"), {"n": 2})
    assert (second.id, second.replaced, second.state) == (first.id, False, target)
    assert Job.objects.get().payload == {"n": 1}


def test_refuse_names_the_job_and_leaves_nothing_behind() -> None:
    first = submit()
    before = len(told())
    with pytest.raises(
        DuplicateJob, match=f'^unique_key: "k" belongs to job {first.id}, which is available'
    ) as caught:
        submit(Unique("k", policy="refuse"))
    assert (caught.value.job_id, caught.value.field) == (first.id, "unique_key")
    assert Job.objects.count() == 1
    assert len(told()) == before


def test_duplicates_are_told_to_those_who_watch_the_job() -> None:
    first = submit()
    submit()
    submit(Unique("k", policy="replace"), {"n": 2})
    events = told("job.deduplicated")
    assert [set(topics) for _, topics, _ in events] == [{f"job:{first.id}", "queue:test"}] * 2
    assert [payload for _, _, payload in events] == [
        {
            "job": first.id,
            "kind": KIND,
            "queue": "test",
            "workflow": None,
            "state": "available",
            "key": "k",
            "replaced": replaced,
        }
        for replaced in (False, True)
    ]
