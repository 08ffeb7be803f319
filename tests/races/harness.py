"""Several connections at once, with real commits: who holds what, and who must wait for whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from django.db import connection

from jobs.database import in_transaction, open_connection
from jobs.states import State
from jobs.store import workers
from jobs.store.claiming import claim, claim_ready
from jobs.store.ending import end_attempts
from jobs.store.values import ClaimedJob, Error, Recorded, Transition
from jobs.submit import JobSpec, submit_many

__all__ = ["KIND", "Hand", "dead", "somebody_waits", "submit_some", "together"]

T = TypeVar("T")
KIND = "workflow.task"


def submit_some(count: int, **options: Any) -> list[int]:
    """Ids of that many new jobs."""
    specs = [
        JobSpec(kind=KIND, payload={"task": f"t{number}", "seconds": 0}, **options) for number in range(count)
    ]
    return [one.id for one in submit_many(specs)]


class Hand:
    """A worker without loops or threads: a connection, an identity, and what it does when told."""

    def __init__(self, name: str = "hand") -> None:
        self.connection = open_connection(f"test {name}")
        self.worker_id: int = in_transaction(
            self.connection,
            lambda cursor: workers.register(
                cursor, name=name, hostname="test", pid=1, queues=[], kinds=[KIND], concurrency=1
            ),
        )

    def do(self, work: Callable[[psycopg.Cursor[Any]], T]) -> T:
        """One transaction, not repeated after a deadlock: a test wants to see it."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            return work(cursor)

    def claim(self, ids: Sequence[int], limit: int | None = None) -> list[ClaimedJob]:
        most = len(ids) if limit is None else limit
        return self.do(
            lambda cursor: claim(cursor, worker_id=self.worker_id, candidates=ids, limit=most).jobs
        )

    def claim_ready(self, limit: int = 100) -> list[ClaimedJob] | None:
        """Everything, unseen; None where more is ready than that."""
        got = self.do(
            lambda cursor: claim_ready(cursor, worker_id=self.worker_id, names=[], kinds=[KIND], limit=limit)
        )
        return None if got is None else got.jobs

    def complete(self, *jobs: ClaimedJob) -> Recorded:
        return self.end(*(Transition(job=job, target=State.COMPLETED) for job in jobs))

    def end(self, *transitions: Transition) -> Recorded:
        return self.do(lambda cursor: end_attempts(cursor, self.worker_id, transitions))

    def declare_lost(self) -> int:
        """As a rescuer does after a lease; the number of jobs it gave back."""
        self.connection.execute(
            "UPDATE jobs_workerprocess SET state = 'lost' WHERE id = %s", [self.worker_id]
        )
        return self.do(workers.rescue_orphans)

    def close(self) -> None:
        self.connection.close()


def dead(job: ClaimedJob) -> Transition:
    return Transition(
        job=job,
        target=State.DEAD,
        outcome="failed",
        error=Error(error_class="Boom", message="boom", fingerprint="f"),
    )


def together(*works: Callable[[], T]) -> list[T]:
    """Run all of them at the same moment, each in a thread; their results, or the first error."""
    barrier = threading.Barrier(len(works))
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(10)
            results[number] = works[number]()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    assert len(results) == len(works), "a thread is still waiting"
    return [results[number] for number in range(len(works))]


def somebody_waits() -> bool:
    """Does anybody wait for a lock?"""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        (count,) = cursor.fetchone()
    return bool(count)
