"""Unique keys: one job a key, for as long as the job that has it says, and a duplicate gets what it asks for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.db import connection, transaction

import jobs
from jobs import JobSpec, Unique
from jobs.database import django_cursor
from jobs.errors import DuplicateJob, InvalidSubmission
from jobs.models import Job, UniqueKey
from jobs.retention import delete_old_jobs
from jobs.states import State
from jobs.store import moving, statements
from jobs.store.ending import end_attempts
from jobs.store.uniqueness import delete_free_keys
from jobs.store.values import Transition
from tests.jobs.ground import consistent, end, make_worker, state_of, take, told

pytestmark = pytest.mark.django_db

KIND = "test.echo"


def submit(key: Any = "k", payload: dict[str, Any] | None = None, **options: Any) -> jobs.Submitted:
    return jobs.submit(KIND, payload, unique_key=key, **options)


def complete(job_id: int, result: str = "null") -> None:
    worker = make_worker()
    (claimed,) = take(worker, job_id)
    with django_cursor() as cursor:
        end_attempts(cursor, worker, [Transition(job=claimed, target=State.COMPLETED, result=result)])


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


# -- many at once ------------------------------------------------------------------------------------------------------


def spec(n: int, key: Any = None) -> JobSpec:
    return JobSpec(kind=KIND, payload={"n": n}, unique_key=key)


def test_duplicates_within_one_call_are_one_job_in_their_places() -> None:
    there = submit("old", {"n": 0})
    made = jobs.submit_many(
        [
            spec(1, "a"),
            spec(2),
            spec(3, "a"),
            spec(4, "old"),
            spec(5, Unique("a", policy="replace")),
            spec(6, "b"),
        ]
    )
    assert [one.duplicate for one in made] == [False, False, True, True, True, False]
    assert made[0].id == made[2].id == made[4].id
    assert made[3].id == there.id
    assert [Job.objects.get(pk=made[place].id).payload["n"] for place in (0, 1, 3, 5)] == [5, 2, 0, 6]
    assert Job.objects.count() == 4
    assert len(told("job.submitted")) == 4
    consistent()


def test_refuse_within_one_call_names_the_item_and_submits_none() -> None:
    with pytest.raises(DuplicateJob, match=r'^jobs\[2\]\.unique_key: "a" is the key of jobs\[0\] already'):
        jobs.submit_many([spec(1, "a"), spec(2), spec(3, Unique("a", policy="refuse"))])
    first = submit("b")
    with pytest.raises(DuplicateJob, match=rf"^jobs\[1\]\.unique_key: .* job {first.id}"):
        jobs.submit_many([spec(1, "c"), spec(2, Unique("b", policy="refuse"))])
    assert set(UniqueKey.objects.values_list("key", flat=True)) == {"b"}
    assert Job.objects.count() == 1


def test_many_keys_in_one_call() -> None:
    made = jobs.submit_many([spec(n, f"k{n % 500}") for n in range(1000)])
    assert len({one.id for one in made}) == Job.objects.count() == UniqueKey.objects.count() == 500
    assert [one.duplicate for one in made] == [False] * 500 + [True] * 500
    assert len(set(UniqueKey.objects.values_list("job_id", flat=True))) == 500


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "field", "reason"),
    [
        ("", "unique_key", "empty"),
        ("x" * 201, "unique_key", "201"),
        ("a\nb", "unique_key", "control"),
        ("\ud800", "unique_key", "surrogate"),
        (5, "unique_key", "must be a text"),
        (True, "unique_key", "must be a text"),
        ([], "unique_key", "must be a text"),
        ({}, "unique_key.key", "missing"),
        ({"key": None}, "unique_key", "must be a text"),
        ({"key": "a", "scop": "window"}, "unique_key.scop", "did you mean 'scope'"),
        ({"key": "a", "scope": "windows", "seconds": 1}, "unique_key.scope", "did you mean 'window'"),
        ({"key": "a", "scope": 7}, "unique_key.scope", "one of unfinished, window, forever"),
        ({"key": "a", "scope": ["window"]}, "unique_key.scope", "one of"),
        ({"key": "a", "scope": "window"}, "unique_key.seconds", "missing"),
        ({"key": "a", "scope": "forever", "seconds": 1}, "unique_key.seconds", "window"),
        ({"key": "a", "seconds": 0}, "unique_key.seconds", "above 0"),
        ({"key": "a", "seconds": float("nan")}, "unique_key.seconds", "above 0"),
        ({"key": "a", "seconds": float("inf")}, "unique_key.seconds", "at most"),
        ({"key": "a", "seconds": "60"}, "unique_key.seconds", "number"),
        ({"key": "a", "policy": "ignore"}, "unique_key.policy", "return, replace, refuse"),
        ({"key": "a", "policy": ""}, "unique_key.policy", "one of"),
    ],
)
def test_a_bad_key_is_refused_by_name(key: Any, field: str, reason: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        submit(key)
    assert caught.value.field == field
    assert reason in caught.value.reason
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit_many([spec(1), spec(2, key)])
    assert caught.value.field == f"jobs[1].{field}"
    assert not Job.objects.exists()
    assert not UniqueKey.objects.exists()


def test_a_key_with_rules_is_checked_when_it_is_made() -> None:
    with pytest.raises(InvalidSubmission, match=r"^unique_key\.seconds"):
        Unique("k", scope="window")
    assert Unique("k", seconds=5).scope == "window"
    assert Unique("k").scope == "unfinished"


def test_jobs_of_workflows_have_no_unique_keys() -> None:
    specs = [JobSpec(kind=KIND, key="a"), JobSpec(kind=KIND, key="b", unique_key="k")]
    with pytest.raises(InvalidSubmission, match=r"^jobs\[1\]\.unique_key: a job of a workflow cannot"):
        jobs.submit_workflow("w", specs)
    assert not Job.objects.exists()


def test_a_duplicate_with_a_payload_that_does_not_fit_is_refused() -> None:
    jobs.submit("test.sized", {"size": 1}, unique_key="k")
    with pytest.raises(InvalidSubmission, match=r"^payload\.size"):
        jobs.submit("test.sized", {"size": "big"}, unique_key=Unique("k", policy="replace"))
    assert Job.objects.get().payload == {"size": 1}


def test_jobs_without_a_key_cost_no_statement_more(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []
    real = statements.statement
    monkeypatch.setattr(statements, "statement", lambda name: run.append(name) or real(name))  # type: ignore[func-returns-value]
    placed = jobs.submit(KIND)
    complete(placed.id)
    assert not [name for name in run if "key" in name]
    submit()
    assert [name for name in run if "key" in name] == [
        "claim_uniquekeys",
        "lock_uniquekeys",
        "bind_uniquekeys",
    ]
