"""Many operators, many workers, one set of dead letters: each moved once, each action recorded, nobody deadlocks."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs import deadletter_steering as steering
from jobs import deadletters, letter_runs
from jobs.acting import Actor
from jobs.database import in_transaction
from jobs.models import DeadLetter, DeadLetterGroup, DeadLetterRun, DeadLetterTally, Job, OperatorAction
from jobs.states import State
from jobs.store import letters
from jobs.store.values import ClaimedJob, Error, Transition
from tests.races.harness import Hand, dead, submit_some, together
from tests.support_consistency import assert_consistent, disagreements

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]
OPERATORS = 10
LETTERS = 1_000


def give_back(work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        connection.close()


def dead_letters(hand: Hands, count: int) -> list[int]:
    ids = submit_some(count)
    one = hand()
    one.end(*(dead(job) for job in one.claim(ids)))
    return ids


def confirm(name: str, run: DeadLetterRun, **how: Any) -> DeadLetterRun:
    return deadletters.confirm(Actor(name=name), run.pk, digest=run.digest, reason="mended", **how)


def ten_operators(ids: list[int]) -> list[DeadLetterRun]:
    """Each has the same set before them, and all confirm at the same moment."""
    previews = [deadletters.preview(Actor(name=f"o{number}"), "replay", {}) for number in range(OPERATORS)]
    assert {run.total for run in previews} == {len(ids)}
    assert len({run.digest for run in previews}) == 1
    return together(
        *(
            lambda number=number, run=run: give_back(lambda: confirm(f"o{number}", run))
            for number, run in enumerate(previews)
        )
    )


def test_ten_operators_on_the_same_thousand_replay_each_once_and_each_is_recorded(hand: Hands) -> None:
    ids = dead_letters(hand, LETTERS)
    runs = ten_operators(ids)
    assert sum(run.done for run in runs) == LETTERS
    assert all(run.done + run.refused == LETTERS for run in runs)
    replayed = OperatorAction.objects.filter(action="replay", target_type="job").values_list(
        "target_id", flat=True
    )
    assert Counter(map(int, replayed)) == dict.fromkeys(ids, 1)
    actions = OperatorAction.objects.filter(action="replay", target_type="deadletterrun")
    assert sorted(actions.values_list("actor_name", flat=True)) == sorted(run.operator_name for run in runs)
    refused = [
        item for run in runs for item in run.items.filter(state="refused").values_list("reason", flat=True)
    ]
    assert Counter(refused) == {"is available": LETTERS * (OPERATORS - 1)}
    assert not DeadLetter.objects.exists()
    assert set(Job.objects.values_list("state", flat=True)) == {"available"}
    assert_consistent(connection.cursor())


def test_the_negative_control_without_the_lock_letters_are_taken_more_than_once(
    hand: Hands, spoilt: Callable[..., None]
) -> None:
    """The jobs are neither held nor asked for their state: the counts of the runs no longer add up."""
    ids = dead_letters(hand, LETTERS)
    spoilt("lock_dead", whole="SELECT unnest(%(ids)s::bigint[]) AS id ORDER BY 1")
    spoilt(
        "death_times",
        whole="SELECT job_id, died_at FROM jobs_deadletteritem WHERE job_id = ANY(%(ids)s::bigint[])",
    )
    spoilt("replay", " AND j.state = 'dead'", "", "RETURNING j.id", "RETURNING j.id")
    spoilt("insert_ready", "AND j.state = 'available'", "AND j.state = 'available' ON CONFLICT DO NOTHING")
    runs = ten_operators(ids)
    assert sum(run.done for run in runs) > LETTERS


ERRORS = [Error(error_class="E", message="m", fingerprint=f"{number}") for number in range(7)]


class Fray:
    """Workers whose batches die of several errors while operators replay, discard and take back, until each of it has
    happened. Nobody repeats, so that a deadlock between workers would be an error here."""

    def __init__(self, hands: list[Hand]) -> None:
        self.ids = submit_some(300)
        self.hands = hands
        self.told: Counter[str] = Counter()
        self.died: set[str] = set()
        self.turn = threading.Lock()
        self.stop = threading.Event()
        self.until = time.monotonic() + 30.0

    def missing(self) -> list[str]:
        """What has not happened yet."""
        never = [what for what in ("died", "replay", "discard", "undo") if not self.told[what]]
        return never + [one.fingerprint for one in ERRORS if one.fingerprint not in self.died]

    def _tell(self, what: str, number: int) -> None:
        if number:
            with self.turn:
                self.told[what] += number

    def work(self) -> None:
        try:
            together(lambda: self._work(0), lambda: self._work(1))
        finally:
            self.stop.set()

    def _work(self, number: int) -> None:
        rng, one, rounds = random.Random(number), self.hands[number], 0
        while rounds < 25 or (self.missing() and time.monotonic() < self.until):
            self._die(one.claim(rng.sample(self.ids, 60)), one, rng)
            rounds += 1

    def _die(self, jobs: list[ClaimedJob], one: Hand, rng: random.Random) -> None:
        ends = {
            job.id: Transition(job=job, target=State.DEAD, outcome="failed", error=rng.choice(ERRORS))
            for job in jobs
        }
        recorded = one.end(*rng.sample([*ends.values()], len(ends))).recorded
        self.died |= {error.fingerprint for job in recorded if (error := ends[job].error)}
        self._tell("died", len(recorded))

    def operate(self, seed: int) -> None:
        rng, actor = random.Random(seed), Actor(name=f"o{seed}")
        while not self.stop.is_set():
            some = rng.sample(self.ids, 50)
            # Each once for certain: jobs that were all discarded leave nothing to replay or to die.
            action = "replay" if not self.told["replay"] or rng.random() < 0.8 else "discard"
            result = {"replay": deadletters.replay, "discard": deadletters.discard}[action](
                actor, some, reason="r"
            )
            self._tell(action, len(result.done))
            if result.run is not None and (not self.told["undo"] or rng.random() < 0.5):
                self._tell("undo", len(steering.undo(actor, result.run, reason="r").done))

    def fold(self) -> None:
        while not self.stop.is_set():
            with connection.cursor() as cursor:
                letters.fold(cursor)


def test_replays_discards_undos_and_deaths_in_any_order_stay_consistent(hand: Hands) -> None:
    fray = Fray([hand(name) for name in "ab"])
    together(
        fray.work,
        lambda: give_back(lambda: fray.operate(1)),
        lambda: give_back(lambda: fray.operate(2)),
        lambda: give_back(fray.fold),
    )
    assert not fray.missing()
    assert_consistent(connection.cursor())
    with connection.cursor() as cursor:
        letters.fold(cursor)
    assert not DeadLetterTally.objects.exists()
    assert_consistent(connection.cursor())
    assert DeadLetterGroup.objects.count() == len(ERRORS)


def test_the_negative_control_a_letter_that_leaves_untold_is_seen(
    hand: Hands, spoilt: Callable[..., None]
) -> None:
    ids = dead_letters(hand, 3)
    spoilt("replay", "-count(*)", "0")
    deadletters.replay(Actor(), ids[:1], reason="r")
    assert [line for line in disagreements(connection.cursor()) if "is in the group" in line]


def test_workers_whose_jobs_die_of_the_same_error_do_not_wait_for_each_other(hand: Hands) -> None:
    """One has let a batch die and has not committed yet; the other's batch dies of the same error, and goes through."""
    dead_letters(hand, 1)  # the group exists
    first, second = hand("first"), hand("second")
    one, other = submit_some(1), submit_some(1)
    (mine,), (theirs,) = first.claim(one), second.claim(other)
    with first.connection.transaction():
        first.end(dead(mine))
        second.connection.execute("SET lock_timeout = '2s'")
        second.end(dead(theirs))
    assert DeadLetter.objects.count() == 3
    assert_consistent(connection.cursor())


