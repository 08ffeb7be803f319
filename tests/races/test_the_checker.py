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

# What is done, and the sentence that must say so: another clause may see it too.
DAMAGES = {
    "a ready row lost": ("DELETE FROM jobs_ready", "is available, and jobs_ready says otherwise"),
    "a ready row too many": (
        "INSERT INTO jobs_ready SELECT id, queue, kind, 0 FROM jobs_job WHERE state = 'completed'",
        "is completed, and jobs_ready says otherwise",
    ),
    "a queue that differs": ("UPDATE jobs_ready SET queue = 'other'", "and jobs_ready says otherwise"),
    "a waiting row lost": ("DELETE FROM jobs_scheduled", "is retryable, and jobs_scheduled says nothing"),
    "a waiting row of another kind": (
        "UPDATE jobs_scheduled SET state = 'scheduled'",
        "is retryable, and jobs_scheduled says scheduled",
    ),
    "a waiting row too many": (
        (
            "INSERT INTO jobs_scheduled (job_id, at, state)"
            " SELECT id, now(), 'scheduled' FROM jobs_job WHERE state = 'completed'"
        ),
        "is completed, and jobs_scheduled says scheduled",
    ),
    "a blocked row too many": (
        "INSERT INTO jobs_blocked SELECT id, 1 FROM jobs_job WHERE state = 'completed'",
        "is completed, and jobs_blocked says otherwise",
    ),
    "a blocked row lost": ("DELETE FROM jobs_blocked", "is blocked, and jobs_blocked says otherwise"),
    "parents counted wrong": (
        "UPDATE jobs_blocked SET pending = pending + 1",
        "waits for 2 parents, but 1 have not completed",
    ),
    "a child that waits for nobody": (
        "DELETE FROM jobs_dependency; UPDATE jobs_blocked SET pending = 0",
        "waits for 0 parents, but 0 have not completed",
    ),
    "a child that ran too early": (
        "UPDATE jobs_job SET state = 'available' WHERE state = 'blocked'",
        "is available, though its parent",
    ),
    "a dead letter lost": ("DELETE FROM jobs_deadletter", "is dead, and jobs_deadletter says otherwise"),
    "a dead letter too many": (
        "UPDATE jobs_deadletter SET job_id = (SELECT id FROM jobs_job WHERE state = 'completed')",
        "is completed, and jobs_deadletter says otherwise",
    ),
    "a group counted wrong": (
        "UPDATE jobs_deadlettergroup SET count = count + 1",
        "is in the group f of 1, which says 2",
    ),
    "a tally of nothing": (
        (
            "INSERT INTO jobs_deadlettertally (fingerprint, kind, change, at)"
            " SELECT fingerprint, kind, 2, now() FROM jobs_deadletter"
        ),
        "is in the group f of 1, which says 3",
    ),
    "a group lost": ("DELETE FROM jobs_deadlettergroup", "is a dead letter of a group that is missing"),
    "a closed row lost": ("DELETE FROM jobs_closed", "is cancelled, and jobs_closed says nothing"),
    "a closed row too many": (
        (
            "INSERT INTO jobs_closed (job_id, state, reason, at)"
            " SELECT id, 'skipped', '', now() FROM jobs_job WHERE state = 'completed'"
        ),
        "is completed, and jobs_closed says skipped",
    ),
    "a claim lost": ("DELETE FROM jobs_claim", "runs in 0 claims of its worker"),
    "a claim of somebody else": (
        "UPDATE jobs_claim SET worker_id = worker_id + 1",
        "runs in 0 claims of its worker",
    ),
    "no time of the end": (
        "UPDATE jobs_job SET finished_at = NULL WHERE state = 'completed'",
        "is completed with finished_at unset",
    ),
    "a time of an end that was none": (
        "UPDATE jobs_job SET finished_at = now() WHERE state = 'retryable'",
        "is retryable with finished_at 2",
    ),
    "a unique key of nobody": (
        "INSERT INTO jobs_uniquekey (kind, key, scope, job_id, state) VALUES ('k', 'u', 'unfinished', 0, '')",
        "0 holds the unique key u, and there is neither",
    ),
    "an attempt from the future": (
        "UPDATE jobs_attempt SET number = 9",
        "has attempt 9 in its history, but is at 1",
    ),
    "a completion told twice": (
        "INSERT INTO notifications_event (topics, items) SELECT topics, items FROM notifications_event",
        "is completed, and the log has 2 completions",
    ),
    "a completion not told": (
        "DELETE FROM notifications_event",
        "is completed, and the log has 0 completions",
    ),
    "a completion of another attempt": (
        "UPDATE jobs_job SET attempt = 2 WHERE state = 'completed'",
        "was completed in attempt 2, the log says 1",
    ),
    "a workflow's counts": (
        "UPDATE jobs_workflow SET active = active + 1, blocked = blocked - 1",
        "workflow w: the counts differ",
    ),
    "a workflow that runs and does not say so": (
        "UPDATE jobs_workflow SET state = 'failed'",
        "workflow w: the counts differ",
    ),
    "a workflow that says it is complete": (
        (
            "UPDATE jobs_job SET state = 'cancelled' WHERE workflow_id IS NOT NULL;"
            " UPDATE jobs_workflow SET active = 0, blocked = 0, closed = 2, state = 'completed'"
        ),
        "workflow w: the counts differ",
    ),
}
NOT_AT_REST = {
    "a job that runs": ("SELECT 1", "still runs"),
    "a claim": (
        "UPDATE jobs_job SET state = 'completed', finished_at = now() WHERE state = 'running'",
        "claim is left over",
    ),
    "a cancel request": (
        "INSERT INTO jobs_cancelrequest (job_id, reason) SELECT id, '' FROM jobs_job WHERE state = 'completed'",
        "cancel request is left over",
    ),
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


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.usefixtures("one_of_each")
def test_a_disagreement_is_found(damage: str, sentence: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(damage)
        found = disagreements(cursor)
    assert any(sentence in one for one in found), found


@pytest.mark.parametrize(("damage", "sentence"), NOT_AT_REST.values(), ids=NOT_AT_REST)
@pytest.mark.usefixtures("one_of_each")
def test_what_is_left_over_is_found(damage: str, sentence: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(damage)
        found = disagreements(cursor, at_rest=True)
        assert not any(sentence in one for one in disagreements(cursor))
    assert any(sentence in one for one in found), found
