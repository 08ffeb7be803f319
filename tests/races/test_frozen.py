"""A process frozen in the middle of a transaction keeps its locks, until the server has waited a lease for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs import conf
from jobs.database import in_transaction, open_connection
from jobs.maintenance import Rescuer
from jobs.models import Job
from jobs.store import workers
from jobs.store.claiming import claim
from tests.races.harness import Hand, submit_some
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = 0.5


@pytest.fixture(autouse=True)
def _short_lease(settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "LEASE_SECONDS": LEASE, "HEARTBEAT_SECONDS": 0.1}


@pytest.fixture
def frozen(hand: Callable[..., Hand]) -> psycopg.Cursor[Any]:
    """A worker that was ending the one job it holds and claiming another one, and says nothing more."""
    one = hand("frozen")
    ids = submit_some(2)
    one.claim(ids[:1])
    cursor = one.connection.cursor()
    cursor.execute("BEGIN")
    cursor.execute("UPDATE jobs_job SET result = '1' WHERE id = %s", [ids[0]])
    assert claim(cursor, worker_id=one.worker_id, candidates=ids[1:], limit=1).jobs
    connection.cursor().execute("UPDATE jobs_workerprocess SET state = 'lost' WHERE id = %s", [one.worker_id])
    return cursor


def rescued(hand: Hand) -> bool:
    """One round of a rescuer that waits for nobody longer than a moment."""
    try:
        hand.connection.execute("SET lock_timeout = 100")
        return hand.do(workers.rescue_orphans) > 0
    except psycopg.errors.LockNotAvailable:
        return False


def test_what_a_frozen_worker_holds_is_rescued_after_a_lease(
    frozen: psycopg.Cursor[Any], hand: Callable[..., Hand]
) -> None:
    other = hand("other")
    assert not rescued(other), "its locks are in the way"
    eventually(lambda: rescued(other), timeout=10 * LEASE)
    assert set(Job.objects.values_list("state", flat=True)) == {"available"}, (
        "the other claim was undone as well"
    )
    with pytest.raises(psycopg.Error, match="idle-in-transaction"):
        frozen.execute("COMMIT")
    assert_consistent(connection.cursor())


def test_without_the_limit_it_is_never_rescued(
    frozen: psycopg.Cursor[Any], hand: Callable[..., Hand]
) -> None:
    """The negative control."""
    frozen.execute("SET idle_in_transaction_session_timeout = 0")
    other = hand("other")
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: rescued(other), timeout=4 * LEASE)
    frozen.execute("ROLLBACK")
    assert rescued(other)


@pytest.fixture
def frozen_in_a_pipe(hand: Callable[..., Hand]) -> Iterator[Hand]:
    """As above, with the statements piped as the scheduler's are: to the server the pipe is open, not idle."""
    one = hand("frozen")
    ids = submit_some(1)
    one.claim(ids)
    own = open_connection(workers.session_name(one.worker_id))
    with suppress(psycopg.OperationalError), own.pipeline(), own.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE jobs_job SET result = '1' WHERE id = %s RETURNING id", [ids[0]])
        assert cursor.fetchone() == (ids[0],)
        yield one
    own.close()


def declare_lost(frozen: Hand, other: Hand) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_workerprocess SET heartbeat_at = now() - interval '1 hour' WHERE id = %s",
            [frozen.worker_id],
        )
    assert other.do(lambda cursor: workers.lose(cursor, worker_id=frozen.worker_id, beat=0, lease=LEASE))


def test_the_session_of_a_lost_worker_ends_with_its_locks(
    frozen_in_a_pipe: Hand, hand: Callable[..., Hand]
) -> None:
    other = hand("other")
    declare_lost(frozen_in_a_pipe, other)
    eventually(lambda: rescued(other), timeout=10)
    assert Job.objects.get().state == "available"


def test_otherwise_the_open_pipe_keeps_its_job_for_ever(
    frozen_in_a_pipe: Hand, hand: Callable[..., Hand], spoilt: Callable[..., None]
) -> None:
    """The negative control: the limit of idle transactions does not see it."""
    spoilt("end_sessions", whole="SELECT %(name)s::text")
    other = hand("other")
    declare_lost(frozen_in_a_pipe, other)
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: rescued(other), timeout=4 * LEASE)


def test_to_a_frozen_worker_it_is_a_lost_connection(hand: Callable[..., Hand]) -> None:
    """So that it asks the database what became of its work, as after any other one."""
    one = hand("frozen")

    def too_slow(cursor: psycopg.Cursor[Any]) -> None:
        cursor.execute("SELECT 1")
        eventually(lambda: gone(one.connection.info.backend_pid), timeout=10)
        cursor.execute("SELECT 2")

    with pytest.raises(psycopg.OperationalError, match="idle-in-transaction"):
        in_transaction(one.connection, too_slow)
    assert one.connection.closed


def gone(backend: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [backend])
        return cursor.fetchone() == (0,)


def test_the_loops_beside_the_scheduler_are_limited_too() -> None:
    rescuer = Rescuer(on_death=lambda *_: None)
    (limit,) = rescuer.connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() or ("",)
    rescuer.stop()
    assert limit == f"{conf.get().LEASE_SECONDS * 1000:.0f}ms"
