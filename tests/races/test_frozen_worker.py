"""A worker that stops in the middle of a transaction holds rows; its jobs must be rescued all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs.models import Job
from jobs.states import State
from jobs.store import workers
from jobs.store.ending import end_attempts
from jobs.store.values import Transition
from tests.races.harness import Hand, submit_some
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]


@pytest.fixture(autouse=True)
def _impatient(settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "EVENTS": {"DATABASE_SECONDS": 0.5}}


def freeze(one: Hand) -> None:
    """It has told how its job ended, and stops before the commit; then it is declared lost."""
    (job,) = one.claim(submit_some(1))
    one.connection.execute("BEGIN")
    with one.connection.cursor() as cursor:
        end_attempts(cursor, one.worker_id, [Transition(job=job, target=State.COMPLETED)])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_workerprocess SET state = 'lost' WHERE id = %s", [one.worker_id])


def rescue(rescuer: Hand) -> bool:
    try:
        return bool(rescuer.do(workers.rescue_orphans))
    except psycopg.OperationalError:
        return False  # it waited in vain; the loop comes again


def test_the_database_ends_a_transaction_that_stands_still(hand: Hands) -> None:
    frozen, rescuer = hand("frozen"), hand("rescuer")
    freeze(frozen)
    eventually(lambda: rescue(rescuer), timeout=10)
    assert Job.objects.get().state == "available"
    assert_consistent(connection.cursor(), at_rest=True)
    with pytest.raises(psycopg.OperationalError):
        frozen.connection.execute("COMMIT")


def test_without_that_its_jobs_would_be_held_for_ever(hand: Hands) -> None:
    """The negative control: and every rescue with them, which waits in vain but not without an end."""
    frozen, rescuer = hand("frozen"), hand("rescuer")
    frozen.connection.execute("SET idle_in_transaction_session_timeout = 0")
    freeze(frozen)
    assert not any(rescue(rescuer) for _ in range(3))
    assert Job.objects.get().state == "running"
