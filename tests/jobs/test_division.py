"""Several workers on one backlog: each leaves the others their part, and nobody's part stays lying."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import jobs
from jobs import JobSpec
from jobs import division as module
from jobs.database import django_cursor
from jobs.division import BLOCK, CLAIM_AT_LEAST, LASTS, PARTS_AT_MOST, Division
from jobs.lines import CLOSE_US
from jobs.models import Ready, WorkerProcess
from jobs.store import workers
from jobs.store.claiming import claim
from jobs.window import Window
from tests.jobs import kinds  # noqa: F401 - registers the kinds

ROOM = 100


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def cursor(db: None) -> Iterator[Any]:
    with django_cursor() as one:
        yield one


def make_worker(*, queues: list[str] | None = None, kind: str = "test.echo", state: str = "live") -> int:
    with django_cursor() as cursor:
        worker = workers.register(
            cursor, name="test", hostname="test", pid=1, queues=queues or [], kinds=[kind], concurrency=8
        )
    WorkerProcess.objects.filter(pk=worker).update(state=state)
    return worker


def contended(cursor: Any, **served: Any) -> Division:
    division = Division(**{"queues": [], "kinds": ["test.echo"]} | served)
    division.note(missed=ROOM, got=ROOM)
    division.look(cursor)
    return division


def test_two_workers_ask_for_no_job_twice(cursor: Any, clock: Clock) -> None:
    first, second = make_worker(), make_worker()
    candidates = list(range(5_000, 6_000))
    own, left = contended(cursor).mine(first, candidates, 400, more=True)
    its, its_left = contended(cursor).mine(second, candidates, 400, more=True)
    assert len(own) == len(its) == 400
    assert not set(own) & set(its)
    assert own == sorted(own), "its own in the order of the candidates"
    assert set(left) < set(candidates) - set(own)
    assert max(left) < max(own), (
        "what stands behind the last of its own is not passed over, it was not its turn"
    )
    assert not set(left) & set(its_left)


def test_who_finds_too_little_of_its_own_takes_the_rest_only_where_nothing_is_behind_it(
    cursor: Any, clock: Clock
) -> None:
    first, _ = make_worker(), make_worker()
    own, others = list(range(2 * BLOCK, 2 * BLOCK + 10)), list(range(BLOCK, 2 * BLOCK))
    division = contended(cursor)
    assert division.mine(first, [*others, *own], ROOM, more=True) == (own, others)
    assert division.mine(first, [*others, *own], ROOM, more=False) == ([*own, *others], [])
    assert division.mine(first, others, ROOM, more=True) == (others, []), "nothing of its own"


def test_nothing_is_divided_without_misses_alone_or_for_small_claims(cursor: Any, clock: Clock) -> None:
    first = make_worker()
    assert contended(cursor).parts(first, ROOM) == 1, "nobody else"
    make_worker()
    assert contended(cursor).parts(first, ROOM) == 2
    assert contended(cursor).parts(first, CLAIM_AT_LEAST - 1) == 1, "few at a time are long ones"
    calm = Division(queues=[], kinds=["test.echo"])
    calm.note(missed=ROOM // 4, got=ROOM)
    calm.note(missed=10, got=0)
    calm.look(cursor)
    assert calm.parts(first, ROOM) == 1


def test_a_division_ends_by_itself(cursor: Any, clock: Clock) -> None:
    first, _ = make_worker(), make_worker()
    division = contended(cursor)
    clock.now += LASTS - 0.01
    assert division.parts(first, ROOM) == 2
    clock.now += 0.02
    assert division.parts(first, ROOM) == 1


def test_only_those_count_that_take_from_the_same_lanes(cursor: Any, clock: Clock) -> None:
    first = make_worker()
    make_worker(kind="other.kind")
    make_worker(queues=["elsewhere"])
    make_worker(state="lost")
    assert contended(cursor, queues=["here"]).parts(first, ROOM) == 1
    assert contended(cursor).parts(first, ROOM) == 2, "whoever serves all queues meets the one of elsewhere"
    assert contended(cursor).parts(4_000_000, ROOM) == 1, "a worker that is not among them, having been lost"


def test_no_more_parts_than_the_cache_has_room_for(cursor: Any, clock: Clock) -> None:
    several = [make_worker() for _ in range(PARTS_AT_MOST + 2)]
    division = contended(cursor)
    assert division.parts(several[-1], ROOM) == PARTS_AT_MOST
    taken = [
        set(division.mine(worker, range(4_000), ROOM, more=True)[0]) for worker in several[:PARTS_AT_MOST]
    ]
    assert len(set().union(*taken)) == PARTS_AT_MOST * ROOM


def drained(cursor: Any) -> float:
    """Two workers take turns at a backlog; how many they missed for each they claimed."""
    count = 12_000
    for _ in range(2):
        jobs.submit_many([JobSpec(kind="test.echo")] * (count // 2))
    two = [make_worker(), make_worker()]
    windows = [Window(queues=["test"], kinds=["test.echo"], horizon=3.0) for _ in two]
    for window in windows:
        window.poll(cursor)
    claimed = missed = 0
    for _ in range(100):
        for window, worker in zip(windows, two, strict=True):
            if len(window) < 500 and window.more_in_database:
                window.refill(cursor)
            candidates = window.candidates(500, worker)
            got = [job.id for job in claim(cursor, worker_id=worker, candidates=candidates, limit=500).jobs]
            missed += window.claimed(candidates, got, 500)
            claimed += len(got)
        if claimed == count:
            break
    assert claimed == count
    return missed / claimed


def test_two_workers_drain_a_backlog_and_seldom_meet(cursor: Any) -> None:
    assert drained(cursor) < 0.3


def test_strict_order_is_not_divided(cursor: Any) -> None:
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo")] * 300)]
    mine, _ = make_worker(), make_worker()
    for strict in (True, False):
        window = Window(queues=["test"], kinds=["test.echo"], horizon=3.0, strict=strict)
        window._lines._division.note(missed=ROOM, got=ROOM)
        window.poll(cursor)
        # A hundred in a row are of two blocks, of which one is the other worker's.
        assert (window.candidates(ROOM, mine) == ids[:ROOM]) is strict


def test_jobs_of_different_times_or_priorities_are_not_divided(cursor: Any) -> None:
    mine, _ = make_worker(), make_worker()
    window = Window(queues=["test"], kinds=["test.echo"], horizon=3.0)
    lines = window._lines
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo")] * 300)]
    Ready.objects.filter(job__in=ids).update(rank=5_000_000)
    for rank, divided in ((5_000_000 + CLOSE_US, True), (5_000_001 + CLOSE_US, False)):
        Ready.objects.filter(job=ids[-1]).update(rank=rank)
        lines._division.note(missed=ROOM, got=ROOM)
        window.poll(cursor)
        # So many that all 300 are looked at.
        assert (window.candidates(200, mine) != ids[:200]) is divided


def test_in_several_queues_each_has_ranks_of_its_own(cursor: Any) -> None:
    mine, _ = make_worker(), make_worker()
    window = Window(queues=[], kinds=["test.echo"], horizon=3.0)
    ids: list[int] = []
    for queue, rank in (("test", 5_000_000), ("other", 90_000_000)):
        ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo", queue=queue)] * 200)]
        Ready.objects.filter(job__in=ids).update(rank=rank)
    window._lines._division.note(missed=ROOM, got=ROOM)
    window.poll(cursor)
    assert len({job // BLOCK % 2 for job in window.candidates(150, mine)}) == 1
    Ready.objects.filter(job=ids[0]).update(rank=1)
    window.poll(cursor)
    assert len({job // BLOCK % 2 for job in window.candidates(150, mine)}) == 2


def test_undivided_they_are_seen_to_miss_as_many_as_they_claim(
    cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Division, "parts", lambda *_: 1)
    assert drained(cursor) > 0.6


def test_what_the_others_leave_lying_is_taken_by_whoever_is_left(cursor: Any) -> None:
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo")] * 3_000)]
    mine, _ = make_worker(), make_worker()
    window = Window(queues=["test"], kinds=["test.echo"], horizon=3.0)
    window._lines._division.note(missed=ROOM, got=ROOM)
    window.poll(cursor)
    taken: list[int] = []
    began = time.monotonic()
    while len(taken) < len(ids) and time.monotonic() - began < 10:
        window._lines._division.note(missed=ROOM, got=ROOM)  # as if the other still took some
        if len(window) < ROOM and window.more_in_database:
            window.refill(cursor)
        candidates = window.candidates(ROOM, mine)
        got = [job.id for job in claim(cursor, worker_id=mine, candidates=candidates, limit=ROOM).jobs]
        window.claimed(candidates, got, ROOM)
        taken += got
    assert sorted(taken) == ids
    places = {job: place for place, job in enumerate(taken)}
    most = max(places[job] - place for place, job in enumerate(ids))
    assert most < 2_000 + 2 * ROOM, "passed over by a cache at most"
    assert most > ROOM, "some were left lying at first"
