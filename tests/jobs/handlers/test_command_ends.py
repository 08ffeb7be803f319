"""`command.run` with real programs: nothing of them stays behind, however they end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from jobs.errors import JobCancelled, PermanentError
from jobs.handlers import commands, processes
from jobs.handlers.commands import CommandTimedOut
from jobs.handlers.processes import Ended, Program, run
from tests.jobs.handlers.commanding import PYTHON, Allow, alive, call, noted
from tests.support import child_environment, eventually

# Program, child and grandchild; the last two ignore TERM, so that only KILL on the whole group ends them.
FAMILY = """
echo $$ >> pids
trap '' TERM
sh -c 'echo $$ >> pids; sh -c "echo \\$\\$ >> pids; sleep 60; true" & sleep 60; true' &
wait
sleep 60
"""


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_GRACE", 0.3)


@pytest.mark.usefixtures("short_grace")
def test_a_time_out_ends_the_whole_group_with_grandchildren_that_ignore_term(
    ctx: Any, allow: Allow, tmp_path: Path
) -> None:
    allow(FAMILY, timeout=0.7, cwd=str(tmp_path))
    began = time.monotonic()
    with pytest.raises(CommandTimedOut, match="too long") as caught:
        call(ctx)
    assert not isinstance(caught.value, PermanentError)
    assert time.monotonic() - began < 10
    pids = noted(tmp_path / "pids", 3)
    eventually(lambda: not any(map(alive, pids)))


@pytest.mark.usefixtures("short_grace")
def test_control_a_signal_to_the_program_alone_leaves_its_family_running(
    ctx: Any, allow: Allow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that the test above sees survivors: with the kill of the group taken away, there are some."""

    def signal_one(pid: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    monkeypatch.setattr(processes, "_signal_group", signal_one)
    monkeypatch.setattr(processes, "_descendants", lambda _pid: [])
    monkeypatch.setattr(processes, "_AFTERMATH", 0.2)
    allow(FAMILY, timeout=0.7, cwd=str(tmp_path))
    with pytest.raises(CommandTimedOut):
        call(ctx)
    survivors = [pid for pid in noted(tmp_path / "pids", 3) if alive(pid)]
    for pid in survivors:
        psutil.Process(pid).kill()
    assert len(survivors) == 2


@pytest.mark.usefixtures("short_grace")
def test_a_child_in_a_session_of_its_own_is_ended_too(ctx: Any, allow: Allow, tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['/bin/sleep', '60'], start_new_session=True)\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "child.wait()"
    )
    allow(script, PYTHON, timeout=1.0, cwd=str(tmp_path))
    with pytest.raises(CommandTimedOut):
        call(ctx)
    pids = noted(tmp_path / "pids", 2)
    eventually(lambda: not any(map(alive, pids)))


def test_a_program_that_ends_on_term_is_not_waited_for_longer(ctx: Any, allow: Allow) -> None:
    allow("trap 'echo cleaning up; exit 0' TERM; echo started; while :; do sleep 0.05; done", timeout=0.5)
    began = time.monotonic()
    with pytest.raises(CommandTimedOut, match="cleaning up"):
        call(ctx)
    assert time.monotonic() - began < 4
    assert "cleaning up" in ctx.text


def test_what_the_program_left_in_its_group_is_ended_with_it(ctx: Any, allow: Allow, tmp_path: Path) -> None:
    """The child holds the pipes open; the job neither waits for it nor leaves it."""
    allow("sleep 60 & echo $! > pids; echo done", cwd=str(tmp_path))
    began = time.monotonic()
    assert call(ctx)["output"] == ["done"]
    assert time.monotonic() - began < 5
    pids = noted(tmp_path / "pids", 1)
    eventually(lambda: not alive(pids[0]))


def test_no_zombie_stays(ctx: Any, allow: Allow) -> None:
    before = {child.pid for child in psutil.Process().children()}
    allow("exit 0")
    for _ in range(5):
        call(ctx)
    left = [child for child in psutil.Process().children() if child.pid not in before]
    assert left == []


def test_no_file_descriptor_stays(ctx: Any, allow: Allow) -> None:
    allow("echo x")
    call(ctx, stdin="x")
    before = psutil.Process().num_fds()
    for _ in range(5):
        call(ctx, stdin="x")
    assert psutil.Process().num_fds() <= before


