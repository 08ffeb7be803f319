"""`django.call_command`: run a management command that `OPSCHED["CALL_COMMANDS"]` lists, inside the worker.

Listing a command permits all of its options. What it writes to its own stdout and stderr becomes log lines;
`print()` in a command goes to the worker's terminal, since redirecting it would catch the output of other
threads too. The command runs in a thread: it is stopped at its next write when the job is cancelled, and
cannot be stopped otherwise (`command.run` with manage.py can).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Any

from django.core.management import CommandError, call_command
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from jobs import conf
from jobs.errors import JobsError, PermanentError
from jobs.handlers.output import LineSink, LogLines
from jobs.handlers.payloads import parse
from jobs.registry import job

if TYPE_CHECKING:
    from jobs.context import JobContext

__all__ = ["CallCommandPayload", "ManagementCommandFailed", "ManagementCommandRefused", "django_call_command"]

_OURS = frozenset(("stdout", "stderr", "no_color", "force_color", "traceback", "settings", "pythonpath"))
Scalar = str | int | float | bool | None


class ManagementCommandFailed(JobsError):
    """The command raised CommandError or ended the program with another exit code than 0."""


class ManagementCommandRefused(PermanentError):
    """The settings do not list the command, it does not exist, or it does not know an option."""


class CallCommandPayload(BaseModel):
    """`name`, positional `args` and `options` as `django.core.management.call_command` takes them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,100}$")]
    args: Annotated[list[str | int | float], Field(max_length=100)] = []
    options: Annotated[dict[str, Scalar | list[Scalar]], Field(max_length=100)] = {}

    @field_validator("options")
    @classmethod
    def _not_ours(cls, options: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(_OURS & options.keys())
        if taken:
            raise ValueError(f"the job sets these options itself: {', '.join(taken)}")
        return options


class _Stream(io.TextIOBase):
    """What the command takes for a terminal: text in, log lines out."""

    def __init__(self, ctx: JobContext, lines: LogLines, level: str) -> None:
        super().__init__()
        self._ctx, self._sink = ctx, LineSink(lines, level)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._ctx.raise_if_cancelled()
        self._sink.write(text)
        return len(text)

    def finish(self) -> None:
        self._sink.close()


@job("django.call_command", max_attempts=3, payload_model=CallCommandPayload)
def django_call_command(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Call a management command the settings list. Result: output (last lines), dropped_lines.

    Raises ManagementCommandRefused (no further try) or ManagementCommandFailed (another try).
    """
    asked = parse(CallCommandPayload, payload)
    if asked.name not in conf.get().CALL_COMMANDS:
        raise ManagementCommandRefused(f'OPSCHED["CALL_COMMANDS"] does not list "{asked.name}"')
    lines = LogLines(lambda line, level: ctx.log(line, level=level))
    stdout, stderr = _Stream(ctx, lines, "info"), _Stream(ctx, lines, "warning")
    try:
        _call(asked, stdout, stderr)
    finally:
        stdout.finish()
        stderr.finish()
        lines.finish()
    return {"output": lines.last(), "dropped_lines": lines.dropped}


def _call(asked: CallCommandPayload, stdout: _Stream, stderr: _Stream) -> None:
    try:
        call_command(asked.name, *asked.args, stdout=stdout, stderr=stderr, no_color=True, **asked.options)
    except CommandError as error:
        refused = str(error).startswith("Unknown command")
        raise (ManagementCommandRefused if refused else ManagementCommandFailed)(
            f"{asked.name}: {error}"
        ) from error
    except TypeError as error:
        if str(error).startswith("Unknown option(s)"):  # call_command's own complaint, by its only mark
            raise ManagementCommandRefused(f"{asked.name}: {error}") from None
        raise
    except SystemExit as error:
        # A command that ends the program would end the worker with all its jobs.
        if error.code not in (None, 0):
            raise ManagementCommandFailed(f"{asked.name} ended with exit code {error.code}") from None
