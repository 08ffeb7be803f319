"""`command.run` with real programs: what may run, what is kept of it, and that nothing of it stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.errors import JobCancelled, PermanentError
from jobs.handlers import commands, processes
from jobs.handlers.commands import CommandFailed, CommandNotAllowed, CommandTimedOut, command_run
from jobs.handlers.payloads import InvalidPayload
from jobs.registry import registry
from tests.support import child_environment, eventually

Allow = Callable[..., None]


@pytest.fixture
def allow(opsched: Callable[..., None]) -> Allow:
    """allow("script of sh", …) makes it the command "it"."""

    def change(script: str, program: tuple[str, ...] = ("/bin/sh", "-c"), **options: Any) -> None:
        opsched(
            COMMANDS={
                "it": {"argv": [*program, script, *(["it"] if program[0] == "/bin/sh" else [])], **options}
            }
        )

    return change


PYTHON = (sys.executable, "-I", "-c")


def call(ctx: Any, **payload: Any) -> dict[str, Any]:
    return command_run(ctx, {"command": "it", **payload})


def test_the_kind_is_declared_with_its_model() -> None:
    kind = registry.get("command.run")
    assert kind.payload_model is commands.CommandPayload
    assert kind.fn is command_run


# --- what may run ----------------------------------------------------------------------------------------------------


def test_output_becomes_log_lines_and_the_result_says_how_it_ended(ctx: Any, allow: Allow) -> None:
    allow("echo out; echo err >&2; printf last")
    result = call(ctx)
    assert sorted(ctx.lines) == [("info", "last"), ("info", "out"), ("warning", "err")]
    assert result["exit_code"] == 0
    assert sorted(result["output"]) == ["err", "last", "out"]
    assert result["dropped_lines"] == 0


def test_a_command_the_settings_do_not_name_is_refused(ctx: Any, allow: Allow) -> None:
    allow("true")
    with pytest.raises(CommandNotAllowed, match='no "/bin/sh"') as caught:
        call(ctx, command="/bin/sh")
    assert isinstance(caught.value, PermanentError)


def test_arguments_are_refused_unless_allowed_and_counted(ctx: Any, allow: Allow) -> None:
    allow('echo "$@"')
    with pytest.raises(CommandNotAllowed, match="takes 0 further"):
        call(ctx, args=["a"])
    allow('echo "$@"', max_args=2)
    call(ctx, args=["a", "b c"])
    assert ctx.text == "a b c"
    with pytest.raises(CommandNotAllowed, match="takes 2 further arguments, not 3"):
        call(ctx, args=["a", "b", "c"])


@pytest.mark.parametrize("arg", ["-rf", "--", "--to-command=sh", "-"])
def test_arguments_cannot_smuggle_options(ctx: Any, allow: Allow, arg: str) -> None:
    allow('echo "$@"', max_args=2)
    with pytest.raises(CommandNotAllowed, match="dash"):
        call(ctx, args=["x", arg])
    allow('echo "$@"', max_args=2, allow_options=True)
    call(ctx, args=["x", arg])
    assert ctx.text == f"x {arg}"


@pytest.mark.parametrize(
    "arg", ["; touch hacked", "$(touch hacked)", "`touch hacked`", "a\nb", "| cat", "*", ""]
)
def test_arguments_are_never_seen_by_a_shell(ctx: Any, allow: Allow, tmp_path: Path, arg: str) -> None:
    allow("import sys; print(ascii(sys.argv[1:]))", PYTHON, max_args=1, cwd=str(tmp_path))
    call(ctx, args=[arg])
    assert ctx.text == ascii([arg])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"args": ["a\0b"]}, "args"),
        ({"args": ["\ud800"]}, "args"),
        ({"args": ["x" * 100_001]}, "args"),
        ({"args": "x"}, "args"),
        ({"env": {"LD_PRELOAD": "x"}}, "env"),
        ({"cwd": "/"}, "cwd"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"stdin": "\ud800"}, "stdin"),
        ({"command": ""}, "command"),
    ],
)
def test_payloads_out_of_shape_are_refused_by_field(ctx: Any, payload: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidPayload, match=f"^{field}"):
        call(ctx, **payload)


def test_nothing_of_the_workers_environment_is_passed_on(
    ctx: Any, allow: Allow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSCHED_TEST_PASSWORD", "s3cr3t")
    allow("/usr/bin/env", cwd=str(tmp_path))
    call(ctx)
    given = dict(line.split("=", 1) for _, line in ctx.lines)
    shell_adds = {"PWD", "OLDPWD", "SHLVL", "_"}
    expected = {"PATH", "LANG", "HOME", "OPSCHED_JOB_ID", "OPSCHED_ATTEMPT", "OPSCHED_IDEMPOTENCY_KEY"}
    assert set(given) - shell_adds == expected
    assert (given["OPSCHED_JOB_ID"], given["HOME"]) == ("7", str(tmp_path))


def test_a_program_that_is_not_there_is_a_failure(ctx: Any, opsched: Callable[..., None]) -> None:
    opsched(COMMANDS={"it": {"argv": ["/nowhere/program"]}})
    with pytest.raises(CommandFailed, match="No such file"):
        call(ctx)


def test_a_program_without_an_absolute_path_is_refused(ctx: Any, opsched: Callable[..., None]) -> None:
    opsched(COMMANDS={"it": {"argv": ["sh"]}})
    with pytest.raises((CommandNotAllowed, Exception), match="absolute"):
        call(ctx)


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_another_exit_code_is_a_failure_with_the_last_lines(ctx: Any, allow: Allow) -> None:
    allow("for n in $(seq 30); do echo line $n; done; exit 3")
    with pytest.raises(CommandFailed, match="exit code 3") as caught:
        call(ctx)
    assert "line 30" in str(caught.value)
    assert "line 10\n" not in str(caught.value)
    assert not isinstance(caught.value, PermanentError)


def test_death_by_signal_is_a_failure(ctx: Any, allow: Allow) -> None:
    allow("kill -SEGV $$")
    with pytest.raises(CommandFailed, match="signal 11"):
        call(ctx)


def test_standard_input_is_given_and_closed(ctx: Any, allow: Allow) -> None:
    allow("cat")
    call(ctx, stdin="one\ntwo ü")
    assert ctx.text == "one\ntwo ü"
    ctx.reports.clear()
    call(ctx)
    assert ctx.text == ""


# Makes room for a part of the input only, then says more than a pipe holds before it reads on.
TALKS_BEFORE_READING = "head -c 4096 >/dev/null; head -c 1000000 /dev/zero | tr '\\0' x; cat >/dev/null"


@pytest.mark.parametrize("script", ["cat; cat >&2", "true", "exec 0<&-; echo closed", TALKS_BEFORE_READING])
def test_large_input_never_locks_up(ctx: Any, allow: Allow, script: str) -> None:
    """A megabyte in while a megabyte comes out: whoever waits for one pipe alone stands still here."""
    allow(script, timeout=20)
    call(ctx, stdin="x" * 79 + "\n" + ("y" * 79 + "\n") * 13_000)


def test_large_outputs_on_both_pipes_are_read_and_bounded(ctx: Any, allow: Allow) -> None:
    script = (
        "import sys\n"
        "for n in range(20_000):\n"
        "    sys.stdout.write(f'out {n} ' + 'x' * 200 + '\\n'); sys.stderr.write(f'err {n} ' + 'x' * 200 + '\\n')\n"
        "print('the end', file=sys.stderr)"
    )
    allow(script, PYTHON, timeout=30)
    result = call(ctx)
    assert result["exit_code"] == 0
    assert len(ctx.lines) <= 541
    assert ctx.text.count("lines of output dropped") == 1
    assert result["dropped_lines"] == 40_001 - (len(ctx.lines) - 1)
    assert "the end" in result["output"]


def test_output_that_is_no_text_is_kept_as_far_as_it_can_be(ctx: Any, allow: Allow) -> None:
    allow(r"printf 'a\377b\000c\nend\n'")
    call(ctx)
    assert ctx.text == "a\N{REPLACEMENT CHARACTER}bc\nend"


# --- nothing stays behind --------------------------------------------------------------------------------------------


def noted(pids: Path, count: int) -> list[int]:
    """The numbers the processes wrote down, when all have."""

    def complete() -> list[int]:
        found = [int(line) for line in pids.read_text().split()] if pids.exists() else []
        return found if len(found) == count else []

    return eventually(complete)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
