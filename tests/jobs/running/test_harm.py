"""Whatever a handler does to its process, that one job ends, and says how; no other, before or after it, is harmed."""

from __future__ import annotations

import os
from typing import Any

import psutil
import pytest

import jobs
from jobs import JobSpec
from jobs.models import Job
from jobs.running import processes
from jobs.running.processes import Processes
from tests.jobs import isolated_kinds
from tests.jobs.conftest import Bench
from tests.jobs.handlers.commanding import alive
from tests.jobs.running.isolated import error_of, gone, run
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("warm", "soon")


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
