"""The loops beside the scheduler: heartbeat, rescue, and what running handlers report.

Each has its own connection, so that a slow statement of one never delays the heartbeat. Here a worker is declared lost
(one whose process was reaped: `jobs/seat.py`) only after the watcher itself, on its own monotonic clock and an unbroken
connection, saw its beat stand still for a whole lease: neither a stepped clock nor a restart of the database makes a
live worker look dead.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from jobs import conf
from jobs.context import Report
from jobs.database import in_transaction
from jobs.executor import Executor
from jobs.loop import DATABASE_AWAY, Loop
from jobs.reconciling import until_ended
from jobs.running.reports import is_line
from jobs.states import State
from jobs.store import limiting, moving, workers
from jobs.store.statements import execute, rows
from jobs.store.telling import Mark, were_written, write_lines, write_progress
from notifications.doorbell import ring

__all__ = ["Heartbeat", "Reporter", "Rescuer"]

SHARE_OF_A_GAP = 0.5
Died = Callable[[str, BaseException], None]


class Heartbeat(Loop):
    """Says every second that this worker lives, and hears which running jobs somebody wants to cancel."""

    def __init__(
        self,
        *,
        worker_id: Callable[[], int],
        executor: Executor,
        stats: Callable[[], dict[str, Any]],
        draining: Callable[[], bool],
        on_lost: Callable[[int], None],
        on_death: Died,
    ) -> None:
        super().__init__(name="heartbeat", interval=conf.get().HEARTBEAT_SECONDS, on_death=on_death)
        self._worker_id = worker_id
        self._executor = executor
        self._stats = stats
        self._draining = draining
        self._on_lost = on_lost

    def tick(self) -> int:
        worker_id, stats = self._worker_id(), self._stats()
        still = self._executor.disowned()
        with self.connection.cursor() as cursor:
            if not workers.heartbeat(
                cursor, worker_id, draining=self._draining(), stats=stats, lost_running=still
            ):
                self._on_lost(worker_id)
                return 0
            running = list(self._executor.running())
            asked = rows(cursor, "cancel_requests", {"ids": running}) if running else []
        for job_id, reason in asked:
            self._executor.request_cancel(job_id, reason)
        return 1 + len(asked)


class Rescuer(Loop):
    """Watches the beats of all workers and gives back what the lost ones held."""

    def __init__(self, *, on_death: Died, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name="rescue", interval=conf.get().HEARTBEAT_SECONDS, on_death=on_death)
        self._lease = conf.get().LEASE_SECONDS
        self._clock = clock
        self._looked = float("-inf")
        self._seen: dict[int, tuple[int, float]] = {}

    def connected_anew(self) -> None:
        # The others may have been cut off as well, so their beats are watched from the beginning again.
        self._seen.clear()

    def tick(self) -> int:
        connection = self.connection
        with connection.cursor() as cursor:
            beats = workers.living(cursor)
        for worker_id in self._still(beats):
            lose = partial(workers.lose, worker_id=worker_id, beat=beats[worker_id], lease=self._lease)
            in_transaction(connection, lose)
        rescued = in_transaction(
            connection, partial(workers.rescue_orphans, max_losses=conf.get().MAX_LOSSES)
        )
        cancelled = in_transaction(connection, _answer_stale_requests)
        freed = in_transaction(connection, limiting.tidy)
        if rescued or freed:
            ring("opsched_jobs")
        if rescued or cancelled:
            ring("opsched_events")
        return rescued

    def _still(self, beats: dict[int, int]) -> list[int]:
        """Workers whose beat has not moved for a lease while this loop was watching.

        If much time lies between two looks, this loop was held up, by a machine that stood still or a database that
        did not answer, and so may have been everybody's heartbeat: such a gap counts for half a lease at most.
        """
        now = self._clock()
        watched = min(now - self._looked, SHARE_OF_A_GAP * self._lease)
        self._looked = now
        before = self._seen
        self._seen = {
            worker: (beat, before[worker][1] + watched)
            if worker in before and before[worker][0] == beat
            else (beat, 0.0)
            for worker, beat in beats.items()
        }
        return [worker for worker, (_, still) in self._seen.items() if still >= self._lease]


def _answer_stale_requests(cursor: Any) -> int:
    """Jobs that were to be cancelled while running, but failed or were rescued first: cancelled now.

    One that runs again by now keeps its request: its new worker hears of it.
    """
    stale = rows(cursor, "stale_cancel_requests", {})
    if not stale:
        return 0
    for job_id, reason in stale:
        moving.close(cursor, [job_id], State.CANCELLED, reason=reason)
    execute(cursor, "drop_answered_requests", {"ids": [job_id for job_id, _ in stale]})
    return len(stale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is written at once. `marks`: of its lines, where they were written and nobody heard of the commit."""

    told: list[Report]
    dropped: Counter[int]
    marks: Sequence[Mark] = ()


