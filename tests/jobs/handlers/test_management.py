"""`django.call_command`: only listed commands, their output kept, their ends translated."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.core.management import BaseCommand, CommandError, CommandParser, get_commands

from jobs.errors import JobCancelled, PermanentError
from jobs.handlers.management import ManagementCommandFailed, ManagementCommandRefused, django_call_command
from jobs.handlers.payloads import InvalidPayload
from jobs.registry import registry


class Probe(BaseCommand):
    """A management command that does what the test asks for."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("words", nargs="*")
        parser.add_argument("--end", default="well")
        parser.add_argument("--times", type=int, default=1)

    def handle(self, *_args: Any, words: list[str], end: str, times: int, **_options: Any) -> None:
        for _ in range(times):
            self.stdout.write(" ".join(words))
        self.stderr.write("to stderr")
        self.stdout.write(self.style.ERROR("no colour"), ending="")
        if end == "error":
            raise CommandError("it went wrong")
        if end != "well":
            sys.exit(int(end) if end.isdigit() else end)


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch, opsched: Any) -> None:
    monkeypatch.setitem(get_commands(), "probe", Probe())
    opsched(CALL_COMMANDS=["probe", "vanished"])


def call(ctx: Any, **payload: Any) -> dict[str, Any]:
    return django_call_command(ctx, {"name": "probe", **payload})


def test_the_kind_is_declared_with_its_model() -> None:
    assert registry.get("django.call_command").fn is django_call_command
    assert registry.get("django.call_command").payload_model is not None


def test_output_becomes_log_lines(ctx: Any, capfd: pytest.CaptureFixture[str]) -> None:
    result = call(ctx, args=["a", "b"], options={"times": 2})
    assert ctx.lines == [("info", "a b"), ("info", "a b"), ("warning", "to stderr"), ("info", "no colour")]
    assert result == {"output": ["a b", "a b", "to stderr", "no colour"], "dropped_lines": 0}
    assert capfd.readouterr() == ("", "")


def test_a_command_that_is_not_listed_is_refused(ctx: Any) -> None:
    with pytest.raises(ManagementCommandRefused, match="flush") as caught:
        call(ctx, name="flush")
    assert isinstance(caught.value, PermanentError)


def test_a_listed_command_that_does_not_exist_is_refused(ctx: Any) -> None:
    with pytest.raises(ManagementCommandRefused, match="vanished"):
        call(ctx, name="vanished")


def test_a_command_error_is_a_failure(ctx: Any) -> None:
    with pytest.raises(ManagementCommandFailed, match="it went wrong") as caught:
        call(ctx, args=["x"], options={"end": "error"})
    assert not isinstance(caught.value, PermanentError)
    assert ctx.text.startswith("x\nto stderr")


def test_ending_the_program_is_a_failure_and_does_not_end_the_worker(ctx: Any) -> None:
    with pytest.raises(ManagementCommandFailed, match="exit code 4"):
        call(ctx, options={"end": "4"})
    with pytest.raises(ManagementCommandFailed, match="giving up"):
        call(ctx, options={"end": "giving up"})


def test_ending_the_program_with_zero_is_a_success(ctx: Any) -> None:
    assert call(ctx, args=["x"], options={"end": "0"})["output"][0] == "x"


def test_an_option_the_command_does_not_know_is_not_tried_again(ctx: Any) -> None:
    with pytest.raises(ManagementCommandRefused, match="surprise"):
        call(ctx, options={"surprise": 1})


@pytest.mark.parametrize("option", ["stdout", "stderr", "settings", "pythonpath", "no_color"])
def test_options_the_job_sets_cannot_be_given(ctx: Any, option: str) -> None:
    with pytest.raises(InvalidPayload, match=option):
        call(ctx, options={option: "x"})


@pytest.mark.parametrize("name", ["", "a b", "../probe", "probe\n"])
def test_names_are_names(ctx: Any, name: str) -> None:
    with pytest.raises(InvalidPayload, match=r"^name"):
        call(ctx, name=name)


def test_a_cancelled_command_stops_at_its_next_write(ctx: Any) -> None:
    ctx.request_cancel("enough")
    with pytest.raises(JobCancelled, match="enough"):
        call(ctx, args=["x"])
    assert ctx.lines == []


def test_floods_are_bounded(ctx: Any) -> None:
    result = call(ctx, args=["x"], options={"times": 5000})
    assert len(ctx.lines) <= 541
    assert result["dropped_lines"] == 5002 - (len(ctx.lines) - 1)
