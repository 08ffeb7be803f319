"""`command.run` with real programs: what may run, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import PermanentError
from jobs.handlers import commands
from jobs.handlers.commands import CommandFailed, CommandNotAllowed, command_run
from jobs.handlers.payloads import InvalidPayload
from jobs.registry import registry
from tests.jobs.handlers.commanding import PYTHON, Allow, call


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
