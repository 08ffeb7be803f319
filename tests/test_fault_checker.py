"""The judge of the fault tests, judged: it accepts what is right and sees each way in which it can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import fault_checker

Line = dict[str, Any]
Case = dict[str, Any]


def line(task: str, event: str, at: float, attempt: int = 1, pid: int = 1) -> Line:
    return {"task": task, "event": event, "at": at, "attempt": attempt, "pid": pid}


def ran(task: str, at: float, attempt: int = 1, pid: int = 1) -> list[Line]:
    return [line(task, "start", at, attempt, pid), line(task, "end", at + 0.1, attempt, pid)]


def right() -> tuple[Case, list[Line]]:
    """`a` simply ran; 1 was killed in `b`, and 2 was stopped in `c` and ended it too late; the database restarted."""
    history = [
        *ran("a", 0.0, pid=1),
        line("b", "start", 1.0, pid=1),
        *ran("b", 7.0, attempt=2, pid=3),
        line("c", "start", 10.0, pid=2),
        *ran("c", 13.0, attempt=2, pid=3),
        line("c", "end", 14.0, pid=2),
    ]
    for number in range(200):  # ten a second, but for the second without a database
        at = 20.0 + number / 10
        history += [] if 30.0 <= at < 31.0 else ran(f"p{number}", at, pid=3)
    tasks = {one["task"] for one in history}
    recorded = {task: 2 if task in ("b", "c") else 1 for task in tasks}
    case = {
        "promised": {task: number for number, task in enumerate(sorted(tasks))},
        "jobs": {
            task: {"id": number, "state": "completed", "attempt": recorded[task]}
            for number, task in enumerate(sorted(tasks))
        },
        "completions": {task: [attempt] for task, attempt in recorded.items()},
        "faults": [
            {"pid": 1, "kind": "kill", "at": 1.5, "until": 1.5},
            {"pid": 2, "kind": "stop", "at": 11.0, "until": 14.5},
        ],
        "taken": {"b": [1], "c": [1]},
        "refused": 2,
        "again_within": 10.0,
        "restarts": [{"down": 30.0, "up": 30.5}],
        "pace": {"tasks": "p", "share": 0.9, "within": 5.0, "window": 2.0, "before": 3.0},
    }
    return case, history


def test_a_right_case_has_no_violation() -> None:
    case, history = right()
    verdict = fault_checker.judge(case, history)
    assert verdict.violations == []
    assert verdict.figures["again p99"] == 5.5
    assert verdict.figures["late"] == 1
    assert verdict.figures["pace back after"] == [pytest.approx(0.3, abs=0.11)]


def run_elsewhere_too(case: Case, history: list[Line]) -> None:
    """`a` is taken from its worker, which lives."""
    history += ran("a", 1.2, 2, 3)
    case["jobs"]["a"].update(attempt=2)
    case["completions"].update(a=[2])


def never_again(case: Case, history: list[Line]) -> None:
    drop(history, "b", "start", 2)
    drop(history, "b", "end", 2)


def drop(history: list[Line], task: str, event: str, attempt: int = 1) -> None:
    history[:] = [
        one for one in history if (one["task"], one["event"], one["attempt"]) != (task, event, attempt)
    ]


DOCTORED: dict[str, tuple[Callable[[Case, list[Line]], Any], str]] = {
    "a promised job lost": (lambda c, _: c["jobs"].pop("a"), "'a' was acknowledged as job 0"),
    "another job in its place": (lambda c, _: c["jobs"]["a"].update(id=77), "the database has 77"),
    "a job stuck": (lambda c, _: c["jobs"]["a"].update(state="running"), "'a' is running in the end"),
    "a dead letter": (lambda c, _: c["jobs"]["a"].update(state="dead"), "'a' is dead in the end"),
    "recorded twice": (lambda c, _: c["completions"].update(b=[1, 2]), "completions of [1, 2]"),
    "recorded twice for one attempt": (lambda c, _: c["completions"].update(a=[1, 1]), "of [1, 1]"),
    "not told": (lambda c, _: c["completions"].pop("a"), "completions of []"),
    "told of another attempt": (lambda c, _: c["completions"].update(b=[1]), "completions of [1]"),
    "recorded, but its body never ended": (lambda _, h: drop(h, "a", "end"), "no end of attempt 1"),
    "a body ran twice in one attempt": (lambda _, h: h.extend(ran("a", 0.5)), "a second 'start'"),
    "a job nobody submitted": (lambda _, h: h.extend(ran("z", 0.5)), "'z' ran, and"),
    "taken from a living worker": (
        run_elsewhere_too,
        "attempt 1 of 'a' was taken from process 1, to which nothing had been done",
    ),
    "taken before anything was done": (lambda c, _: c["faults"][1].update(at=13.5), "taken from process 2"),
    "run again too late": (
        lambda c, _: c["faults"][0].update(at=-4.0),
        "killed until run again takes 11.0 s",
    ),
    "never run again": (never_again, "never ran again"),
    "a late write not counted": (lambda c, _: c.update(refused=1), "2 attempts were lost by stopped"),
    "a refusal too many": (lambda c, _: c.update(refused=3), "3 writes were refused"),
    "a loss not told": (
        lambda c, _: c["taken"].update(c=[2]),
        "attempt 1 of 'c' was lost by stopped process 2",
    ),
    "the pace does not come back": (
        lambda c, h: c.update(restarts=[{"down": 30.0, "up": 30.5}, {"down": 39.5, "up": 39.6}]),
        "restart 2: 10 jobs/s before it, not 90%",
    ),
    "no pace to begin with": (
        lambda c, _: c.update(restarts=[{"down": 19.0, "up": 19.5}]),
        "0 jobs/s before it",
    ),
}


@pytest.mark.parametrize(("doctor", "sentence"), DOCTORED.values(), ids=DOCTORED)
def test_a_doctored_case_fails(doctor: Callable[[Case, list[Line]], Any], sentence: str) -> None:
    case, history = right()
    doctor(case, history)
    found = fault_checker.judge(case, history).violations
    assert any(sentence in one for one in found), found


def test_as_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case, history = right()
    paths = [tmp_path / "case.json", tmp_path / "history.jsonl"]
    paths[0].write_text(json.dumps(case))
    paths[1].write_text("".join(json.dumps(one) + "\n" for one in history))
    assert fault_checker.main([str(path) for path in paths]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == len(case["jobs"])
    paths[0].write_text(json.dumps(case | {"refused": 5}))
    assert fault_checker.main([str(path) for path in paths]) == 1
    assert fault_checker.main([str(paths[0])]) == 2
