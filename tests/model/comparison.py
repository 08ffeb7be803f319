"""What every move is compared by: after it PostgreSQL and the model must tell the same.

An example is one transaction that is rolled back. Time is moved by moving what stands in the tables into the past. What
the database stamps with its own clock must lie between its clock before and after the move, and is then adopted by the
model, so that no comparison depends on how fast the machine is.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.model.world import World
from tests.support_consistency import assert_consistent

__all__ = ["SECOND", "Comparison"]

SECOND = 1_000_000
_STATES = """
    SELECT j.id, j.state, j.attempt, j.max_attempts, j.priority, j.worker_id,
           (extract(epoch FROM j.ready_at) * 1000000)::bigint, (extract(epoch FROM s.at) * 1000000)::bigint,
           EXISTS (SELECT FROM jobs_cancelrequest c WHERE c.job_id = j.id)
    FROM jobs_job j LEFT JOIN jobs_scheduled s ON s.job_id = j.id WHERE j.id = ANY(%s)
"""
_HISTORY = """
    SELECT job_id, number, outcome FROM jobs_attempt WHERE job_id = ANY(%s) AND outcome <> 'snoozed' ORDER BY id
"""
_READY = """
    SELECT r.job_id FROM jobs_ready r JOIN jobs_queue q ON q.name = r.queue
    WHERE q.paused_at IS NULL AND r.job_id = ANY(%s) ORDER BY r.rank, r.job_id
"""
_BY = "make_interval(secs => %(us)s / 1000000.0)"
_AGE = f"""
    UPDATE jobs_job SET ready_at = ready_at - {_BY}, scheduled_at = scheduled_at - {_BY};
    UPDATE jobs_scheduled SET at = at - {_BY};
    UPDATE jobs_ready SET rank = rank - %(us)s;
    UPDATE jobs_workerprocess SET heartbeat_at = heartbeat_at - {_BY}
"""


class Comparison(RuleBasedStateMachine):
    """What moves are made on; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        self.world = World()
        self.steps = 0

    def teardown(self) -> None:
        try:
            with connection.cursor() as cursor:
                assert_consistent(cursor)
        finally:
            transaction.set_rollback(True)
            self._atomic.__exit__(None, None, None)

    # -- time ----------------------------------------------------------------------------------------------------------

    def now(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            return int(cursor.fetchone()[0])

    def age(self, seconds: float) -> None:
        """So much time passes for everything that is stored."""
        us = int(seconds * SECOND)
        with connection.cursor() as cursor:
            cursor.execute(_AGE, {"us": us})
        for job in self.world.jobs.values():
            job.ready_at = None if job.ready_at is None else job.ready_at - us
            job.due = None if job.due is None else job.due - us

    # -- comparison ----------------------------------------------------------------------------------------------------

    @invariant()
    def both_agree(self) -> None:
        before, ids = getattr(self, "before", 0), list(self.world.jobs)
        slack = self.now() - before
        with connection.cursor() as cursor:
            cursor.execute(_STATES, [ids])
            found = {row[0]: row for row in cursor.fetchall()}
            assert set(found) == set(ids)
            for job in self.world.jobs.values():
                _, state, attempt, most, priority, worker, ready_at, due, asked = found[job.id]
                said = (state, attempt, most, priority, asked)
                assert said == (job.state, job.attempt, job.max_attempts, job.priority, job.asked_to_stop), (
                    job
                )
                assert state != "running" or worker == job.worker, job
                if state == "available":
                    job.ready_at = self._adopt(job.ready_at, ready_at, slack, job)
                if state in ("scheduled", "retryable"):
                    job.due = self._adopt(job.due, due, slack, job)
            self._same_history(cursor, ids)
            cursor.execute(_READY, [ids])
            assert [row[0] for row in cursor.fetchall()] == [job.id for job in self.world.ready()]
            self.steps += 1
            if self.steps % 10 == 0:
                assert_consistent(cursor)

    def _adopt(self, ours: int | None, theirs: int | None, slack: int, job: Any) -> int:
        assert ours is not None, job
        assert theirs is not None, job
        # A time that a client gave is rounded by the driver at most; one the database took lies within the move.
        assert ours - 1 <= theirs <= ours + slack, (job, theirs - ours, slack)
        return theirs

    def _same_history(self, cursor: Any, ids: list[int]) -> None:
        words = {"retryable": "failed", "dead": "failed"}
        ours = {
            (job.id, number, words.get(end, end))
            for job in self.world.jobs.values()
            for number, end in job.history
            if end != "completed"
        }
        cursor.execute(_HISTORY, [ids])
        rows = cursor.fetchall()
        assert len(rows) == len(set(rows))
        assert set(rows) == ours
