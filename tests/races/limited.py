"""A queue with limits, and eight workers that claim from it and die."""

from __future__ import annotations

import random
import threading
import time

from jobs.database import in_transaction
from jobs.states import State
from jobs.store import workers
from jobs.store.claiming import claim
from jobs.store.values import Claimed, ClaimedJob, Transition
from tests.races.harness import Hand, dead, together

QUEUE = "narrow"


def take(hand: Hand, ids: list[int], limit: int | None = None) -> Claimed:
    """A claim that knows these jobs as limited."""
    limited = dict.fromkeys(ids, QUEUE)
    most = len(ids) if limit is None else limit
    return hand.do(
        lambda cursor: claim(cursor, worker_id=hand.worker_id, candidates=ids, limit=most, limited=limited)
    )


def running(hand: Hand, key: str = "") -> int:
    found = hand.connection.execute(
        "SELECT count(*) FROM jobs_job WHERE state = 'running' AND queue = %s"
        " AND (%s = '' OR options ->> 'concurrency_key' = %s)",
        [QUEUE, key, key],
    ).fetchone()
    assert found is not None
    return int(found[0])


def waiting(hand: Hand) -> list[int]:
    found = hand.connection.execute("SELECT job_id FROM jobs_ready ORDER BY rank, job_id").fetchall()
    return [row[0] for row in found]


def ends(rng: random.Random, job: ClaimedJob) -> Transition:
    ways = (
        Transition(job=job, target=State.COMPLETED),
        Transition(job=job, target=State.AVAILABLE, refund=True),
        Transition(job=job, target=State.CANCELLED, outcome="cancelled"),
        dead(job),
    )
    return rng.choices(ways, (6, 2, 1, 1))[0]


class Storm:
    """Eight hands that claim, end and die until nothing waits; each looks what runs after each of its steps."""

    def __init__(self, hands: list[Hand], keys: dict[str, int], most: int) -> None:
        self.hands = hands
        self.keys = keys
        self.most = most
        self.seen: dict[str, int] = dict.fromkeys(["", *keys], 0)
        self.turn = threading.Lock()
        self.given_back = 0  # by those who died
        self.until = time.monotonic() + 25.0

    def blow(self) -> None:
        together(
            *(lambda n=n, hand=hand: self._work(random.Random(n), hand) for n, hand in enumerate(self.hands))
        )

    def _work(self, rng: random.Random, hand: Hand) -> None:
        held: list[ClaimedJob] = []
        while time.monotonic() < self.until and (held or waiting(hand)):
            ids = waiting(hand)[:40]
            if ids:
                held += take(hand, ids, limit=rng.randint(1, 6)).jobs
            self._look(hand)
            # The first who holds anything dies for certain.
            if held and (not self.given_back or rng.random() < 0.1):
                held = self._die(hand)
            ending, held = held[:2], held[2:]
            if ending:
                hand.end(*(ends(rng, job) for job in ending))

    def _die(self, hand: Hand) -> list[ClaimedJob]:
        """What it held is given back by a rescuer, and it begins anew."""
        given_back = hand.declare_lost()
        with self.turn:
            self.given_back += given_back
        hand.worker_id = in_transaction(
            hand.connection,
            lambda cursor: workers.register(
                cursor, name="again", hostname="test", pid=1, queues=[], kinds=[], concurrency=1
            ),
        )
        return []

    def _look(self, hand: Hand) -> None:
        for key in self.seen:
            number = running(hand, key)
            with self.turn:
                self.seen[key] = max(self.seen[key], number)

    def assert_kept(self) -> None:
        assert self.seen[""] == self.most, "never more, and the limit is used"
        assert self.given_back, "somebody died"
        assert all(self.seen[key] <= most for key, most in self.keys.items())
