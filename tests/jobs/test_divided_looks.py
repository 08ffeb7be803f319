"""What a worker looks at while several drain one backlog."""

from __future__ import annotations

from typing import Any

import pytest

from jobs import division, lines, queue_steering
from jobs.acting import Actor
from jobs.division import CLAIM_AT_LEAST, DEEP_AT_LEAST, WHOLE, Part
from jobs.heads import CLOSE_US, Heads, Lane
from jobs.models import Ready
from jobs.window import Window
from tests.jobs.dividing import BLOCK, KINDS, ROOM, SERVED, Clock, divided, make_worker, part, submitted


def test_two_workers_look_at_no_job_twice_and_at_each_once(cursor: Any) -> None:
    ids = submitted(1_000)
    first, second = make_worker(), make_worker()
    assert divided(cursor, first) == part(ids, 0)
    assert divided(cursor, second) == part(ids, 1)


def test_who_finds_too_little_of_its_own_looks_at_the_whole(cursor: Any) -> None:
    ids = submitted(1_000)
    first, second = make_worker(), make_worker()
    Ready.objects.filter(job__in=part(ids, 0)[CLAIM_AT_LEAST:]).delete()
    assert divided(cursor, first) == part(ids, 0)[:CLAIM_AT_LEAST]
    Ready.objects.filter(job=part(ids, 0)[0]).delete()
    assert len(divided(cursor, first)) == CLAIM_AT_LEAST - 1 + len(part(ids, 1))
    assert divided(cursor, second) == part(ids, 1)


Look = tuple[int, bool, bool]
"""In how many parts, whether deep, whether from where the last one began."""


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """Made while the clock stands still."""
    monkeypatch.setattr(division, "time", Clock())
    found: list[Look] = []
    read = Heads.read

    def noted(
        self: Heads, cursor: Any, limit: int, part: Part = WHOLE, *, onward: bool = False
    ) -> list[Lane]:
        found.append((part.parts, part.deep, onward))
        return read(self, cursor, limit, part, onward=onward)

    monkeypatch.setattr(Heads, "read", noted)
    return found


def test_who_is_ahead_of_the_others_finds_its_own_further_on(
    cursor: Any, looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first jobs it has taken its own, and the others have not: theirs are not to be fought for."""
    monkeypatch.setattr(lines, "READY_AT_MOST", 200)  # 400 for a part of two
    ids = submitted(1_600)
    first, _ = make_worker(), make_worker()
    front, behind = ids[:900], ids[900:]
    Ready.objects.filter(job__in=part(front, 0)).delete()
    assert divided(cursor, first) == part(behind, 0)[:200]
    monkeypatch.setattr(division, "TIMES_DEEP", 1)  # what it had read already
    assert set(divided(cursor, first)) & set(part(front, 1)), (
        "without that it asks for what the other will take"
    )


def test_who_finds_little_even_there_looks_at_the_whole_the_next_time(
    cursor: Any, looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each round would look that far, for a few jobs each time."""
    monkeypatch.setattr(lines, "READY_AT_MOST", 200)
    ids = submitted(1_600)
    first, _ = make_worker(), make_worker()
    left = part(ids[900:], 0)[: DEEP_AT_LEAST - 1]
    Ready.objects.filter(job__in=set(part(ids, 0)) - set(left)).delete()
    window = Window(queues=SERVED, kinds=KINDS, horizon=3.0)
    window.poll(cursor, first)
    window._lines._division.note(missed=ROOM, got=ROOM)
    window.refill(cursor, first)
    assert window.candidates(10_000) == left[:200]
    window.refill(cursor, first)
    assert [(parts, deep) for parts, deep, _ in looks] == [(1, False), (2, False), (2, True), (1, False)]


def test_a_part_is_looked_for_onward_as_well(cursor: Any, looks: list[Look]) -> None:
    ids = submitted(5_000)
    first, _ = make_worker(), make_worker()
    own = part(ids[:4_000], 0)[: lines.READY_AT_MOST]
    assert divided(cursor, first) == own
    window = Window(queues=SERVED, kinds=KINDS, horizon=3.0)
    window.poll(cursor, first)
    window._lines._division.note(missed=ROOM, got=ROOM)
    window.refill(cursor, first)
    Ready.objects.filter(job__in=ids[-64:]).update(rank=-1)
    window.refill(cursor, first, onward=True)
    assert looks[-1] == (2, False, True)
    assert window.candidates(10_000) == own
    window.refill(cursor, first)
    assert set(window.candidates(10_000)) >= set(part(ids[-64:], 0))


def test_nobody_looks_further_on_among_jobs_that_are_too_far_apart(
    cursor: Any, looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "READY_AT_MOST", 200)
    submitted(BLOCK - 4, rank=5_000_000)  # too few of its own, wherever the blocks begin
    late = submitted(1_500, rank=5_000_001 + CLOSE_US)
    first, _ = make_worker(), make_worker()
    assert divided(cursor, first)
    assert looks == [(1, False, False), (2, False, False), (1, False, False)]
    Ready.objects.filter(job__in=late).update(rank=5_000_000 + CLOSE_US)
    Ready.objects.filter(job__in=part(late[:900], 0)).delete()
    looks.clear()
    assert divided(cursor, first)
    assert looks == [(1, False, False), (2, False, False), (2, True, False)]


def test_strict_order_is_not_divided(cursor: Any) -> None:
    ids = submitted(300)
    first, _ = make_worker(), make_worker()
    assert divided(cursor, first, strict=True) == ids
    assert divided(cursor, first) == part(ids, 0)


def test_queues_with_limits_are_not_divided(cursor: Any) -> None:
    ids = submitted(300)
    first, _ = make_worker(), make_worker()
    queue_steering.change_queue(Actor(), "test", max_running=10_000)
    assert divided(cursor, first) == ids


def test_only_what_is_close_to_the_first_is_divided(cursor: Any) -> None:
    """Else a job that was left to another worker would wait for longer than a second behind later ones."""
    early = submitted(300, rank=5_000_000)
    first, second = make_worker(), make_worker()
    late = submitted(300, rank=5_000_001 + CLOSE_US)
    assert divided(cursor, first) == part(early, 0)
    Ready.objects.filter(job__in=late).update(rank=5_000_000 + CLOSE_US)
    assert divided(cursor, first) == part([*early, *late], 0)
    # The first of all counts, though it is in the other's part.
    Ready.objects.filter(job=part(early, 1)[0]).update(rank=4_999_999)
    assert divided(cursor, first) == part(early, 0)
    assert divided(cursor, second) == sorted(part(early, 1))


def test_what_is_close_is_known_of_each_queue_and_over_all_kinds_of_it(cursor: Any) -> None:
    here, there = submitted(200, rank=5_000_000), submitted(200, rank=90_000_000, queue="other")
    first, _ = make_worker(queues=[]), make_worker(queues=[])
    assert set(divided(cursor, first, queues=[])) == {*part(here, 0), *part(there, 0)}
    # A lane of another kind in the same queue, much later: nothing of it goes before what is left lying here.
    Ready.objects.filter(job__in=there).update(queue="test", kind="test.other")
    both = ["test.echo", "test.other"]
    first, _ = make_worker(kinds=both), make_worker(kinds=both)
    window = Window(queues=SERVED, kinds=both, horizon=3.0)
    window._lines._division.note(missed=ROOM, got=ROOM)
    window.poll(cursor, first)
    assert window.candidates(10_000) == part(here, 0)
