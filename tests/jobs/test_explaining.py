"""Why is it not running? Each reason from its fact, alone and beside others; and the facts from the database."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from django.core.management import call_command

import jobs
from jobs import JobSpec, conf, explanation, queue_steering
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.errors import NotFound
from jobs.explaining import Code, Facts, Parent, explain
from jobs.models import Bucket, Job, Queue, WorkerProcess
from jobs.states import State
from jobs.store.claiming import claim
from jobs.store.limiting import Limits
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.jobs.ground import end, in_state, make_worker, take

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
FREE = Facts(now=NOW, state=State.AVAILABLE, kind="k", queue="q", serving=1, knowing=1)

# -- pure: one fact, one reason ----------------------------------------------------------------------------------------

CASES: dict[str, Facts] = {
    "next": FREE,
    "finished": replace(FREE, state=State.CANCELLED, reason="not needed"),
    "dead": replace(FREE, state=State.DEAD),
    "running": replace(FREE, state=State.RUNNING),
    "parents": replace(FREE, state=State.BLOCKED, parents=[Parent(id=7, state="running")], more_parents=2),
    "time": replace(FREE, state=State.SCHEDULED, due_at=LATER),
    "queue_paused": replace(FREE, queue_paused_at=NOW, queue_paused_by="olga"),
    "kind_paused": replace(FREE, kind_paused_at=NOW, kind_paused_by="olga"),
    "queue_limit": replace(FREE, limits=Limits(max_running=2), running=2, holders=[3, 4]),
    "key_limit": replace(FREE, key="a", limits=Limits(key_max_running=1), key_running=1, key_holders=[3]),
    "queue_rate": replace(FREE, limits=Limits(rate=1, rate_seconds=60), tokens=0.5),
    "key_rate": replace(FREE, key="a", limits=Limits(key_rate=1, key_rate_seconds=60), key_tokens=0.0),
    "no_worker": replace(FREE, serving=0, knowing=0),
    "unknown_kind": replace(FREE, knowing=0),
    "workers_busy": replace(FREE, threads=2, held=2, held_jobs=[3, 4]),
    "jobs_ahead": replace(FREE, ahead=4),
}


def codes(facts: Facts) -> list[str]:
    return [reason.code for reason in explain(facts).reasons]


def test_there_is_a_case_for_every_reason() -> None:
    assert set(CASES) == set(get_args(Code))


@pytest.mark.parametrize("code", CASES)
def test_each_fact_gives_its_reason_and_no_other(code: str) -> None:
    assert codes(CASES[code]) == [code]


def test_all_reasons_that_hold_are_told_together() -> None:
    facts = replace(
        FREE,
        state=State.RETRYABLE,
        due_at=LATER,
        queue_paused_at=NOW,
        kind_paused_at=NOW,
        serving=0,
        limits=Limits(max_running=1, rate=1, key_max_running=1, key_rate=1),
        key="a",
        running=1,
        key_running=1,
        tokens=0.0,
        key_tokens=0.0,
        ahead=9,
    )
    assert codes(facts) == [
        "time", "queue_paused", "kind_paused", "no_worker", "queue_limit", "key_limit", "queue_rate", "key_rate",
        "jobs_ahead",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "facts",
    [
        replace(FREE, limits=Limits(max_running=3, key_max_running=2, rate=1, key_rate=1), key="a", running=2,
                key_running=1, tokens=1.0, key_tokens=1.0),
        replace(FREE, limits=Limits(key_max_running=1, key_rate=1), key_running=5, key_tokens=0.0),
        replace(FREE, state=State.SCHEDULED, due_at=NOW),
        replace(FREE, threads=2, held=1, held_jobs=[3]),
        replace(FREE, state=State.SCHEDULED, threads=1, held=1),
    ],
    ids=["room is left", "a job without a key", "its time has come", "a thread is free", "it does not want one yet"],
)  # fmt: skip
def test_what_does_not_hold_is_not_told(facts: Facts) -> None:
    assert codes(facts) == ["next"]


def test_the_sentences_name_who_and_whom() -> None:
    assert "by olga" in explain(CASES["queue_paused"]).reasons[0].text
    (limit,) = explain(CASES["queue_limit"]).reasons
    assert "#3, #4" in limit.text
    assert limit.jobs == [3, 4]
    (parents,) = explain(CASES["parents"]).reasons
    assert "#7 (running) and 2 more" in parents.text
    assert "not needed" in explain(CASES["finished"]).reasons[0].text
    (busy,) = explain(CASES["workers_busy"]).reasons
    assert "2 at once, #3, #4" in busy.text
    assert busy.jobs == [3, 4]
    assert "10,000 or more" in explain(replace(FREE, ahead=10_000, ahead_capped=True)).reasons[0].text


def test_the_estimate_is_the_end_of_what_ends_by_itself() -> None:
    assert explain(FREE).starts_at == NOW
    assert explain(CASES["time"]).starts_at == LATER
    assert explain(CASES["queue_rate"]).starts_at == NOW + timedelta(seconds=30)
    both = replace(
        CASES["queue_rate"], key="a", key_tokens=0.0, limits=Limits(rate=1, rate_seconds=60, key_rate=1)
    )
    assert explain(both).starts_at == NOW + timedelta(seconds=30)


def test_the_line_goes_at_the_queues_pace() -> None:
    assert explain(replace(FREE, ahead=9, pace=2.0)).starts_at == NOW + timedelta(seconds=5)
    assert explain(replace(CASES["queue_limit"], pace=0.5)).starts_at == NOW + timedelta(seconds=2)


def test_the_line_goes_no_faster_than_the_queues_rate() -> None:
    hourly = replace(CASES["queue_rate"], limits=Limits(rate=1, rate_seconds=3600), ahead=5)
    found = explain(hourly)
    assert found.starts_at == NOW + timedelta(hours=5.5)
    assert found.starts_note == "At the queue's rate."
    assert explain(replace(hourly, pace=100.0)).starts_at == NOW + timedelta(hours=5.5)
    assert explain(replace(hourly, tokens=3.0, ahead=4)).starts_at == NOW + timedelta(hours=2)
    full = replace(hourly, limits=replace(hourly.limits, max_running=1), running=1)
    assert explain(full).starts_at is None


@pytest.mark.parametrize(
    "facts",
    [
        CASES["jobs_ahead"],
        replace(FREE, ahead=10_000, ahead_capped=True, pace=5.0),
        *(CASES[code] for code in ("parents", "queue_paused", "kind_paused", "no_worker", "unknown_kind")),
        replace(CASES["queue_paused"], ahead=4, pace=2.0),
    ],
)
def test_where_the_start_is_not_known_it_says_so(facts: Facts) -> None:
    found = explain(facts)
    assert found.starts_at is None
    assert found.starts_note.startswith("Not known")


# -- the facts from the database ---------------------------------------------------------------------------------------


def serve(*queues: str, of: tuple[str, ...] = ("test.echo",), **fields: Any) -> None:
    WorkerProcess.objects.create(
        name="w", hostname="h", pid=1, queues=list(queues), kinds=list(of), **{"concurrency": 1, **fields}
    )


def why(job: int) -> list[str]:
    return [reason.code for reason in explanation.explained(job).reasons]


def waiting(**options: Any) -> int:
    return jobs.submit("test.echo", **options).id


def run(job: int) -> None:
    """By a worker that is gone by now: whether one serves the queue is another question."""
    worker = make_worker()
    limited = {job: "test"}
    with django_cursor() as cursor:
        assert claim(cursor, worker_id=worker, candidates=[job], limit=1, limited=limited).jobs
    WorkerProcess.objects.filter(pk=worker).update(state="stopped")


@pytest.mark.django_db
class TestFacts:
    def test_a_job_that_is_next(self) -> None:
        serve()
        assert why(waiting()) == ["next"]

    def test_states(self) -> None:
        serve()
        assert why(in_state(State.RUNNING)) == ["running"]
        assert why(in_state(State.DEAD)) == ["dead"]
        running = in_state(State.RUNNING)
        assert explanation.explained(running).reasons[0].text == "It runs at this moment."
        WorkerProcess.objects.update(heartbeat_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
        assert (
            "no sign of life since 2026-01-31 12:00:00 UTC" in explanation.explained(running).reasons[0].text
        )
        serve()
        skipped = in_state(State.SKIPPED)
        assert "a parent ended" in explanation.explained(skipped).reasons[0].text
        with pytest.raises(NotFound):
            why(10**9)

    def test_parents_that_have_not_finished(self) -> None:
        serve()
        specs = [JobSpec(kind="test.echo", key=str(n)) for n in range(13)]
        _, placed = jobs.submit_workflow(
            "w", [*specs, JobSpec(kind="test.echo", key="c", parents=[s.key for s in specs])]
        )
        worker = make_worker()
        end(worker, take(worker, placed[0].id), State.COMPLETED)
        (reason,) = explanation.explained(placed[-1].id).reasons
        assert reason.jobs == [one.id for one in placed[1:11]]
        assert "and 2 more" in reason.text

    def test_a_time_that_lies_ahead(self) -> None:
        serve()
        at = datetime.now(UTC) + timedelta(hours=1)
        (reason,) = explanation.explained(waiting(scheduled_at=at)).reasons
        assert (reason.code, reason.until) == ("time", at)

    def test_pauses_and_by_whom(self) -> None:
        serve()
        job = waiting()
        queue_steering.pause_queue(Actor(name="olga"), "test")
        queue_steering.pause_kind(Actor(name="otto"), "test.echo")
        queue, kind = explanation.explained(job).reasons
        assert "olga" in queue.text
        assert "otto" in kind.text
        queue_steering.resume_queue(Actor(), "test")
        queue_steering.resume_kind(Actor(), "test.echo")
        assert why(job) == ["next"]

    def test_workers(self) -> None:
        job = waiting()
        assert why(job) == ["no_worker"]
        serve("other")
        serve(state="lost")
        serve(state="draining")
        assert why(job) == ["no_worker"]
        # All were killed: nobody is left who would declare them lost.
        serve(heartbeat_at=datetime.now(UTC) - timedelta(seconds=conf.get().LEASE_SECONDS + 1))
        assert why(job) == ["no_worker"]
        serve("test", of=("something.else",))
        assert why(job) == ["unknown_kind"]
        serve("test")
        assert why(job) == ["next"]

    def test_workers_that_have_no_thread_left(self) -> None:
        worker = make_worker()
        WorkerProcess.objects.filter(pk=worker).update(kinds=["test.echo"], concurrency=2)
        first, second, third = (waiting() for _ in range(3))
        (busy,) = take(worker, first)
        assert why(second) == ["next"]
        (other,) = take(worker, second)
        (reason,) = explanation.explained(third).reasons
        assert (reason.code, reason.jobs) == ("workers_busy", [first, second])
        serve(of=("something.else",), concurrency=1)
        assert why(third) == ["workers_busy"]
        end(worker, [busy], State.COMPLETED)
        assert why(third) == ["next"]
        end(worker, [other], State.COMPLETED)

    def test_limits_and_who_holds_them(self) -> None:
        serve()
        first, second, third = (waiting(concurrency_key="a") for _ in range(3))
        queue_steering.change_queue(Actor(), "test", max_running=1, key_max_running=1)
        run(first)
        found = explanation.explained(second).reasons
        assert [(reason.code, list(reason.jobs)) for reason in found] == [
            ("queue_limit", [first]),
            ("key_limit", [first]),
        ]
        assert why(third) == ["queue_limit", "key_limit", "jobs_ahead"]

    def test_rates_and_until_when(self) -> None:
        serve()
        first, second = (waiting(concurrency_key="a") for _ in range(2))
        queue_steering.change_queue(
            Actor(), "test", rate=1, rate_seconds=3600, key_rate=1, key_rate_seconds=1800
        )
        run(first)
        found = explanation.explained(second)
        assert [reason.code for reason in found.reasons] == ["queue_rate", "key_rate"]
        assert found.starts_at is not None
        assert timedelta(minutes=58) < found.starts_at - datetime.now(UTC) < timedelta(minutes=61)
        Bucket.objects.update(refilled_at=datetime.now(UTC) - timedelta(hours=2))
        assert why(second) == ["next"]

    def test_jobs_before_it_in_every_lane(self) -> None:
        serve()
        urgent = [waiting(priority=9, concurrency_key=key) for key in ("a", "b", None)]
        jobs.submit("test.async", priority=9)
        job, after = waiting(), waiting()
        elsewhere = waiting(queue="other", priority=9)
        assert why(urgent[0]) == ["next"]
        for lanes in ({}, {"key_max_running": 9}):
            queue_steering.change_queue(Actor(), "test", **lanes)
            (reason,) = explanation.explained(job).reasons
            assert reason.text.startswith("4 jobs are before it")
        assert explanation.explained(after).reasons[0].text.startswith("5 jobs")
        assert why(elsewhere) == ["next"]

    def test_jobs_before_it_in_very_many_lanes(self) -> None:
        serve()
        queue_steering.change_queue(Actor(), Queue.objects.create(pk="test").pk, key_max_running=1)
        specs = [JobSpec(kind="test.echo", priority=9, concurrency_key=f"k{n}") for n in range(1100)]
        jobs.submit_many(specs)
        (reason,) = explanation.explained(waiting()).reasons
        assert reason.text.startswith("1,100 jobs are before it")

    def test_the_pace_of_the_queue(self) -> None:
        serve()
        worker = make_worker()
        done = [waiting() for _ in range(6)]
        end(worker, take(worker, *done), State.COMPLETED)
        WorkerProcess.objects.filter(pk=worker).update(state="stopped")
        Job.objects.filter(pk__in=done).update(finished_at=datetime.now(UTC) - timedelta(seconds=3))
        waiting(), waiting()
        found = explanation.explained(waiting())
        assert found.starts_at is not None
        assert timedelta(seconds=0.5) < found.starts_at - datetime.now(UTC) < timedelta(seconds=4)
        assert "pace" in found.starts_note

    def test_the_command_line_says_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        job = waiting()
        call_command("jobs", "explain", str(job))
        assert "No live worker serves its queue, test." in capsys.readouterr().out
        call_command("jobs", "explain", str(job), "--json")
        assert '"code": "no_worker"' in capsys.readouterr().out

    def test_the_command_line_shows_how_long_others_may_go_before_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = waiting(priority=40)
        call_command("jobs", "show", str(job), "--json")
        told = json.loads(capsys.readouterr().out)
        waits = datetime.fromisoformat(told["overtaken_until"]) - datetime.fromisoformat(told["ready_at"])
        assert waits == timedelta(hours=1)


# -- how long others may go before it ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_overtaken_until_is_the_bound_of_ageing() -> None:
    jobs.submit("test.echo")
    for ageing, priority, steps in ((60.0, 0, 100), (60.0, -100, 200), (0.5, 100, 0)):
        Queue.objects.update(ageing_seconds=ageing)
        job = Job.objects.get(pk=waiting(priority=priority))
        assert job.ready_at is not None
        assert explanation.overtaken_until(job) == job.ready_at + timedelta(seconds=steps * ageing)
    Queue.objects.update(ageing_seconds=None)
    assert explanation.overtaken_until(Job.objects.get(pk=waiting(priority=99))) is None
    urgent = Job.objects.get(pk=waiting(priority=100))
    assert explanation.overtaken_until(urgent) == urgent.ready_at
    assert explanation.overtaken_until(Job.objects.get(pk=in_state(State.SCHEDULED))) is None
    Queue.objects.update(ageing_seconds=86400.0 * 365)
    far = Job.objects.get(pk=waiting(priority=-100))
    assert explanation.overtaken_until(far) is not None
