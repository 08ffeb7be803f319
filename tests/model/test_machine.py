"""Every move of a job against an independent model, in sequences that hypothesis invents.

A failure prints the shortest sequence of moves that shows it, ready to be run again.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from jobs.store import statements
from tests.model.machine import Machine

pytestmark = pytest.mark.django_db

COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
    "print_blob": True,
}
SHORT = settings(max_examples=10, stateful_step_count=30, derandomize=True, **COMMON)
LONG = settings(max_examples=1500, stateful_step_count=60, **COMMON)
# Each edit of the machine makes Hypothesis draw other sequences: of twelve such draws two found a fault only after 100.
FIRST_FAILURE = settings(
    SHORT, max_examples=400, stateful_step_count=30, phases=[Phase.generate], report_multiple_bugs=False
)


def test_the_database_does_what_the_model_says() -> None:
    run_state_machine_as_test(Machine, settings=SHORT)


@pytest.mark.faults
@pytest.mark.slow
def test_the_database_does_what_the_model_says_for_long() -> None:
    run_state_machine_as_test(Machine, settings=LONG)


SPOILT = {
    "an attempt is not given back": ("end_attempt", "THEN j.attempt - 1", "THEN j.attempt"),
    "the rank stays": (
        "set_priority",
        "rank = jobs_rank(j.ready_at, %(priority)s::smallint, q.ageing_seconds)",
        "rank = r.rank",
    ),
    "completion has no fence": (
        "complete",
        "AND j.attempt = u.attempt AND j.worker_id = %(worker)s AND j.state = 'running'",
        "AND %(worker)s > 0",
    ),
    "what was promoted is ready since it was made": (
        "promote",
        "ready_at = clock.now",
        "ready_at = j.created_at",
    ),
    "a loss costs an attempt": ("rescue", "least(32000, j.max_attempts + 1)", "j.max_attempts"),
}


@pytest.mark.parametrize(("name", "guard", "instead"), SPOILT.values(), ids=list(SPOILT))
def test_the_machine_finds_a_statement_that_is_wrong(
    name: str, guard: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative controls."""
    real = statements.statement
    text = real(name)
    assert guard in text
    spoilt = text.replace(guard, instead)
    monkeypatch.setattr(statements, "statement", lambda one: spoilt if one == name else real(one))
    with pytest.raises((AssertionError, DatabaseError)):
        run_state_machine_as_test(Machine, settings=FIRST_FAILURE)
