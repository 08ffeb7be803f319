"""Freeing a unique key before its time: permitted, recorded, told, and nothing else of the job is changed."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

import jobs
from jobs import Unique
from jobs.control import Actor, cancel
from jobs.database import django_cursor
from jobs.models import Job, OperatorAction, UniqueKey
from jobs.releasing import release_key
from jobs.retention import delete_old_jobs
from tests.jobs.ground import consistent, last_action, person, state_of, told

pytestmark = pytest.mark.django_db

FOREVER = Unique("k", scope="forever")


def submit(key: Unique | str = FOREVER) -> int:
    return jobs.submit("test.echo", unique_key=key).id


def test_a_key_that_was_held_for_ever_is_free_and_the_record_says_who_did_it() -> None:
    first = submit()
    actor = Actor.of(person("olga", "cancel_job"))
    cancel(Actor(), [first])
    assert submit() == first
    assert release_key(actor, [first], reason="wrong month").done == [first]
    assert submit() != first
    action = last_action()
    assert (action.actor_name, action.action, action.target_id) == ("olga", "release key of", str(first))
    assert (action.reason, action.before["unique_key"], action.before["scope"]) == (
        "wrong month",
        "k",
        "forever",
    )
    assert told("operator.action")[-1][2]["action"] == "release key of"
    assert state_of(first) == "cancelled"
    consistent()


def test_an_unfinished_job_goes_on_beside_the_next_one() -> None:
    first = submit("k")
    assert release_key(Actor(), [first]).done == [first]
    second = submit("k")
    assert second != first
    assert state_of(first) == state_of(second) == "available"
    assert release_key(Actor(), [first]).refused[0].reason == f"job {first} holds no unique key"
    assert UniqueKey.objects.get().job_id == second


def test_what_is_held_no_longer_is_refused() -> None:
    ended, over, without = submit("ended"), submit(Unique("over", seconds=5)), jobs.submit("test.echo").id
    cancel(Actor(), [ended])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_uniquekey SET until = until - interval '1 minute'")
    result = release_key(Actor(), [ended, over, without, 10**12])
    assert (result.done, [one.id for one in result.refused]) == ([], [ended, over, without, 10**12])
    assert not OperatorAction.objects.filter(action="release key of").exists()


def test_the_record_of_a_deleted_job_is_freed_too() -> None:
    first = submit()
    cancel(Actor(), [first])
    with django_cursor() as cursor:
        assert delete_old_jobs(cursor, keep=0.0, after=0)[0] == 1
    assert submit() == first
    assert release_key(Actor(), [first]).done == [first]
    assert submit() != first


def test_without_the_permission_nothing_happens() -> None:
    first = submit()
    with pytest.raises(PermissionDenied):
        release_key(Actor.of(person("sue", "submit_job")), [first])
    assert UniqueKey.objects.get().job_id == first
    assert Job.objects.count() == 1
