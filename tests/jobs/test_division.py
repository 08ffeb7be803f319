"""Several workers on one backlog: each leaves the others their part, and nobody's part stays lying."""

from __future__ import annotations

from typing import Any

import pytest

import jobs
from jobs import JobSpec
from jobs import division as module
from jobs.division import CLAIM_AT_LEAST, LASTS, PARTS_AT_MOST, WHOLE, Division, Part
from jobs.store.claiming import claim
from jobs.window import Window
from tests.jobs.dividing import BLOCK, KINDS, ROOM, SERVED, Clock, make_worker, part, submitted


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def contended(**served: Any) -> Division:
    division = Division(**{"queues": SERVED, "kinds": KINDS} | served)
    division.note(missed=ROOM, got=ROOM)
    return division


def test_each_of_several_workers_has_a_part_of_its_own(cursor: Any, clock: Clock) -> None:
    two = [make_worker(), make_worker()]
    assert [contended().part(cursor, worker) for worker in two] == [Part(0, 2), Part(1, 2)]


def test_nothing_is_divided_without_misses_or_for_small_claims(cursor: Any, clock: Clock) -> None:
    first, _ = make_worker(), make_worker()
    calm = Division(queues=SERVED, kinds=KINDS)
    calm.note(missed=ROOM // 4, got=ROOM)
    calm.note(missed=CLAIM_AT_LEAST - 1, got=0)
    assert not calm.wanted
    assert calm.part(cursor, first) is WHOLE
    calm.note(missed=CLAIM_AT_LEAST, got=0)
    assert calm.wanted
    assert calm.part(cursor, first) == Part(0, 2)


def test_who_is_alone_does_not_ask_again_at_each_miss(cursor: Any, clock: Clock) -> None:
    alone = contended()
    first = make_worker()
    assert alone.part(cursor, first) is WHOLE
    alone.note(missed=ROOM, got=ROOM)
    assert not alone.wanted
    make_worker()
    clock.now += LASTS + 0.01
    alone.note(missed=ROOM, got=ROOM)
    assert alone.part(cursor, first) == Part(0, 2)


def test_a_division_ends_a_second_after_the_last_misses(cursor: Any, clock: Clock) -> None:
    first, _ = make_worker(), make_worker()
    division = contended()
    clock.now += LASTS - 0.01
    assert division.part(cursor, first) == Part(0, 2)
    clock.now += 0.02
    assert division.part(cursor, first) is WHOLE


def test_it_goes_on_while_what_is_in_front_goes(cursor: Any, clock: Clock) -> None:
    first, _ = make_worker(), make_worker()
    division = contended()
    for front in ({1, 50}, {2, 51}, {3, 52}):
        clock.now += LASTS - 0.01
        assert division.part(cursor, first) == Part(0, 2)
        division.saw(front)
    clock.now += LASTS - 0.01
    division.saw({4, 52})
    clock.now += 0.02
    assert division.part(cursor, first) is WHOLE, "job 52 is in the part of somebody who does not take it"


def test_only_those_count_that_take_from_the_same_lanes(cursor: Any, clock: Clock) -> None:
    first = make_worker()
    make_worker(kinds=["other.kind"])
    make_worker(queues=["elsewhere"])
    make_worker(state="lost")
    assert contended().part(cursor, first) is WHOLE
    second = make_worker()
    assert contended().part(cursor, first) == Part(0, 2)
    assert contended().part(cursor, second) == Part(1, 2)
    assert contended().part(cursor, 4_000_000) is WHOLE, "a worker that is not among them, having been lost"


@pytest.mark.parametrize(
    "other",
    [
        {"queues": []},
        {"queues": ["test", "more"]},
        {"kinds": ["test.echo", "more"]},
        {"queues": ["test", "more"], "kinds": ["more", "test.echo"]},
    ],
)
def test_workers_that_share_some_lanes_leave_no_block_to_nobody(
    cursor: Any, clock: Clock, other: dict[str, list[str]]
) -> None:
    """Each of two groups looks for all there is."""
    mine = [make_worker(), make_worker()]
    lanes = {"queues": SERVED, "kinds": KINDS} | other
    theirs = [make_worker(queues=lanes["queues"], kinds=lanes["kinds"]) for _ in range(3)]
    assert [contended().part(cursor, worker) for worker in mine] == [Part(0, 2), Part(1, 2)]
    served = {
        name: list(reversed(names)) for name, names in other.items()
    }  # in whatever order they were named
    assert [contended(**served).part(cursor, worker) for worker in theirs] == [Part(n, 3) for n in range(3)]


def test_of_very_many_workers_some_share_a_part(cursor: Any, clock: Clock) -> None:
    several = [make_worker() for _ in range(PARTS_AT_MOST + 2)]
    places = [contended().part(cursor, worker).place for worker in several]
    assert places == [*range(PARTS_AT_MOST), 0, 1]


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
                window.refill(cursor, worker)
            candidates = window.candidates(500)
            got = [job.id for job in claim(cursor, worker_id=worker, candidates=candidates, limit=500).jobs]
            missed += window.claimed(candidates, got, 500)
            claimed += len(got)
        if claimed == count:
            break
    assert claimed == count
    return missed / claimed


def test_two_workers_drain_a_backlog_and_seldom_meet(cursor: Any) -> None:
    assert drained(cursor) < 0.3


def test_after_misses_what_is_left_of_the_heads_is_not_asked_for(cursor: Any) -> None:
    ids = submitted(1_000)
    first, _ = make_worker(), make_worker()
    window = Window(queues=["test"], kinds=["test.echo"], horizon=3.0)
    window.poll(cursor, first)
    asked = window.candidates(ROOM)
    window.claimed(asked, asked[ROOM // 2 :], ROOM)
    assert len(window) == 0
    assert window.more_in_database
    window.refill(cursor, first)
    assert window.candidates(10_000) == part(ids, 0)


def test_undivided_they_are_seen_to_miss_as_many_as_they_claim(
    cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Division, "wanted", False)
    assert drained(cursor) > 0.6


@pytest.mark.parametrize("own_in_front", [False, True])
def test_what_the_others_leave_lying_is_taken_by_whoever_is_left(
    cursor: Any, clock: Clock, own_in_front: bool
) -> None:
    ids = submitted(10_000, rank=5_000_000)
    mine = [make_worker(), make_worker()][(ids[0] // BLOCK + (not own_in_front)) % 2]
    window = Window(queues=["test"], kinds=["test.echo"], horizon=3.0)
    window._lines._division.note(missed=ROOM, got=ROOM)
    window.poll(cursor, mine)
    taken: list[int] = []
    for _ in range(1_000):
        clock.now += 0.05
        if len(window) < ROOM and window.more_in_database:
            window.refill(cursor, mine)
        candidates = window.candidates(ROOM)
        got = [job.id for job in claim(cursor, worker_id=mine, candidates=candidates, limit=ROOM).jobs]
        window.claimed(candidates, got, ROOM)
        taken += got
        if len(taken) == len(ids):
            break
    assert sorted(taken) == ids
    places = {job: place for place, job in enumerate(taken)}
    most = max(places[job] - place for place, job in enumerate(ids))
    per_second, cache = ROOM / 0.05, 2_000
    # Where its own stand in front, the other's come there once these are gone, which the next look sees.
    looks = 2 if own_in_front else 1
    assert most < LASTS * per_second + looks * cache, "passed over for a second and by what was in the cache"
    assert most > ROOM, "some were left lying at first"
