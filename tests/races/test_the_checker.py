"""The consistency check sees each kind of disagreement: a check that cannot fail would prove nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from jobs.states import State
from jobs.store import moving
from jobs.store.values import Transition
from jobs.submit import JobSpec, submit_workflow
from tests.races.harness import KIND, Hand, dead, submit_some
from tests.support_consistency import assert_consistent, disagreements

pytestmark = pytest.mark.django_db(transaction=True)

DAMAGES = {
    "a ready row lost": "DELETE FROM jobs_ready",
    "a ready row too many": "INSERT INTO jobs_ready SELECT id, queue, kind, 0 FROM jobs_job WHERE state = 'completed'",
    "a queue that differs": "UPDATE jobs_ready SET queue = 'other'",
    "a waiting row lost": "DELETE FROM jobs_scheduled",
    "a waiting row of another kind": "UPDATE jobs_scheduled SET state = 'scheduled'",
    "a blocked row lost": "DELETE FROM jobs_blocked",
    "parents counted wrong": "UPDATE jobs_blocked SET pending = pending + 1",
    "a child that ran too early": "UPDATE jobs_job SET state = 'available' WHERE state = 'blocked'",
    "a dead letter lost": "DELETE FROM jobs_deadletter",
    "a closed row lost": "DELETE FROM jobs_closed",
    "a claim lost": "DELETE FROM jobs_claim",
    "a claim of somebody else": "UPDATE jobs_claim SET worker_id = worker_id + 1",
    "no time of the end": "UPDATE jobs_job SET finished_at = NULL WHERE state = 'completed'",
    "an attempt from the future": "UPDATE jobs_attempt SET number = 9",
    "a completion told twice": (
        "INSERT INTO notifications_event (topics, items) SELECT topics, items FROM notifications_event"
    ),
    "a completion not told": "DELETE FROM notifications_event",
    "a workflow's counts": "UPDATE jobs_workflow SET active = active + 1, blocked = blocked - 1",
    "a workflow's state": "UPDATE jobs_workflow SET state = 'completed'",
}


@pytest.fixture
def one_of_each(hand: Callable[..., Hand]) -> None:
    """A job in each state, consistently."""
    one = hand()
    submit_workflow(
        "w",
        [
            JobSpec(kind=KIND, key="a", payload={"task": "a", "seconds": 0}),
            JobSpec(kind=KIND, key="b", parents=["a"], payload={"task": "b", "seconds": 0}),
        ],
    )
    ids = submit_some(5)
    done, failed, died, _running = one.claim(ids[:4])
    one.end(
        Transition(job=done, target=State.COMPLETED),
        Transition(job=failed, target=State.RETRYABLE, outcome="failed", delay=60.0),
        dead(died),
    )
    submitted = submit_some(1)
    one.do(lambda cursor: moving.close(cursor, submitted, State.CANCELLED, reason="x"))
    assert_consistent(connection.cursor())


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.usefixtures("one_of_each")
def test_a_disagreement_is_found(damage: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(damage)
        assert disagreements(cursor)
