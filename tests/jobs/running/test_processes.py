"""Handlers in child processes: they find what they would in a thread; a child is used again, and ends when it must."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psutil
import pytest
from django.db import connection

import jobs
from jobs import JobSpec, submit_workflow
from jobs.errors import ConfigurationError
from jobs.models import LogLine, Progress
from jobs.registry import job
from jobs.running import processes
from jobs.running.processes import Processes
from tests.jobs.conftest import Bench
from tests.jobs.running.isolated import error_of, gone, run
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("warm", "soon")


def test_a_handler_in_a_process_of_its_own_has_the_same_context(bench: Bench) -> None:
    done = run(bench, "who", {"n": 1})
    assert done.state == "completed"
    assert done.result["pid"] != os.getpid()
    assert done.result["key"] == f"opsched-job-{done.id}"
    assert done.result["payload"] == {"n": 1}
    assert done.result["oom"] >= 500, "were memory to run out, the kernel would take it before the worker"
    told = bench.executor.reports()
    assert [(one[0], one[-1]) for one in told] == [(done.id, "here"), (done.id, "half")]


def test_children_are_used_again_until_they_are_worn_out(bench: Bench, settings: Any) -> None:
    first = run(bench, "who").result["pid"]
    assert run(bench, "leak").result == first
    second = run(bench, "who").result["pid"]
    assert second != first, "a child that has grown is given no other job"
    os.kill(second, signal.SIGKILL)
    # Reaped: as a zombie it may have threads left that hold its end of the pipe.
    eventually(lambda: not psutil.pid_exists(second))
    third = run(bench, "who").result["pid"]
    assert third != second, "killed while it had nothing to do"
    settings.OPSCHED = {**settings.OPSCHED, "PROCESS_MAX_JOBS": 2}
    run(bench, "who")
    assert run(bench, "who").result["pid"] != third


def test_a_child_works_on_its_workers_database(bench: Bench) -> None:
    _, (_, below) = submit_workflow(
        "w",
        [
            JobSpec(kind="test.echo", payload={"a": 1}, key="a"),
            JobSpec(kind="isolated.parents", key="b", parents=["a"]),
        ],
    )
    done = bench.until(below.id, "completed", "retryable", "dead")
    assert done.result == {"parents": {"a": {"a": 1}}, "database": connection.settings_dict["NAME"]}


def test_a_worker_without_descriptors_fails_the_attempt_and_keeps_its_threads(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(**_: Any) -> Any:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(processes._CONTEXT, "Pipe", none_left)
        ended = [run(bench, "who") for _ in range(3)]
    assert {error_of(one) for one in ended} == {
        ("ProcessDied", "no child process could be started: [Errno 24] Too many open files")
    }
    assert run(bench, "who").state == "completed"


def test_the_wait_for_a_process_is_not_the_handlers_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first jobs of a worker wait until the fork server has loaded Django and all handlers."""
    take = Processes._take

    def slowly(self: Processes) -> Any:
        time.sleep(1.3)
        return take(self)

    monkeypatch.setattr(Processes, "_take", slowly)
    done = run(bench, "brisk")
    assert done.state == "completed"
    assert 0 < done.result <= 1


@pytest.mark.parametrize("kind", ["obedient", "later"])
def test_a_cancel_reaches_a_child_that_listens(bench: Bench, kind: str, settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "KILL_GRACE_SECONDS": 20}
    submitted = jobs.submit(f"isolated.{kind}", {"seconds": 30})
    bench.round()
    eventually(bench.executor.running)
    bench.executor.request_cancel(submitted.id, "wrong file")
    ended: Any = bench.until(submitted.id, "cancelled")
    assert ended.closed_row.reason == "wrong file"
    assert run(bench, "who").state == "completed"


def test_a_child_that_does_not_listen_is_killed_with_what_it_started(bench: Bench) -> None:
    submitted = jobs.submit("isolated.endless")
    bench.round()
    said = eventually(bench.executor.reports)[0][-1]
    bench.executor.request_cancel(submitted.id, "enough")
    ended = bench.until(submitted.id, "cancelled")
    assert "enough (killed: it did not stop within 0.2 s)" in ended.closed_row.reason
    gone(*map(int, said.split()))


def test_the_end_of_the_worker_is_the_end_of_its_children(bench: Bench) -> None:
    jobs.submit("isolated.endless")
    bench.round()
    pids = [int(word) for word in eventually(bench.executor.reports)[0][-1].split()]
    bench.executor.stop()
    gone(*pids)


def test_a_child_records_its_effects_like_any_other(bench: Bench) -> None:
    first, second = jobs.submit("isolated.once"), jobs.submit("isolated.once")
    answers = [bench.until(one.id, "completed").result for one in (first, second)]
    assert answers[0] == answers[1], "one had the effect, both have its result"


def test_reports_of_a_child_are_written_like_any_others(bench: Bench) -> None:
    from jobs.maintenance import Reporter

    done = run(bench, "who")
    reporter = Reporter(executor=bench.executor, on_death=lambda *_: None)
    reporter.tick()
    reporter.stop()
    assert LogLine.objects.get(job=done).line == "here"
    assert Progress.objects.get(job=done).fraction == 0.5


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"isolation": "container"}, "neither"),
        ({"memory_mb": 10}, "needs isolation"),
        ({"isolation": "process", "memory_mb": 0}, "not within"),
        ({"isolation": "process", "atomic": True}, "needs isolation"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        job("isolated.bad", **options)
