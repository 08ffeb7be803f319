"""Handlers in child processes: whatever one does to its process, that one job ends, and says how."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from django.db import connection

import jobs
from jobs import JobSpec, submit_workflow
from jobs.errors import ConfigurationError
from jobs.models import Attempt, Job, LogLine, Progress
from jobs.registry import job
from jobs.running import processes
from jobs.running.attempts import Attempts
from jobs.running.processes import Processes
from tests.jobs import isolated_kinds, kinds  # noqa: F401 - declares the kinds
from tests.jobs.conftest import Bench
from tests.support import eventually


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """The first child waits until the fork server has loaded everything, which takes its time on a busy machine."""
    Processes(Attempts()).start()
    first = processes._CONTEXT.Process(target=int)
    first.start()
    first.join(60)
    assert first.exitcode == 0


@pytest.fixture(autouse=True)
def _soon(settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "KILL_GRACE_SECONDS": 0.2}


@pytest.fixture
def bench(transactional_db: None) -> Iterator[Bench]:
    made = Bench(concurrency=2)
    yield made
    made.close()


def gone(*pids: int) -> None:
    eventually(lambda: not any(alive(pid) for pid in pids))


def run(bench: Bench, kind: str, payload: dict[str, Any] | None = None) -> Any:
    submitted = jobs.submit(f"isolated.{kind}", payload or {})
    return bench.until(submitted.id, "completed", "retryable", "dead", "scheduled", "cancelled")


def error_of(job: Job) -> tuple[str, str]:
    attempt = Attempt.objects.get(job=job)
    return attempt.error_class, attempt.message


def children() -> list[int]:
    """The processes in which handlers of this test session run."""
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            if os.getpgid(one.pid) == one.pid and "forkserver" in " ".join(one.cmdline()):
                found.append(one.pid)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


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


HARM: list[tuple[str, dict[str, Any], str, str]] = [
    ("leave", {"code": 3}, "ProcessDied", "ended with exit code 3"),
    ("leave", {"code": 0}, "ProcessDied", "ended with exit code 0"),
    ("crash", {}, "ProcessDied", "SIGSEGV"),
    ("dies_talking", {}, "ProcessDied", "exit code 7"),
    ("loop", {}, "JobTimeout", "longer than its timeout and was killed"),
    ("late", {}, "JobTimeout", "longer than its timeout"),
    ("hungry", {}, "MemoryLimit", "more than its 100 MB"),
    ("hungry", {"slowly": True}, "MemoryLimit", "more than its 100 MB"),
    ("answer", {"how": "raise"}, "ValueError", "boom in a child"),
    ("answer", {"how": "exit"}, "SystemExit", "3"),
    ("answer", {"how": "unkeepable"}, "InvalidResult", "is not JSON"),
    ("answer", {"how": "large"}, "InvalidResult", "bytes"),
    ("answer", {"how": "nonsense"}, "InvalidOutcome", "soon"),
    ("answer", {"how": "verbose"}, "InvalidOutcome", "Discard with 5,000"),
    *(
        ("babbles", {"hex": data}, "ProcessDied", "wrote into the pipe")
        for data in (
            "50524f4d4953450a",
            "00000000",
            "000000035b5d20",
            "ffffffff7fffffffffffffff",
            "00000002ff7b",
        )
    ),
]


def test_whatever_a_handler_does_to_its_process_ends_its_job_alone(bench: Bench) -> None:
    """Good jobs run beside each of them, in processes that later serve others, and none of them is harmed."""
    good = [jobs.submit("isolated.later", {"seconds": 0.2}).id for _ in range(3)]
    bad = [jobs.submit(f"isolated.{kind}", payload).id for kind, payload, _, _ in HARM]
    good += [jobs.submit("isolated.modest").id for _ in range(3)]
    for one in (*bad, *good):
        bench.until(one, "completed", "retryable", "dead")
    for number, (kind, _, error_class, message) in zip(bad, HARM, strict=True):
        ended = Job.objects.get(pk=number)
        assert ended.state == ("dead" if error_class.startswith("Invalid") else "retryable"), kind
        found = error_of(ended)
        assert found[0] == error_class
        assert message in found[1]
    assert set(Job.objects.filter(pk__in=good).values_list("state", "attempt")) == {("completed", 1)}


def test_an_open_transaction_is_not_the_next_jobs_and_outcomes_come_back_as_they_are(bench: Bench) -> None:
    assert run(bench, "untidy").result is False
    assert run(bench, "untidy").result is False
    assert run(bench, "answer", {"how": "snooze"}).state == "scheduled"


@pytest.mark.parametrize(("copy", "code"), [("returns", 0), ("exits", 5), ("fails", 1)])
def test_a_copy_that_a_handler_forked_has_no_say(bench: Bench, copy: str, code: int) -> None:
    """It comes back from the handler like the original, and would answer for it, and for the job after it."""
    assert run(bench, "forks", {"copy": copy}).result == code
    assert [run(bench, "who", {"n": n}).result["payload"] for n in range(2)] == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize("how", ["folder", "environment", "alarm", "mask", "handler", "program"])
def test_what_a_handler_leaves_in_its_process_is_not_the_next_ones(bench: Bench, how: str) -> None:
    child, program = run(bench, "unsettles", {"how": how}).result
    assert run(bench, "who").result["pid"] != child
    gone(child, *filter(None, [program]))


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


SMALL = [JobSpec(kind="threaded.stamps") for _ in range(100)]


def test_good_jobs_end_beside_one_that_holds_the_interpreter(bench: Bench) -> None:
    holds = jobs.submit("isolated.endless").id
    bench.round()
    eventually(bench.executor.reports)
    last = jobs.submit_many(SMALL)[-1].id
    bench.until(last, "completed")
    assert Job.objects.filter(kind="threaded.stamps", state="completed").count() >= len(SMALL) - 1
    assert Job.objects.get(pk=holds).state == "running"


def test_in_a_thread_none_ends_beside_one_that_holds_the_interpreter(bench: Bench) -> None:
    """The control: one whose thread waited for the interpreter may have looked at the clock just before."""
    isolated_kinds.STAMPS.clear()
    jobs.submit_many(SMALL)
    one = jobs.submit("threaded.holds_the_interpreter", priority=100).id
    began, ended = bench.until(one, "completed").result  # type: ignore[misc]
    bench.executor.stop()
    assert sum(began < stamp < ended for stamp in isolated_kinds.STAMPS) <= 1
    assert any(stamp > ended for stamp in isolated_kinds.STAMPS), "there was something to run"


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


def test_without_the_kill_a_stubborn_child_holds_its_thread(bench: Bench, monkeypatch: Any) -> None:
    """The negative control: time-outs of children rest on the kill, not on their good will."""
    monkeypatch.setattr(
        processes._Watch, "_killed", lambda self, child: jobs.outcomes.Failed(error_class="x", message="")
    )
    run(bench, "loop")
    left = [pid for pid in children() if alive(pid)]
    assert left
    assert isinstance(bench.executor._processes, Processes)
    bench.executor.stop()
    gone(*left)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
