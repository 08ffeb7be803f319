"""From submit to the end, through a real store, scheduler and executor, one round at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

import jobs
from jobs import JobSpec, control
from jobs.control import Actor
from jobs.models import (
    Attempt,
    CancelRequest,
    Claim,
    Closed,
    DeadLetter,
    Job,
    LogLine,
    Progress,
    Ready,
    Scheduled,
    Workflow,
)
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _tables_agree(bench: Bench) -> Any:
    yield
    with connection.cursor() as cursor:
        assert_consistent(cursor)


def test_a_job_runs_and_its_result_is_kept(bench: Bench) -> None:
    job = bench.until(jobs.submit("test.echo", {"a": 1}).id, "completed")
    assert job.result == {"a": 1}
    assert (job.attempt, job.worker_id) == (1, bench.worker_id)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    assert not Ready.objects.exists()
    assert not Claim.objects.exists()


def test_an_async_handler_runs(bench: Bench) -> None:
    assert bench.until(jobs.submit("test.async", {"b": 2}).id, "completed").result == {"b": 2}


def test_a_submission_that_is_rolled_back_never_was(bench: Bench) -> None:
    with transaction.atomic():
        jobs.submit("test.echo")
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    assert bench.round().claimed == 0


def test_a_job_is_claimed_only_after_its_transaction_committed(bench: Bench) -> None:
    with transaction.atomic():
        job = jobs.submit("test.echo")
        assert bench.round().claimed == 0
    bench.until(job.id, "completed")


def test_jobs_start_by_priority_and_then_in_the_order_they_came(bench: Bench) -> None:
    bench.close()
    kinds.BEGUN.clear()
    one = Bench(concurrency=1)
    try:
        placed = jobs.submit_many([JobSpec(kind="test.noted", priority=p) for p in (0, 5, -5, 5, 100)])
        for job in placed:
            one.until(job.id, "completed")
    finally:
        one.close()
    normal, urgent, low, later, first = [job.id for job in placed]
    assert kinds.BEGUN[:] == [first, urgent, later, normal, low]


def test_a_job_does_not_start_before_its_time(bench: Bench) -> None:
    at = datetime.now(UTC) + timedelta(seconds=0.6)
    job = jobs.submit("test.echo", scheduled_at=at)
    assert job.state == "scheduled"
    assert bench.round().claimed == 0
    ended = bench.until(job.id, "completed")
    assert ended.started_at is not None
    assert timedelta() <= ended.started_at - at < timedelta(seconds=1)
    assert not Scheduled.objects.exists()


@pytest.mark.parametrize(("how", "seconds"), [("retry", 7), ("raise", 7), ("boom", 60), ("reject", 60)])
def test_a_failed_attempt_waits_and_is_remembered(bench: Bench, how: str, seconds: float) -> None:
    job = bench.until(jobs.submit("test.answer", {"how": how}).id, "retryable")
    assert job.attempt == 1
    assert abs((job.scheduled_at - datetime.now(UTC)).total_seconds() - seconds) < 3
    attempt = Attempt.objects.get(job=job)
    assert (attempt.number, attempt.worker_id) == (1, bench.worker_id)
    assert attempt.started_at is not None
    if how == "boom":
        assert (attempt.error_class, attempt.message) == ("ValueError", "boom 1")
        assert "raise ValueError" in attempt.traceback


def test_the_last_failure_makes_a_dead_letter(bench: Bench) -> None:
    submitted = jobs.submit("test.answer", {"how": "boom"})
    bench.until(submitted.id, "retryable")
    control.run_now(Actor(), [submitted.id])
    job = bench.until(submitted.id, "dead")
    letter = DeadLetter.objects.get(job=job)
    assert (letter.error_class, letter.attempts, letter.kind) == ("ValueError", 2, "test.answer")
    assert letter.traceback
    assert Attempt.objects.filter(job=job).count() == 2


def test_a_permanent_error_is_not_tried_again(bench: Bench) -> None:
    job = bench.until(jobs.submit("test.answer", {"how": "permanent"}).id, "dead")
    assert job.attempt == 1
    assert DeadLetter.objects.get(job=job).message == "the recipient does not exist"


def test_a_snoozed_attempt_costs_nothing(bench: Bench) -> None:
    job = bench.until(jobs.submit("test.answer", {"how": "snooze"}).id, "scheduled")
    assert job.attempt == 0


@pytest.mark.parametrize(("how", "state"), [("discard", "discarded"), ("cancel", "cancelled")])
def test_a_handler_can_end_its_job(bench: Bench, how: str, state: str) -> None:
    job = bench.until(jobs.submit("test.answer", {"how": how}).id, state)
    assert Closed.objects.get(job=job).reason in ("pointless", "called off")


def test_an_attempt_that_takes_too_long_has_failed(bench: Bench) -> None:
    job = bench.until(jobs.submit("test.late").id, "dead")
    assert DeadLetter.objects.get(job=job).error_class == "JobTimeout"


def test_a_running_job_hears_that_it_is_to_stop(bench: Bench) -> None:
    job = jobs.submit("test.obedient")
    bench.until(job.id, "running")
    assert control.cancel(Actor(), [job.id], reason="wrong file").requested == [job.id]
    eventually(lambda: job.id in bench.executor.running())
    bench.executor.request_cancel(job.id, "wrong file")
    bench.until(job.id, "cancelled")
    assert Closed.objects.get(job_id=job.id).reason == "wrong file"
    assert not CancelRequest.objects.exists()


def test_a_kind_this_worker_does_not_know_is_left_for_another(bench: Bench) -> None:
    job = jobs.submit("test.echo")
    Job.objects.filter(pk=job.id).update(kind="other.kind")
    Ready.objects.filter(pk=job.id).update(kind="other.kind")
    for _ in range(3):
        bench.round()
    assert Job.objects.get(pk=job.id).state == "available"
    assert Job.objects.get(pk=job.id).attempt == 0


def test_children_run_after_their_parents_and_see_their_results(bench: Bench) -> None:
    workflow, placed = jobs.submit_workflow(
        "diamond",
        [
            JobSpec(kind="test.parents", key="end", parents=["left", "right"]),
            JobSpec(kind="test.echo", key="left", payload={"l": 1}, parents=["start"]),
            JobSpec(kind="test.echo", key="right", parents=["start"]),
            JobSpec(kind="test.echo", key="start"),
        ],
    )
    ids = {one.key: one.id for one in placed}
    bench.until(ids["end"], "completed")
    assert kinds.PARENTS[ids["end"]] == {"left": {"l": 1}, "right": None}
    times = {job.task: job for job in Job.objects.filter(workflow_id=workflow)}
    assert times["start"].finished_at <= times["left"].started_at  # type: ignore[operator]
    assert times["right"].finished_at <= times["end"].started_at  # type: ignore[operator]
    found = Workflow.objects.get(pk=workflow)
    assert (found.state, found.completed, found.active, found.blocked) == ("completed", 4, 0, 0)
    assert found.finished_at is not None


def test_a_dead_parent_holds_its_children_until_it_is_replayed(bench: Bench) -> None:
    specs = [
        JobSpec(kind="test.answer", key="a", payload={"how": "permanent"}),
        JobSpec(kind="test.echo", key="b", parents=["a"]),
    ]
    workflow, (a, b) = jobs.submit_workflow("held", specs)
    bench.until(a.id, "dead")
    assert Job.objects.get(pk=b.id).state == "blocked"
    assert Workflow.objects.get(pk=workflow).state == "failed"
    Job.objects.filter(pk=a.id).update(payload={"how": "discard"})
    control.replay(Actor(), [a.id], reason="mended")
    assert Workflow.objects.get(pk=workflow).state == "running"
    bench.until(a.id, "discarded")
    assert Job.objects.get(pk=b.id).state == "skipped"
    found = Workflow.objects.get(pk=workflow)
    assert (found.state, found.closed) == ("failed", 2)


def test_log_lines_and_progress_are_written_by_the_reporter(bench: Bench) -> None:
    from jobs.maintenance import Reporter

    job = bench.until(jobs.submit("test.talk", {"lines": 30}).id, "completed")
    reporter = Reporter(executor=bench.executor, on_death=lambda *_: None)
    reporter._keep = 20
    assert reporter.tick() == 31, "thirty lines, and of two words of progress the latest"
    reporter.stop()
    lines = list(LogLine.objects.filter(job=job).order_by("pk").values_list("line", flat=True))
    assert len(lines) == 20
    assert lines[-1] == "line 29\N{REPLACEMENT CHARACTER}"
    assert (Progress.objects.get(job=job).fraction, Progress.objects.get(job=job).note) == (
        0.75,
        "three quarters",
    )


def test_a_draining_worker_takes_nothing_and_gives_back_what_did_not_begin(bench: Bench) -> None:
    bench.scheduler._prefetch.average = 0.001  # short jobs so far: it claims ahead
    placed = jobs.submit_many([JobSpec(kind="test.gated")] * 6)
    bench.round()
    assert Job.objects.filter(state="running").count() == 6
    eventually(lambda: len(bench.executor.running()) == 4)
    bench.scheduler.draining = True
    bench.scheduler.give_back(bench.executor.take_back(), "the worker stops")
    bench.round()
    back = Job.objects.filter(state="available")
    assert [job.attempt for job in back] == [0, 0]
    bench.scheduler.give_back_all("the worker stops now")
    bench.round()
    assert bench.scheduler.held() == 0
    assert set(Job.objects.filter(pk__in=[one.id for one in placed]).values_list("state", "attempt")) == {
        ("available", 0)
    }
    kinds.GATE.set()
    eventually(lambda: not bench.executor.running())
    bench.round()
    assert not Job.objects.filter(state="completed").exists()


def test_a_job_claimed_ahead_goes_back_when_no_thread_becomes_free(bench: Bench) -> None:
    bench.scheduler._prefetch.average = 0.001
    jobs.submit_many([JobSpec(kind="test.gated")] * 6)
    bench.round()

    def given_back() -> bool:
        bench.scheduler._prefetch.average = 10.0
        bench.round()
        return Job.objects.filter(state="available").count() == 2

    eventually(given_back, timeout=5)


def test_what_goes_back_makes_no_room_for_others_that_would_wait_as_it_did(bench: Bench) -> None:
    """They would go back in their turn, a second later, and so on for as long as the threads are busy."""
    bench.scheduler._prefetch.average = 0.001  # short jobs so far: it claims ahead
    early = jobs.submit_many([JobSpec(kind="test.gated")] * 6)
    bench.round()
    bench.scheduler._prefetch.average = 10.0
    jobs.submit_many([JobSpec(kind="test.gated", priority=-1)] * 6)
    eventually(lambda: bench.round().recorded == 2, timeout=5)
    assert bench.scheduler.held() == 4
    running = Job.objects.filter(state="running").values_list("pk", flat=True)
    assert set(running) < {one.id for one in early}


def test_who_holds_too_much_claims_nothing_for_what_has_ended(bench: Bench) -> None:
    bench.scheduler._prefetch.average = 0.001
    jobs.submit_many([JobSpec(kind="test.gated")] * 6)
    bench.round()
    assert bench.scheduler.held() == 6
    bench.scheduler._prefetch.average = 10.0
    assert [bench.scheduler._room(ended) for ended in (0, 1, 2, 3, 6)] == [0, 0, 0, 1, 4]


def test_a_result_over_the_limit_is_a_failure_that_says_so(bench: Bench) -> None:
    bench.scheduler._recorder._max_result = 10
    job = bench.until(jobs.submit("test.echo", {"long": "x" * 50}).id, "dead")
    assert "bytes" in DeadLetter.objects.get(job=job).message