def test_the_negative_control_a_count_in_the_group_makes_them_wait(
    hand: Hands, spoilt: Callable[..., None]
) -> None:
    dead_letters(hand, 1)
    spoilt(
        "insert_deadletters",
        "INSERT INTO jobs_deadlettertally (fingerprint, kind, change, at)\n"
        "SELECT fingerprint, kind, count(*), max(died_at) FROM letter GROUP BY fingerprint, kind",
        "UPDATE jobs_deadlettergroup g SET count = g.count + l.n\n"
        "FROM (SELECT fingerprint, count(*) AS n FROM letter GROUP BY 1) l WHERE l.fingerprint = g.fingerprint",
    )
    first, second = hand("first"), hand("second")
    one, other = submit_some(1), submit_some(1)
    (mine,), (theirs,) = first.claim(one), second.claim(other)
    with first.connection.transaction():
        first.end(dead(mine))
        second.connection.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.end(dead(theirs))


# -- runs that go step by step -----------------------------------------------------------------------------------------


def advance(one: Hand) -> int | None:
    return in_transaction(one.connection, letter_runs.advance_next)


def test_a_run_is_advanced_by_one_worker_at_a_time(hand: Hands) -> None:
    dead_letters(hand, 20)
    run = confirm("o", deadletters.preview(Actor(name="o"), "replay", {}), per_minute=1)
    hands = [hand(f"keeper {number}") for number in range(8)]
    advanced = together(*(lambda one=one: advance(one) for one in hands))
    assert Counter(advanced) == {run.pk: 1, None: 7}
    assert Job.objects.filter(state="available").count() == 1
    assert_consistent(connection.cursor())


def test_a_worker_that_is_killed_while_it_advances_a_run_leaves_it_to_the_next(hand: Hands) -> None:
    dead_letters(hand, 20)
    run = confirm("o", deadletters.preview(Actor(name="o"), "replay", {}), per_minute=600)
    first, second = hand("first"), hand("second")
    first.connection.execute("BEGIN")
    assert letter_runs.advance_next(first.connection.cursor()) == run.pk
    assert advance(second) is None, "it is the first one's turn"
    second.connection.execute("SELECT pg_terminate_backend(%s, 5000)", [first.connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        first.connection.execute("COMMIT")
    assert not Job.objects.filter(state="available").exists()
    assert advance(second) == run.pk
    assert Job.objects.filter(state="available").count() == DeadLetterRun.objects.get().done == 1
    assert_consistent(connection.cursor())
