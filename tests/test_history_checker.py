"""The judge of recorded workflows, judged: it accepts a right history and sees each way in which one can be wrong."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import history_checker
from tests.jobs.commands.documents import diamond_1_4, diamond_1_5

Line = dict[str, Any]
PARENTS: dict[str, set[str]] = {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}}


def line(task: str, event: str, at: float, attempt: int = 1) -> Line:
    return {"task": task, "event": event, "at": at, "attempt": attempt, "pid": 1}


def right() -> list[Line]:
    order = ["a start", "a end", "b start", "c start", "c end", "b end", "d start", "d end"]
    return [line(words.split()[0], words.split()[1], at) for at, words in enumerate(order)]


def retold(history: list[Line]) -> list[Line]:
    """As if the lines had come in this order."""
    return [{**one, "at": float(at)} for at, one in enumerate(history)]


def test_a_right_history_has_no_violation() -> None:
    assert history_checker.violations(PARENTS, right()) == []


def find(history: list[Line], task: str, event: str) -> int:
    return next(n for n, one in enumerate(history) if (one["task"], one["event"]) == (task, event))


def drop(task: str, event: str) -> Callable[[list[Line]], Any]:
    return lambda history: history.pop(find(history, task, event))


def swap(first: int, second: int) -> Callable[[list[Line]], None]:
    def change(history: list[Line]) -> None:
        history[first], history[second] = history[second], history[first]
        history[:] = retold(history)

    return change


def change(task: str, which: str, /, **values: Any) -> Callable[[list[Line]], None]:
    return lambda history: history[find(history, task, which)].update(values)


DOCTORED: dict[str, tuple[Callable[[list[Line]], Any], str]] = {
    "a task that never ended": (drop("d", "end"), "'d' ended 0 times"),
    "a task that never started": (drop("d", "start"), "ends without a start"),
    "an end told twice": (lambda h: h.append(line("d", "end", 9)), "second 'end'"),
    "a task that ran twice": (
        lambda h: h.extend([line("d", "start", 8, 2), line("d", "end", 9, 2)]),
        "'d' ended 2 times",
    ),
    "a start told twice": (lambda h: h.append(line("d", "start", 9)), "second 'start'"),
    "an unknown task": (lambda h: h.append(line("x", "start", 9)), "no task 'x'"),
    "an unknown event": (change("d", "end", event="finish"), "unknown event"),
    "a child before its parent's end": (swap(1, 2), "'b' starts before 'a' has ended"),
    "a child before its second parent's end": (swap(5, 6), "'d' starts before 'b' has ended"),
    "an end before its start": (swap(6, 7), "ends before it starts"),
    "times against the edges, lines with them": (
        change("b", "start", at=0.5),
        "'b' starts before 'a' has ended",
    ),
    "an end of another attempt": (change("c", "end", attempt=2), "attempt 2 of 'c' ends without a start"),
    "a parent that never ended": (drop("a", "end"), "its parent 'a' never ended"),
    "nothing at all": (lambda h: h.clear(), "'a' ended 0 times"),
}


@pytest.mark.parametrize(("doctor", "sentence"), DOCTORED.values(), ids=DOCTORED)
def test_a_doctored_history_fails(doctor: Callable[[list[Line]], Any], sentence: str) -> None:
    history = right()
    doctor(history)
    assert any(sentence in one for one in history_checker.violations(PARENTS, history))


RECORDED = {"a": 1, "b": 2, "c": 1, "d": 1}


def rescued() -> list[Line]:
    """The worker died with `b`; its first attempt may even have ended without being recorded."""
    order = [
        ("a", "start", 1),
        ("a", "end", 1),
        ("b", "start", 1),
        ("b", "end", 1),
        ("c", "start", 1),
        ("c", "end", 1),
    ]
    order += [("b", "start", 2), ("b", "end", 2), ("d", "start", 1), ("d", "end", 1)]
    return [line(task, event, at, attempt) for at, (task, event, attempt) in enumerate(order)]


def test_an_attempt_that_was_given_up_does_not_count() -> None:
    assert history_checker.violations(PARENTS, rescued(), RECORDED) == []
    assert history_checker.violations(PARENTS, rescued()), "without the record it is one end too many"


def test_a_child_must_wait_for_the_recorded_attempt() -> None:
    history = rescued()
    history[6:] = history[8:9] + history[6:8] + history[9:]
    assert any(
        "'d' starts before 'b'" in one
        for one in history_checker.violations(PARENTS, retold(history), RECORDED)
    )


@pytest.mark.parametrize("recorded", [{**RECORDED, "b": 3}, {"a": 1, "b": 2, "c": 1}])
def test_a_record_that_the_history_does_not_bear_out_fails(recorded: dict[str, int]) -> None:
    assert history_checker.violations(PARENTS, rescued(), recorded)


def test_an_attempt_given_back_may_start_again_only_where_that_is_said() -> None:
    history = right()
    history.insert(6, line("d", "start", 5.5))
    assert history_checker.violations(PARENTS, history)
    assert history_checker.violations(PARENTS, history, given_back=True) == []


def test_every_swap_of_neighbours_that_breaks_an_edge_is_seen() -> None:
    """Against a plain oracle: a random order is right if and only if each child starts after its parents' ends."""
    rng = random.Random(7)
    for _ in range(300):
        history = right()
        rng.shuffle(history)
        history = retold(history)
        at = {(one["task"], one["event"]): one["at"] for one in history}
        sound = all(at[task, "start"] < at[task, "end"] for task in PARENTS) and all(
            at[parent, "end"] < at[task, "start"] for task, parents in PARENTS.items() for parent in parents
        )
        assert (not history_checker.violations(PARENTS, history)) is sound


@pytest.mark.parametrize(
    "document", [diamond_1_5(), diamond_1_4(), diamond_1_4(children=True), diamond_1_4(by="id")]
)
def test_it_reads_both_layouts(document: Any) -> None:
    assert history_checker.parents_of(document) == PARENTS


@pytest.mark.parametrize("packed", [True, False])
def test_as_a_program_it_needs_nothing_of_the_project(tmp_path: Path, packed: bool) -> None:
    text = json.dumps(diamond_1_5()).encode()
    (tmp_path / "w").write_bytes(gzip.compress(text) if packed else text)
    history = tmp_path / "h"
    history.write_text("".join(json.dumps(one) + "\n" for one in right()))

    def judge(*more: str) -> tuple[int, str]:
        program = Path(history_checker.__file__).read_text()
        words = [sys.executable, "-I", "-c", program, str(tmp_path / "w"), str(history), *more]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert judge()[0] == 0
    (tmp_path / "r").write_text(json.dumps({**RECORDED, "b": 2}))
    assert judge("--recorded", str(tmp_path / "r"))[0] == 1
    history.write_text(history.read_text()[:-1])
    assert judge() == (2, "cannot be read: ValueError: the last line has no end\n")
