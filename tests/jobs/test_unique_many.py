"""Unique keys of many jobs at once, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import jobs
from jobs import JobSpec, Unique
from jobs.errors import DuplicateJob, InvalidSubmission
from jobs.models import Job, UniqueKey
from jobs.store import statements
from tests.jobs.ground import consistent, told
from tests.jobs.keyed import KIND, complete, submit

pytestmark = pytest.mark.django_db


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