def test_cancellation_ends_the_program(ctx: Any, allow: Allow, tmp_path: Path) -> None:
    allow("echo $$ >> pids; sleep 60; true", cwd=str(tmp_path))

    def cancel_when_started() -> None:
        noted(tmp_path / "pids", 1)
        ctx.request_cancel("an operator asked")

    canceller = threading.Thread(target=cancel_when_started)
    canceller.start()
    began = time.monotonic()
    with pytest.raises(JobCancelled, match="operator"):
        call(ctx)
    canceller.join()
    assert time.monotonic() - began < 10
    pids = noted(tmp_path / "pids", 1)
    eventually(lambda: not alive(pids[0]))


@pytest.mark.parametrize(("own", "most"), [(0.3, 30), (30, 0.3)])
def test_a_job_may_shorten_the_time_and_not_lengthen_it(
    ctx: Any, allow: Allow, own: float, most: float
) -> None:
    allow("exec sleep 20", timeout=most)
    began = time.monotonic()
    with pytest.raises(CommandTimedOut):
        call(ctx, timeout=own)
    assert time.monotonic() - began < 5


def test_the_deadline_of_the_attempt_ends_it_too(ctx: Any, allow: Allow) -> None:
    allow("exec sleep 20")
    ctx.deadline = time.monotonic() + 0.3
    with pytest.raises(CommandTimedOut):
        call(ctx)


def test_an_error_while_logging_leaves_no_process(
    ctx: Any, allow: Allow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_kw: Any) -> None:
        raise RuntimeError("the log is gone")

    monkeypatch.setattr(type(ctx), "log", broken)
    allow("echo $$ >> pids; echo x; sleep 60; true", cwd=str(tmp_path))
    with pytest.raises(RuntimeError, match="log is gone"):
        call(ctx)
    pids = noted(tmp_path / "pids", 1)
    eventually(lambda: not alive(pids[0]))


STOPPING_WORKER = """
import os, sys, threading, time
from pathlib import Path
from jobs.handlers.processes import Program, run

def job():
    run(Program(argv=["/bin/sh", "-c", "echo $$ > pids; sleep 60; true"], env={}, cwd=sys.argv[1]),
        deadline=time.monotonic() + 60, grace=1, stop=lambda: False, stdout=print, stderr=print)

threading.Thread(target=job, daemon=True).start()
pids = Path(sys.argv[1], "pids")
while not (pids.exists() and pids.read_text().strip()):
    time.sleep(0.01)
"""


def test_a_process_that_ends_with_a_job_running_ends_its_program(tmp_path: Path) -> None:
    """What a worker does at its second TERM: it ends while threads are inside handlers."""
    root = Path(processes.__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", STOPPING_WORKER, str(tmp_path)],
        cwd=root,
        env=child_environment(DJANGO_SETTINGS_MODULE="opsched.settings"),
        check=True,
        timeout=30,
    )
    (pid,) = noted(tmp_path / "pids", 1)
    eventually(lambda: not alive(pid))


@pytest.fixture
def at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process goes on afterwards."""
    monkeypatch.setattr(processes, "_over", threading.Event())


def sleep(folder: Path) -> Ended:
    return run(
        Program(argv=["/bin/sh", "-c", "echo $$ > pids; sleep 60; true"], env={}, cwd=str(folder)),
        deadline=time.monotonic() + 60,
        grace=1,
        stop=lambda: False,
        stdout=print,
        stderr=print,
    )


def test_a_program_that_is_just_being_started_ends_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_the_end: None
) -> None:
    """It runs already, and the thread that started it does not know its number yet."""
    begun, popen = threading.Event(), subprocess.Popen

    def slow(*args: Any, **options: Any) -> Any:
        child = popen(*args, **options)
        noted(tmp_path / "pids", 1)
        begun.set()
        time.sleep(0.3)
        return child

    slowly = SimpleNamespace(Popen=slow, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(processes, "subprocess", slowly)
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(sleep(tmp_path)))
    thread.start()
    assert begun.wait(10)
    processes.end_all()
    thread.join(10)
    assert ended == [Ended(code=-9)]


def test_no_program_is_started_after_that(tmp_path: Path, at_the_end: None) -> None:
    processes.end_all()
    with pytest.raises(OSError, match="about to end"):
        sleep(tmp_path)
    assert not (tmp_path / "pids").exists()


def test_a_start_that_hangs_does_not_keep_the_process(
    monkeypatch: pytest.MonkeyPatch, at_the_end: None
) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", 0.05)
    with processes._starting:
        processes.end_all()