class Reporter(Loop):
    """Writes log lines and progress of running jobs, in batches, four times a second; each line once.

    A batch whose commit nobody heard of is set aside and asked about first, or lines would change their places:

    - the old session is still at it: it is ended; while that takes longer than a moment, the batch waits. Nothing can
      commit after the question then.
    - the commit happened: the lines stand under the ids they were given, and the batch is done.
    - it did not, or the server lost it in a crash, a failover or a restore: they do not stand there, whatever became of
      their ids and of the transaction's since. The batch is written again.
    - the lines were trimmed or deleted meanwhile: see `were_written`.

    The question and the writing are one transaction, so that a standby, which may not have heard of the commit yet,
    has no say: it refuses to write, and the batch is asked about again. A batch without lines has nothing to be asked
    about; it is progress, which may be written twice.
    """

    def __init__(self, *, executor: Executor, on_death: Died) -> None:
        super().__init__(name="report", interval=0.25, on_death=on_death)
        # Of no other process: what is in doubt is settled by ending all sessions of this name.
        self.session = f"{self.session} {secrets.token_hex(4)}"
        self._executor = executor
        self._keep = conf.get().MAX_LOG_LINES
        self._doubtful: Batch | None = None

    def tick(self) -> int:
        done = self._write(self._doubtful) if self._doubtful is not None else 0
        batch = Batch(told=self._executor.reports(), dropped=self._executor.unsaid())
        return done + (self._write(batch) if batch.told or batch.dropped else 0)

    def _write(self, batch: Batch) -> int:
        lines = [report for report in batch.told if is_line(report)]
        words = {report[0]: report for report in batch.told if not is_line(report)}
        marks = batch.marks

        def write(cursor: Any) -> None:
            nonlocal marks
            if batch.marks and were_written(cursor, batch.marks, keep=self._keep):
                return
            marks = write_lines(cursor, lines, keep=self._keep, unsent=batch.dropped)
            write_progress(cursor, words)

        try:
            if batch.marks:
                self._end_old_session()
            in_transaction(self.connection, write)
        except DATABASE_AWAY:
            if marks:
                self._doubtful = replace(batch, marks=marks)
            else:
                # For long, perhaps: as much is kept as there is room for, the newest.
                self._executor.keep_reports(batch.told, batch.dropped)
            raise
        self._doubtful = None
        ring("opsched_events")
        return len(batch.told)

    def _end_old_session(self) -> None:
        with self.connection.cursor() as cursor:
            until_ended(lambda: workers.end_sessions(cursor, self.session))

    def stop(self, timeout: float = 5.0) -> None:
        """Ends the loop, then writes what was said in the last moment: a job that drained was telling how it ended."""
        super().stop(timeout)
        if self._thread is not None and self._thread.is_alive():
            return
        with contextlib.suppress(*DATABASE_AWAY):
            self.tick()
        super().stop(timeout)
