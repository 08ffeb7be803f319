"""Each slot of a schedule is filled once, whoever looks; what cannot be filled is left for others and holds up none."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from django.db import connection

from jobs import registry as registry_module
from jobs import schedules, steering
from jobs.control import Actor
from jobs.database import django_cursor, in_transaction, open_connection
from jobs.models import Job, Schedule, Slot
from jobs.registry import Registry
from jobs.schedules import fill_due
from jobs.store.statements import statement
from jobs.window import Window
from tests.jobs.conftest import Bench
from tests.jobs.ground import told
from tests.jobs.slots import due, fill, made, next_slot, now, slots
from tests.support import eventually

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tables_agree")]


def test_a_due_slot_becomes_one_job_and_is_bound_to_it() -> None:
    schedule = due(late=timedelta(seconds=20), payload={"n": 1}, queue="slow", priority=5)
    at = schedule.next_slot_at
    assert fill() == 1
    slot = Slot.objects.get()
    job = Job.objects.get(pk=slot.job_id)
    assert slot.at == at
    assert (job.kind, job.payload, job.queue, job.priority, job.state) == (
        "test.echo", {"n": 1}, "slow", 5, "available")  # fmt: skip
    after = Schedule.objects.get()
    assert after.last_slot_at == at
    assert after.next_slot_at is not None
    assert after.next_slot_at > now()
    (event,) = told("schedule.filled")
    assert (event[1], event[2]["job"], event[2]["schedule"]) == (["ops"], job.pk, schedule.pk)
    assert fill() == 0


def test_what_is_not_due_or_paused_is_left_alone() -> None:
    schedule = made(late=timedelta(minutes=5), name="paused")
    Schedule.objects.filter(pk=schedule.pk).update(paused_at=now())
    due(late=timedelta(minutes=-1), name="later")
    assert fill() == 0
    assert not Slot.objects.exists()
    assert Schedule.objects.get(pk=schedule.pk).next_slot_at == schedule.next_slot_at


def test_a_slot_that_exists_already_is_not_filled_again() -> None:
    """Whatever brought the schedule back (a restored row, a clock that stepped back): the unique key decides."""
    schedule = made(late=timedelta(minutes=5), misfire="all")
    assert fill() in (5, 6)
    filled = len(slots())
    Schedule.objects.filter(pk=schedule.pk).update(next_slot_at=schedule.next_slot_at)
    assert fill() in (0, 1)  # a minute may have begun in between
    assert len(slots()) == Job.objects.count() <= filled + 1


def test_a_kind_this_worker_does_not_know_leaves_the_slot_for_one_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = made(late=timedelta(minutes=5), misfire="latest")
    ignorant = Registry()
    with monkeypatch.context() as patch:
        patch.setattr(schedules, "registry", ignorant)
        assert fill() == 0
        assert Schedule.objects.get().next_slot_at == schedule.next_slot_at
        window = Window(queues=[], kinds=ignorant.names(), horizon=5)
        with django_cursor() as cursor:
            window.poll(cursor)
        assert window.due() == ([], False)
    knowing = Window(queues=[], kinds=registry_module.registry.names(), horizon=5)
    with django_cursor() as cursor:
        knowing.poll(cursor)
    assert knowing.due() == ([], True)
    assert fill() == 1


def test_a_schedule_that_cannot_be_filled_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    broken = due(late=timedelta(seconds=20), name="broken", kind="test.sized", payload={"size": 1})
    Schedule.objects.filter(pk=broken.pk).update(payload={"size": "big"})
    due(late=timedelta(seconds=20), name="sound")
    with caplog.at_level(logging.WARNING, logger="opsched.schedules"):
        assert fill() == 1
    assert 'schedule "broken" cannot be filled here' in caplog.text
    assert Job.objects.get().kind == "test.echo"
    assert fill() == 0
    assert caplog.text.count("cannot be filled here") == 1, "left alone for a while"


def test_a_slot_that_could_not_be_filled_is_filled_when_its_schedule_is_mended() -> None:
    """At the time the expression names: another look in a minute used to become a slot of its own."""
    broken = made(late=timedelta(minutes=5), kind="test.sized", payload={"size": 1}, misfire="all")
    at = next_slot(broken)
    Schedule.objects.filter(pk=broken.pk).update(payload={"size": "big"})
    assert fill() == 0
    assert next_slot(Schedule.objects.get()) == at
    Schedule.objects.filter(pk=broken.pk).update(payload={"size": 2})
    schedules.try_again()
    assert fill() in (5, 6, 7)
    assert slots()[0] == at
    assert {slot.second for slot in slots()} == {0}


def test_jobs_of_a_slot_belong_to_whoever_made_the_schedule() -> None:
    from django.contrib.auth.models import User

    user = User.objects.create_superuser("ada")
    schedule = steering.create_schedule(
        Actor.of(user), name="hers", kind="test.echo", cron="* * * * *", timezone="UTC"
    )
    Schedule.objects.filter(pk=schedule.pk).update(next_slot_at=now() - timedelta(seconds=1))
    assert fill() == 1
    assert Job.objects.get().created_by == user


# -- more than one connection ------------------------------------------------------------------------------------------


def fill_by_two() -> list[int]:
    """Two workers look at the same moment; what each filled."""
    barrier, filled = threading.Barrier(2), []

    def look() -> None:
        with open_connection("test filler") as own:
            barrier.wait(5)
            filled.append(in_transaction(own, fill_due))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return filled


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_look_at_once_fill_each_slot_once() -> None:
    for number in range(5):
        made(late=timedelta(minutes=20), misfire="all", name=f"s{number}")
    filled = fill_by_two()
    assert sum(filled) == Job.objects.count() == Slot.objects.count()
    assert sum(filled) in range(5 * 19, 5 * 21 + 1)
    assert set(Slot.objects.values_list("job_id", flat=True)) == set(Job.objects.values_list("pk", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_was_second_finds_nothing_while_the_first_still_holds_the_row() -> None:
    due(late=timedelta(minutes=5))
    with open_connection("test first") as first, open_connection("test second") as second:
        with first.transaction(), first.cursor() as cursor:
            assert fill_due(cursor) == 1
            assert in_transaction(second, fill_due) == 0
        assert in_transaction(second, fill_due) == 0
    assert Slot.objects.count() == Job.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_unique_key_a_slot_would_be_filled_twice() -> None:
    """The guard that is tested above is the key: without it, looking again at an old row makes a second job."""
    schedule = made(late=timedelta(minutes=5))
    assert fill() == 1
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_slot DROP CONSTRAINT slot_once")
    try:
        text = statement("insert_slots")
        unguarded = text.replace("ON CONFLICT (schedule_id, at) DO NOTHING", "")
        assert unguarded != text
        with connection.cursor() as cursor:
            cursor.execute(unguarded, {"schedule": schedule.pk, "ats": slots()})
        assert len(slots()) == 2
    finally:
        Slot.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE jobs_slot ADD CONSTRAINT slot_once UNIQUE (schedule_id, at)")


@pytest.mark.django_db(transaction=True)
def test_a_worker_fires_a_schedule_when_its_slot_comes(bench: Bench) -> None:
    """By its timing wheel: nobody asks the database between the look ahead and the slot."""
    schedule = due(late=timedelta(seconds=-1.5), catch_up_seconds=1)
    at = next_slot(schedule)
    bench.round()
    assert not Slot.objects.exists()
    wait = bench.scheduler._window.seconds_until_due()
    assert wait is not None
    assert 0 < wait <= 1.5

    def fired() -> bool:
        bench.scheduler.tick()  # not round(): nothing makes it poll
        return Slot.objects.exists()

    eventually(fired)
    slot = Slot.objects.get()
    assert slot.at == at
    assert timedelta() <= slot.created_at - at < timedelta(seconds=1)
    assert bench.scheduler.stats["slots"] == 1
    bench.until(slot.job_id, "completed")
    assert Slot.objects.count() == 1
