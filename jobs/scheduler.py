"""The heart of a worker: one loop that records what ended, fires what is due, claims what is ready, and hands it out.

It runs in the worker's main thread and owns the only connection that claims and completes; what is written goes through
`recording`. Nothing is decided in memory: a candidate the database refuses is dropped. All waits end early through the
doorbell, the executor or a signal.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from jobs import conf, schedules
from jobs.database import in_transaction, open_connection
from jobs.executor import Executor
from jobs.prefetch import Prefetch
from jobs.recording import Recorder, Written
from jobs.registry import Registry
from jobs.states import State
from jobs.store.values import ClaimedJob, Recorded, Transition
from jobs.store.workers import session_name
from jobs.taking import Best, Everything
from jobs.window import Window
from notifications.doorbell import ring

__all__ = ["Scheduler", "Tick"]

EVENTS = "opsched_events"
_LATER = {State.RETRYABLE, State.SCHEDULED}
STALE_SECONDS, BUSY_SECONDS = 1.0, 0.25
LOOK_AGAIN, SOON = 0.01, 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one round did."""

    recorded: int = 0
    claimed: int = 0
    promoted: int = 0


class Scheduler:
    """Claims for one worker. `tick()` does one round; `wait_seconds()` says how long it may sleep after it."""

    def __init__(
        self,
        *,
        worker_id: int,
        queues: Sequence[str],
        registry: Registry,
        executor: Executor,
        concurrency: int,
        strict: bool = False,
    ) -> None:
        self.draining = False
        self._settings = conf.get()
        self._recorder = Recorder(worker_id=worker_id, registry=registry, database=self._database)
        self._executor = executor
        self._prefetch = Prefetch(
            concurrency=concurrency,
            seconds=self._settings.PREFETCH_SECONDS,
            limit=2 * self._settings.CLAIM_BATCH,
        )
        self._window = Window(
            queues=queues,
            kinds=registry.names(),
            horizon=3 * self._settings.POLL_SECONDS,
            strict=strict,
        )
        self._connection: psycopg.Connection[Any] | None = None
        self._concurrency = concurrency
        self._polled = self._looked = self._busy_until = self._stale_at = float("-inf")
        self._in_vain = 0  # claims in a row that got nothing
        self._rang = self._unseen = self._look_for_new = self._look_ahead = False

    # -- what the worker calls -----------------------------------------------------------------------------------------

    def bell(self) -> None:
        """Work may have become ready."""
        self._rang = True

    def control(self) -> None:
        """An operator did something: look at everything anew."""
        self._polled = float("-inf")
        schedules.try_again()

    @property
    def worker_id(self) -> int:
        return self._recorder.worker_id

    @property
    def stats(self) -> Counter[str]:
        """Counters since it was registered: ends by state and by queue, what was lost, missed, filled."""
        return self._recorder.stats

    def held(self) -> int:
        return len(self._recorder.held)

    def tick(self) -> Tick:
        """Record, promote, look, claim, hand out. Raises psycopg.OperationalError when the database is away."""
        self._heed_ends(self._recorder.settle(), Recorded())
        self._collect()
        due = [] if self.draining else self._fire()
        if not self.draining:
            self._look(due)
        written = self._write(due)
        self._hand_out(written.jobs)
        self._heed(written)
        if not self.draining:
            self._look_at_timers()
        recorded = len(written.recorded.recorded)
        return Tick(recorded=recorded, claimed=len(written.jobs), promoted=len(written.moved))

    def wait_seconds(self) -> float:
        """How long nothing needs this loop, if nobody wakes it."""
        if self._recorder.unrecorded or (self._rang and not self.draining) or self._executor.has_ended():
            return 0.0
        if self._executor.unstarted() or (len(self._window) and self._room()):
            return SOON
        now = time.monotonic()
        wait = self._polled + self._settings.POLL_SECONDS - now
        if self._room() and self._window.more_in_database:
            # Others took all that was known. Seldom, where they go on holding it.
            wait = min(wait, SOON * 2 ** (min(self._in_vain, 10) - 1))
        if (
            self.draining
        ):  # what is due then is others' concern, and would keep this loop turning, as a bell would
            return max(0.0, wait)
        if now < self._busy_until and not len(self._window):
            wait = min(wait, self._looked + LOOK_AGAIN - now)
        known = [s for s in (self._window.seconds_until_due(), self._window.owed_in()) if s is not None]
        return max(0.0, min([wait, self._window.seconds_until_token(), *known]))

    def give_back(self, jobs: Sequence[ClaimedJob], reason: str) -> None:
        """Jobs that will not run to an end here go back at no cost; recorded by the next tick."""
        self._recorder.give_back(jobs, reason)

    def give_back_all(self, reason: str) -> None:
        """The worker stops now: everything it holds goes back; what still runs is refused by the fence later."""
        self._executor.disown(reason)
        self.give_back(self._recorder.held.jobs(), reason)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def give_up(self) -> None:
        """This worker was declared lost: what it held belongs to others now."""
        self._executor.disown("the worker was declared lost")
        self._recorder.give_up()

    def start_anew(self, worker_id: int) -> None:
        """Go on under a new id, with new counters."""
        self._recorder.start_anew(worker_id)
        self.close()  # the next connection bears the new name

    # -- one round -----------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """What ended since the last round."""
        ended = self._executor.collect()
        self._prefetch.observe(ended=len(ended), busy_seconds=self._executor.busy_seconds())
        self._recorder.note_ends(ended)

    def _fire(self) -> list[int]:
        """Fills the slots that are due; returns the jobs that are."""
        due, has_schedule = self._window.due()
        if has_schedule:
            filled = in_transaction(self._database(), schedules.fill_due)
            self.stats["slots"] += filled
            self._look_ahead = True
            if filled:
                # Whoever lost a slot to another worker hears it from that one.
                self._rang = True
                ring(EVENTS)
                ring("opsched_jobs")
        return due

    def _look(self, due: Sequence[int] = ()) -> None:
        now = time.monotonic()
        # A bell rings at most every 50 ms; while work keeps coming, look more often than that.
        again = now < self._busy_until and now >= self._looked + LOOK_AGAIN and not len(self._window)
        with self._database().cursor() as cursor:
            if now >= self._polled + self._settings.POLL_SECONDS:
                self._window.poll(cursor, self.worker_id)
                self._polled = now
            elif self._too_few() and self._window.more_in_database:
                # A bell says nothing that this does not see, and a quick look would make for small claims.
                self._look_for_new = self._look_for_new or self._rang
                self._window.refill(cursor, self.worker_id, onward=not self._rang)
            elif self._rang or again or self._window.owes_a_look:
                self._look_for_new = self._look_for_new or self._rang
                known = due or len(self._window) or self._window.needs_a_look
                self._unseen = not known and self._free() > 0
                if not self._unseen:
                    self._window.peek(cursor)
            else:
                return
        self._rang, self._looked = False, now

    def _look_at_timers(self) -> None:
        """After the claim, because a job that is ready now should not wait for a look at later ones."""
        with self._database().cursor() as cursor:
            if self._look_ahead:
                self._window.look_ahead(cursor)
            elif self._look_for_new:
                self._window.look_for_new(cursor)
            elif self._window.must_look_onward():
                self._window.look_onward(cursor)
        self._look_ahead = self._look_for_new = False

    def _room(self, leaving: int = 0) -> int:
        """How many more jobs to hold, when so many of those that are held have left."""
        # Where too much was claimed ahead, what goes back makes no room: others would wait in vain in its place.
        return 0 if self.draining else max(0, self._prefetch.capacity() - self._taken() + leaving)

    def _too_few(self) -> bool:
        """Not even half of a claim is known, or nothing of a queue in which more waits. Else a look can wait."""
        room = min(self._settings.CLAIM_BATCH, self._room(self._recorder.unrecorded))
        return 2 * len(self._window) < room or (room > 0 and self._window.ran_dry)

    def _free(self) -> int:
        """Threads for whom nothing is held."""
        return min(self._settings.CLAIM_BATCH, self._concurrency - self._taken() + self._recorder.unrecorded)

    def _taken(self) -> int:
        """Threads that something is held for, or that are still inside a handler whose job belongs to others now."""
        return self.held() + self._executor.disowned()

    def _write(self, due: Sequence[int]) -> Written:
        """One transaction: what ended, what is due, the next claim."""
        unseen, self._unseen = self._unseen and not self.draining, False
        if unseen:
            written = self._recorder.write(take=Everything(self._window, self._free()), alone=True)
            if written.claimed is not None:
                self._window.took_everything(written.jobs)
                return written
            self._heed(written)
            with self._database().cursor() as cursor:
                self._window.peek(cursor)
        # What goes back may be better than all that is known: the next round looks, and then claims.
        going = self._recorder.unrecorded
        room = 0 if self._recorder.gives_back else min(self._settings.CLAIM_BATCH, self._room(going))
        best = Best(self._window, room)
        written = self._recorder.write(due=due, take=best if due or (room and len(self._window)) else None)
        taken = [job.id for job in written.jobs]
        if best.candidates:
            self._in_vain = 0 if taken else self._in_vain + 1
            self.stats["missed"] += self._window.claimed(best.candidates, taken, room, best.busy)
        self._rang = self._rang or best.must_look
        return written

    def _heed(self, written: Written) -> None:
        """Tells those who wait for what was written. After the start of what was claimed, which is urgent."""
        self._heed_ends(written.ended, written.recorded)
        if written.moved and not {job.id for job in written.moved}.issubset(job.id for job in written.jobs):
            ring("opsched_jobs")  # for whoever has room or knows the kinds
        if written.ended or written.moved or written.jobs:
            ring(EVENTS)

    def _heed_ends(self, ended: Sequence[Transition], recorded: Recorded) -> None:
        """Ends that made new work, now or soon."""
        if recorded.released or {t.target for t in ended} & _LATER:
            self._rang = True
        if recorded.released:
            ring("opsched_jobs")

    def _hand_out(self, claimed: list[ClaimedJob]) -> None:
        if claimed:
            self._busy_until = time.monotonic() + BUSY_SECONDS
            self._executor.put(claimed)
        self._return_stale()

    def _return_stale(self) -> None:
        """A job claimed ahead that no thread began within a second goes back: another worker may have room."""
        now = time.monotonic()
        # Not each round: the oldest may be one that runs for hours, and taking back stirs everything that waits.
        if now < self._stale_at or not self._executor.unstarted():
            return
        self._stale_at = now + STALE_SECONDS / 4
        stale, fresh = self._recorder.held.by_age(self._executor.take_back(), now - STALE_SECONDS)
        self._executor.put(fresh)
        if stale:
            self.give_back(stale, "claimed ahead, but no thread became free")
            self._prefetch.too_far()

    # -- the database --------------------------------------------------------------------------------------------------

    def _database(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = open_connection(session_name(self.worker_id))
            self._polled = float("-inf")
        return self._connection
