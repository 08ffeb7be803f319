"""`workflow.task`: the sleep, its history, and that nobody can choose a file through a payload."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.core import signing

from jobs.errors import JobCancelled, PermanentError
from jobs.handlers import trace
from jobs.handlers.payloads import InvalidPayload
from jobs.handlers.trace import HistoryNotWritten, HistoryRefused, sign_history, workflow_task
from jobs.registry import registry


def call(ctx: Any, **payload: Any) -> None:
    workflow_task(ctx, {"task": "t1", "seconds": 0.0, **payload})


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_kind_is_declared_with_its_model() -> None:
    assert registry.get("workflow.task").fn is workflow_task
    assert registry.get("workflow.task").payload_model is trace.TaskPayload


def test_start_and_end_are_written_around_the_sleep(ctx: Any, tmp_path: Path) -> None:
    path, before = tmp_path / "history.jsonl", time.time()
    call(ctx, seconds=0.2, history=sign_history(path, "t1"))
    start, end = events(path)
    assert set(start) == {"task", "event", "at", "attempt", "pid"}
    assert (start["task"], start["event"], start["attempt"], start["pid"]) == ("t1", "start", 1, os.getpid())
    assert (end["task"], end["event"]) == ("t1", "end")
    assert before - 0.01 <= start["at"] <= end["at"] - 0.19


def test_each_line_is_one_write(ctx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = os.write

    def noting(handle: int, data: bytes) -> int:
        written.append(data)
        return write(handle, data)

    monkeypatch.setattr(os, "write", noting)
    call(ctx, task="ü" * 400, history=sign_history(tmp_path / "h", "ü" * 400))
    monkeypatch.undo()
    assert len(written) == 2
    assert all(data.count(b"\n") == 1 and data.endswith(b"\n") for data in written)


def test_lines_of_many_writers_do_not_mix(ctx: Any, tmp_path: Path) -> None:
    path = tmp_path / "h"

    def many(name: str) -> None:
        for _ in range(50):
            call(ctx, task=name, history=sign_history(path, name))

    threads = [threading.Thread(target=many, args=(letter * 300,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(path)) == 400


def test_without_a_history_nothing_is_written(
    ctx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call(ctx)
    call(ctx, history=None)
    assert list(tmp_path.iterdir()) == []


def forged(path: Path) -> list[str]:
    """Everything somebody could try who may submit and knows how this works, except the secret key."""
    good = sign_history(path, "t1")
    return [
        str(path),
        good[:-2],
        good.replace(":", ":x", 1),
        sign_history(path, "t2"),
        signing.Signer(key="guessed", salt="opsched.workflow.history").sign_object(
            {"path": str(path), "task": "t1"}
        ),
        signing.Signer(salt="another.purpose").sign_object({"path": str(path), "task": "t1"}),
        "",
    ]


@pytest.mark.parametrize("which", range(7))
def test_a_path_that_is_not_signed_for_the_task_is_refused_and_not_written(
    ctx: Any, tmp_path: Path, which: int
) -> None:
    path = tmp_path / "h"
    with pytest.raises(HistoryRefused) as caught:
        call(ctx, history=forged(path)[which])
    assert isinstance(caught.value, PermanentError)
    assert not path.exists()


def test_a_signed_path_is_absolute_and_survives_another_folder(
    ctx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    token = sign_history("h", "t1")
    monkeypatch.chdir(tmp_path / "elsewhere")
    call(ctx, history=token)
    assert len(events(tmp_path / "h")) == 2


def test_a_link_put_in_place_of_the_file_is_not_followed(ctx: Any, tmp_path: Path) -> None:
    token, victim = sign_history(tmp_path / "h", "t1"), tmp_path / "victim"
    victim.write_text("")
    (tmp_path / "h").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        call(ctx, history=token)
    assert victim.read_text() == ""


def test_what_is_no_ordinary_file_is_refused_without_hanging(ctx: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(HistoryRefused, match="ordinary"):
            call(ctx, history=sign_history(pipe, "t1"))
    finally:
        os.close(reader)
    with pytest.raises(OSError, match="No such device"):  # a pipe nobody reads
        call(ctx, history=sign_history(pipe, "t1"))


def test_a_disk_that_takes_half_a_line_is_a_failure(
    ctx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = sign_history(tmp_path / "h", "t1")
    monkeypatch.setattr(os, "write", lambda _handle, data: len(data) // 2)
    with pytest.raises(HistoryNotWritten):
        call(ctx, history=token)


def test_a_cancelled_task_wakes_up_and_writes_no_end(ctx: Any, tmp_path: Path) -> None:
    path = tmp_path / "h"
    timer = threading.Timer(0.2, ctx.request_cancel, args=("an operator asked",))
    timer.start()
    began = time.monotonic()
    with pytest.raises(JobCancelled):
        call(ctx, seconds=60.0, history=sign_history(path, "t1"))
    timer.join()
    assert time.monotonic() - began < 5
    assert [event["event"] for event in events(path)] == ["start"]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"seconds": -1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": float("inf")}, "seconds"),
        ({"seconds": 10**9}, "seconds"),
        ({"task": ""}, "task"),
        ({"path": "x"}, "path"),
    ],
)
def test_payloads_out_of_shape_are_refused_by_field(ctx: Any, payload: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidPayload, match=f"^{field}"):
        call(ctx, **payload)
