"""What ended, until the database has confirmed it; and the next claim, in the same transaction.

Knows what this worker holds. Nothing is assumed: an outcome the fence refuses is counted as lost, and after a commit
whose outcome is unknown the database is asked before anything else is written. Must not decide which jobs to claim.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import psycopg

from jobs import conf
from jobs.completion import backoff_from, decide
from jobs.database import in_transaction
from jobs.executor import Ended
from jobs.holdings import Holdings
from jobs.outcomes import DONE, GiveBack, Outcome
from jobs.reconciling import PATIENCE, reconcile, until_ended
from jobs.registry import Registry
from jobs.states import State
from jobs.store.claiming import drop_claims
from jobs.store.ending import end_attempts
from jobs.store.moving import promote
from jobs.store.statements import Cursor
from jobs.store.values import Claimed, ClaimedJob, Moved, Recorded, Transition, merge
from jobs.store.workers import end_sessions, session_name

__all__ = ["Recorder", "Take", "Written"]

_queue = attrgetter("job.queue")
NOTHING = Claimed(claim_id=None, jobs=[])
Take = Callable[[Cursor, int, Sequence[Moved]], Claimed | None]
"""The claim of one round (`jobs/taking.py`): cursor, worker, what was promoted just before. None: look first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one transaction did: the claim, the ends that were written and what became of them, what was promoted."""

    claimed: Claimed | None = NOTHING
    ended: Sequence[Transition] = ()
    recorded: Recorded = field(default_factory=Recorded)
    moved: Sequence[Moved] = ()

    @property
    def jobs(self) -> list[ClaimedJob]:
        return [] if self.claimed is None else self.claimed.jobs


class Recorder:
    """The writes of one worker. `database` gives the scheduler's connection, made anew where it broke."""

    def __init__(
        self, *, worker_id: int, registry: Registry, database: Callable[[], psycopg.Connection[Any]]
    ) -> None:
        self.worker_id = worker_id
        self.held = Holdings()
        self.stats: Counter[str] = Counter()
        self._registry = registry
        self._database = database
        self._max_result = conf.get().MAX_RESULT_BYTES
        self._rng = random.Random()  # noqa: S311 - jitter, no secret
        self._unrecorded: list[Transition] = []
        self._uncertain = False
        self._gives_back = False

    @property
    def unrecorded(self) -> int:
        """How many ends the next round will write."""
        return len(self._unrecorded)

    @property
    def gives_back(self) -> bool:
        """The next round gives jobs back: they may go before all that was looked at."""
        return self._gives_back and bool(self._unrecorded)  # `settle` may have found them recorded

    def note_ends(self, ended: Sequence[Ended]) -> None:
        """What handlers answered, decided; the next `write` does.

        A job ends once: one that goes back already stays so, whatever its handler says in the last moment. Two
        transitions of one job in a batch would each leave their narrow row.
        """
        going = {transition.job.id for transition in self._unrecorded}
        completed, held = State.COMPLETED, self.held
        self._unrecorded += [
            Transition(job, completed) if outcome is DONE else self._decide(job, outcome)
            for job, outcome in ended
            if job in held and job.id not in going
        ]

    def give_back(self, jobs: Sequence[ClaimedJob], reason: str) -> None:
        """Jobs that will not run to an end here go back at no cost; recorded by the next round."""
        self.note_ends([(job, GiveBack(reason)) for job in jobs])

    def write(self, *, due: Sequence[int] = (), take: Take | None = None, alone: bool = False) -> Written:
        """What ended, the promotion of what is due, and the next claim: all of it or nothing.

        `take` claims; it is told what was promoted, and called again where the transaction is repeated. `alone`: it is
        one statement. Raises psycopg.OperationalError when the database is away; then `settle` comes first.
        """
        transitions = self._unrecorded
        if not transitions and not due and take is None:
            return Written()

        def work(cursor: psycopg.Cursor[Any]) -> tuple[Recorded, list[Moved], Claimed | None]:
            recorded = self._end(cursor, transitions) if transitions else Recorded()
            drop_claims(cursor, self.held.finished_claims(transitions))
            moved = promote(cursor, due) if due else []
            return recorded, moved, NOTHING if take is None else take(cursor, self.worker_id, moved)

        single = alone and not transitions and not due
        try:
            recorded, moved, claimed = in_transaction(self._database(), work, piped=True, alone=single)
        except psycopg.OperationalError:
            self._uncertain = True
            raise
        self._confirm(transitions, recorded)
        self._unrecorded, self._gives_back = [], False
        if claimed is not None:
            self.held.add(claimed.jobs, time.monotonic())
        return Written(claimed=claimed, ended=transitions, recorded=recorded, moved=moved)

    def _end(self, cursor: psycopg.Cursor[Any], transitions: Sequence[Transition]) -> Recorded:
        """Write what is not written yet: the end of an atomic handler stands already, or was refused there."""
        unwritten = [t for t in transitions if t.settled is None]
        recorded = end_attempts(cursor, self.worker_id, unwritten) if unwritten else Recorded()
        if len(unwritten) < len(transitions):
            recorded = merge([recorded, *(t.settled for t in transitions if t.settled is not None)])
        return recorded

    def settle(self) -> list[Transition]:
        """After a commit whose outcome is unknown: drop what was recorded after all, give back what was claimed.

        Returns the ends that had been recorded; without such a commit none.
        """
        if not self._uncertain:
            return []
        with self._database().cursor() as cursor:
            # A claim that commits after the question was asked would run for ever.
            name = session_name(self.worker_id)
            until_ended(lambda: end_sessions(cursor, name), patience=PATIENCE)
            found = reconcile(
                cursor,
                worker_id=self.worker_id,
                # What an atomic handler wrote is known; it waits here only for its claim to be dropped.
                unconfirmed=[t for t in self._unrecorded if t.settled is None],
                known_claims=self.held.claims(),
            )
        self._confirm(found.recorded, Recorded(recorded=[t.job.id for t in found.recorded]))
        self._unrecorded = [*found.waiting, *(t for t in self._unrecorded if t.settled is not None)]
        self.held.add(found.claimed, time.monotonic())
        self.give_back(found.claimed, "the answer to the claim was lost")
        self._uncertain = False
        return found.recorded

    def give_up(self) -> None:
        """This worker was declared lost: what it held belongs to others now, and is counted like a refused write."""
        self.stats["lost"] += len(self.held)
        self.held.clear()
        self._unrecorded, self._gives_back = [], False

    def start_anew(self, worker_id: int) -> None:
        """The counters begin anew with the id: those of the old one stay in its row."""
        self.stats.clear()
        self.worker_id = worker_id

    def _confirm(self, transitions: Sequence[Transition], recorded: Recorded) -> None:
        """The commit is certain: forget what ended."""
        self.held.forget(transitions)
        if lost := set(recorded.lost):
            self._count("lost", [t for t in transitions if t.job.id in lost])
            transitions = [t for t in transitions if t.job.id not in lost]
        for target in {t.target for t in transitions}:
            self._count(target.value, [t for t in transitions if t.target is target])

    def _count(self, ended: str, transitions: Sequence[Transition]) -> None:
        for queue, count in Counter(map(_queue, transitions)).items():
            self.stats[ended] += count
            self.stats[f"{ended}:{queue}"] += count  # rates of the operations page

    def _decide(self, job: ClaimedJob, outcome: Outcome) -> Transition:
        self._gives_back = self._gives_back or isinstance(outcome, GiveBack)
        return decide(
            job,
            outcome,
            backoff=lambda: backoff_from(job.options, self._registry.get(job.kind).backoff),
            max_result=self._max_result,
            rng=self._rng,
            policies=lambda: self._registry.get(job.kind).retry,
        )
