"""What the database itself refuses in a job's row, whoever writes it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from jobs import submit
from jobs.models import Job
from jobs.states import State
from tests.jobs import kinds  # noqa: F401 - declares the kinds

pytestmark = pytest.mark.django_db


def write(**columns: Any) -> None:
    """Into the row of a job that runs, so that every state would do."""
    job_id = submit("test.echo").id
    sets = ", ".join(f"{column} = %s" for column in columns)
    running = "attempt = 1, worker_id = 1, started_at = now()"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE jobs_job SET {running} WHERE id = %s", [job_id])
        cursor.execute(f"UPDATE jobs_job SET {sets} WHERE id = %s", [*columns.values(), job_id])


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_known_to_the_database(state: State) -> None:
    write(state=state.value)
    assert Job.objects.get().state == state


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"state": "lost"}, "job_state_known"),
        ({"state": ""}, "job_state_known"),
        ({"priority": 101}, "job_priority_range"),
        ({"priority": -101}, "job_priority_range"),
        ({"attempt": -1}, "job_attempt_range"),
        ({"attempt": 6}, "job_attempt_range"),
        ({"max_attempts": 0, "attempt": 0}, "job_attempt_range"),
        ({"state": "running", "worker_id": None}, "job_running_is_fenced"),
        ({"state": "running", "started_at": None}, "job_running_is_fenced"),
        ({"state": "running", "attempt": 0}, "job_running_is_fenced"),
        ({"state": None}, "null value"),
        ({"priority": None}, "null value"),
    ],
)
def test_a_row_that_cannot_be_is_refused(columns: dict[str, Any], name: str) -> None:
    with pytest.raises(IntegrityError, match=name):
        write(**columns)


@pytest.mark.parametrize("priority", [-100, 100])
def test_the_ends_of_the_range_belong_to_it(priority: int) -> None:
    write(priority=priority)
    assert Job.objects.get().priority == priority
