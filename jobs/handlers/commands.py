"""`command.run`: run a program of this machine that the settings name.

A job names an entry of `OPSCHED["COMMANDS"]` and may add arguments; the program, its fixed arguments, its
folder and its longest time come from the settings alone. There is no shell and no environment from the job. A
further argument that begins with a dash is refused unless the entry says `allow_options`: options turn
harmless programs into others (`tar --to-command`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from jobs import conf
from jobs.errors import JobsError, PermanentError
from jobs.handlers.output import LineSink, LogLines
from jobs.handlers.payloads import parse
from jobs.handlers.processes import Ended, Program, run
from jobs.registry import job

if TYPE_CHECKING:
    from jobs.conf import CommandSpec
    from jobs.context import JobContext

__all__ = ["CommandFailed", "CommandNotAllowed", "CommandPayload", "CommandTimedOut", "command_run"]

_SHOWN = 3_000  # characters of the last output in an error, whose end would be cut off beyond 4,000
_GRACE = 5.0  # seconds between TERM and KILL
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_ARGV_CHARS = 100_000  # well below what any system takes


class CommandFailed(JobsError):
    """The program ended with another exit code than 0, by a signal, or could not be started."""


class CommandTimedOut(CommandFailed):
    """The program ran longer than it may and was ended with all its children."""


class CommandNotAllowed(PermanentError):
    """The settings name no such command, or not with these arguments."""


class CommandPayload(BaseModel):
    """`command`: a name from the settings; `args` are added to its fixed arguments; `timeout`: seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    command: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    args: Annotated[list[str], Field(max_length=1000)] = []
    stdin: str = ""
    timeout: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None

    @field_validator("args")
    @classmethod
    def _passable(cls, args: list[str]) -> list[str]:
        if any("\0" in arg for arg in args):
            raise ValueError("an argument must not hold NUL")
        if sum(map(len, args)) > _MAX_ARGV_CHARS:
            raise ValueError(f"the arguments are longer than {_MAX_ARGV_CHARS} characters together")
        "".join(args).encode()  # a lone surrogate is no text; UnicodeEncodeError is a ValueError
        return args

    @field_validator("stdin")
    @classmethod
    def _text(cls, stdin: str) -> str:
        stdin.encode()
        return stdin


@dataclass(frozen=True, slots=True)
class _Streams:
    """The program's two outputs on their way to the job's log."""

    lines: LogLines
    stdout: LineSink
    stderr: LineSink

    @classmethod
    def to(cls, ctx: JobContext) -> _Streams:
        lines = LogLines(lambda line, level: ctx.log(line, level=level))
        return cls(lines, LineSink(lines, "info"), LineSink(lines, "warning"))

    def close(self) -> None:
        self.stdout.close()
        self.stderr.close()
        self.lines.finish()


@job("command.run", max_attempts=3, payload_model=CommandPayload)
def command_run(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Run a program the settings allow; its output becomes log lines.

    Result: exit_code, elapsed_ms, dropped_lines, output (its last lines).
    Raises CommandNotAllowed (no further try), CommandFailed or CommandTimedOut (another try).
    """
    asked = parse(CommandPayload, payload)
    spec = allowed(asked, conf.get().COMMANDS)
    started = time.monotonic()
    streams = _Streams.to(ctx)
    try:
        ended = _run(ctx, asked, spec, streams, started)
    finally:
        streams.close()
    _judge(ctx, asked, ended, streams.lines)
    return {
        "exit_code": ended.code,
        "elapsed_ms": round((time.monotonic() - started) * 1000),
        "dropped_lines": streams.lines.dropped,
        "output": streams.lines.last(),
    }


def allowed(asked: CommandPayload, commands: dict[str, CommandSpec]) -> CommandSpec:
    """The entry of the settings, if it permits the arguments. Raises CommandNotAllowed with the reason."""
    spec = commands.get(asked.command)
    if spec is None:
        raise CommandNotAllowed(f'OPSCHED["COMMANDS"] has no "{asked.command}"')
    if len(asked.args) > spec.max_args:
        raise CommandNotAllowed(
            f'"{asked.command}" takes {spec.max_args} further arguments, not {len(asked.args)}'
        )
    if not spec.allow_options and any(arg.startswith("-") for arg in asked.args):
        raise CommandNotAllowed(f'"{asked.command}" takes no further options: an argument begins with a dash')
    if not spec.argv[0].startswith("/"):
        raise CommandNotAllowed(f'OPSCHED["COMMANDS"]["{asked.command}"]: the program is no absolute path')
    return spec


def _run(
    ctx: JobContext, asked: CommandPayload, spec: CommandSpec, streams: _Streams, started: float
) -> Ended:
    longest = min(asked.timeout or spec.timeout, spec.timeout)
    cwd = spec.cwd or "/"
    try:
        return run(
            Program(
                argv=[*spec.argv, *asked.args],
                env=_environment(ctx, cwd),
                cwd=cwd,
                stdin=asked.stdin.encode(),
            ),
            deadline=min(started + longest, ctx.deadline or float("inf")),
            grace=_GRACE,
            stop=lambda: ctx.cancelled,
            stdout=streams.stdout.feed,
            stderr=streams.stderr.feed,
        )
    except OSError as error:
        raise CommandFailed(f'"{asked.command}" cannot be started: {error.strerror}') from None


def _environment(ctx: JobContext, cwd: str) -> dict[str, str]:
    """Nothing of the worker's own: its environment holds the passwords of the database and of others."""
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "HOME": cwd,
        "OPSCHED_JOB_ID": str(ctx.job_id),
        "OPSCHED_ATTEMPT": str(ctx.attempt),
        "OPSCHED_IDEMPOTENCY_KEY": ctx.idempotency_key,
    }


def _judge(ctx: JobContext, asked: CommandPayload, ended: Ended, lines: LogLines) -> None:
    """Raise unless the program ended by itself and well."""
    if ended.stopped:
        ctx.raise_if_cancelled()
    last = "\n" + "\n".join(lines.last())[-_SHOWN:]
    if ended.timed_out:
        raise CommandTimedOut(f'"{asked.command}" was ended because it ran too long{last}')
    if ended.code < 0:
        raise CommandFailed(f'"{asked.command}" was ended by signal {-ended.code}{last}')
    if ended.code > 0:
        raise CommandFailed(f'"{asked.command}" ended with exit code {ended.code}{last}')
