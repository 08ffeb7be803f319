"""The table of moves is sound, and every statement makes only moves that stand in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.states import FINISHED, MOVES, WAITING, State, allowed_from

SQL = Path(__file__).resolve().parents[2] / "jobs" / "sql"


def test_every_state_is_finished_waiting_running_or_dead_and_only_one_of_them() -> None:
    assert FINISHED | WAITING | {State.RUNNING, State.DEAD} == set(State)
    assert not FINISHED & WAITING


def test_nothing_leads_out_of_a_finished_state_but_an_operator_who_takes_a_discard_back() -> None:
    out = {move.name: move.sources & FINISHED for move in MOVES.values() if move.sources & FINISHED}
    assert out == {"undo_discard": {State.DISCARDED}, "undo_skip": {State.SKIPPED}}


def test_every_state_can_be_reached_and_every_other_one_left() -> None:
    reached = frozenset().union(*(move.targets for move in MOVES.values()))
    undone = ("undo_discard", "undo_skip")
    left = frozenset().union(*(move.sources for move in MOVES.values() if move.name not in undone))
    assert reached == set(State)
    assert left == set(State) - FINISHED


def test_only_a_claim_leads_to_running() -> None:
    assert [move.name for move in MOVES.values() if State.RUNNING in move.targets] == ["claim"]


def test_what_waits_and_runs_can_be_cancelled() -> None:
    assert MOVES["cancel"].sources == WAITING | {State.RUNNING}
    assert allowed_from("cancel") == sorted(WAITING | {State.RUNNING})


# For each statement that sets a state: the moves it makes. Those that take the target as a parameter are held to the
# table by their callers (`allowed_from`, test_completion).
STATEMENTS = {
    "claim": ("claim",),
    "claim_limited": ("claim",),
    "claim_ready": ("claim",),
    "complete": ("complete",),
    "promote": ("promote", "run_now"),
    "replay": ("replay",),
    "rescue": ("rescue",),
    "unblock": ("unblock",),
    "undo_replay": ("undo_replay",),
    "undo_discard": ("undo_discard",),
    "undo_skip": ("undo_skip",),
}
SETS = re.compile(
    r"UPDATE jobs_job j\s+SET state = (?P<value>'\w+'|CASE .*? END|%\(\w+\)s|i\.state)", re.DOTALL
)


def sets(name: str) -> list[str]:
    text = re.sub(r"--.*", "", (SQL / f"{name}.sql").read_text(encoding="utf-8"))
    return [found["value"] for found in SETS.finditer(text) if "UPDATE jobs_job" in text]


def test_every_statement_that_sets_a_jobs_state_is_known() -> None:
    found = {path.stem for path in SQL.glob("*.sql") if sets(path.stem)}
    assert found == {*STATEMENTS, "close", "end_attempt"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_makes_only_moves_of_the_table(name: str) -> None:
    text = re.sub(r"--.*", "", (SQL / f"{name}.sql").read_text(encoding="utf-8"))
    targets = {State(word) for value in sets(name) for word in re.findall(r"(?:THEN|ELSE|^) ?'(\w+)'", value)}
    guards = re.findall(r"j\.state (?:= '(\w+)'|IN \(([^)]*)\))", text)
    sources = {State(word) for one, many in guards for word in ([one] if one else re.findall(r"\w+", many))}
    assert targets == set().union(*(MOVES[move].targets for move in STATEMENTS[name]))
    assert sources == set().union(*(MOVES[move].sources for move in STATEMENTS[name]))
