"""Several queues share a worker, by weight or in strict order; no newcomer passes the bound of ageing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from jobs import lines
from jobs.database import django_cursor
from jobs.models import Job
from jobs.store.submitting import insert_jobs
from jobs.store.values import NewJob
from jobs.window import Window
from tests.jobs.ground import make_worker, take
from tests.jobs.limited import change, look, submit

pytestmark = pytest.mark.django_db(transaction=True)


# -- several queues, one worker ----------------------------------------------------------------------------------------


def drained(window: Window, room: int) -> list[str]:
    """The queues in the order in which their jobs are taken."""
    order: list[str] = []
    worker = make_worker()
    with django_cursor() as cursor:
        while True:
            window.poll(cursor)
            best = window.candidates(room)
            if not best:
                return order
            taken = {job.id: job.queue for job in take(worker, *best)}
            window.claimed(best, list(taken), room)
            order += [taken[job] for job in best]


@pytest.mark.parametrize("room", [1, 4])
def test_queues_get_shares_by_weight_and_none_starves(room: int) -> None:
    for queue, weight in (("a", 3), ("b", 1)):
        change(queue, weight=weight)
        submit(24, queue=queue, priority=100 if queue == "a" else -100)
    order = drained(look(), room)
    assert Counter(order[:16]) == {"a": 12, "b": 4}
    assert all("b" in order[start : start + 8] for start in range(0, 16, 4))
    assert Counter(order) == {"a": 24, "b": 24}


def test_strict_order_takes_from_a_later_queue_what_the_earlier_leave() -> None:
    submit(5, queue="a", priority=100)
    submit(5, queue="b")
    assert drained(look(queues=["b", "a"], strict=True), 2) == ["b"] * 5 + ["a"] * 5


def test_in_strict_order_nothing_passes_what_is_not_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long queue only the best are known; when these are taken, the next look comes first."""
    monkeypatch.setattr(lines, "READY_AT_MOST", 10)
    for queue in ("a", "b"):
        submit(12, queue=queue)
    window, worker, order = look(queues=["a", "b"], strict=True), make_worker(), list[str]()
    with django_cursor() as cursor:
        for claims in (2, 1, 2, 1, 3):
            window.refill(cursor)
            for _ in range(claims):
                best = window.candidates(4)
                taken = {job.id: job.queue for job in take(worker, *best)}
                window.claimed(best, list(taken), 4)
                order += [taken[job] for job in best]
    assert order == ["a"] * 12 + ["b"] * 12


def test_in_strict_order_what_others_hold_for_long_is_passed() -> None:
    """Nothing was taken of it: it is locked. The next look sees it again."""
    submit(12, queue="a")
    ids = submit(2, queue="b")
    window = look(queues=["a", "b"], strict=True)
    with django_cursor() as cursor:
        window.poll(cursor)
        window._lines._cut = {"a"}
        assert not set(window.candidates(20)) & set(ids)
        window.claimed(window.candidates(20), [], 20)
        assert window.candidates(4) == ids


def test_in_strict_order_nothing_passes_what_is_left_out_of_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two queues share it: of each the best five are kept."""
    monkeypatch.setattr(lines, "READY_AT_MOST", 10)
    first, _ = submit(8, queue="a"), submit(8, queue="b")
    window = look(queues=["a", "b"], strict=True)
    assert window.candidates(6) == first[:5]
    assert window.more_in_database


def test_who_took_everything_knows_of_no_queue_that_holds_more() -> None:
    """What comes into a later one would wait for it."""
    submit(1, queue="a")
    window = look(queues=["a", "b"], strict=True)
    window._lines._cut = {"a", "b"}
    assert window.ran_dry
    window.took_everything([])
    assert not window.ran_dry


# -- the bound of ageing -----------------------------------------------------------------------------------------------

STEP = timedelta(seconds=1)


def flood(ageing: float | None, steps: int) -> tuple[int, list[int]]:
    """The lowest job among an endless flood of urgent ones: two a second come, one is taken. What starts, in order."""
    change("flood", ageing_seconds=ageing)
    began = datetime(2030, 1, 1, tzinfo=UTC)
    low = NewJob(kind="test.echo", queue="flood", priority=-100, max_attempts=1, payload="{}")
    urgent = NewJob(kind="test.echo", queue="flood", priority=100, max_attempts=1, payload="{}")
    window, worker, started = look(queues=["flood"]), make_worker(), list[int]()
    with django_cursor() as cursor:
        lowest = insert_jobs(cursor, [low], now=began)[0][0]
        for step in range(1, steps + 1):
            insert_jobs(cursor, [urgent] * 2, now=began + step * STEP)
            window.peek(cursor)
            best = window.candidates(1)
            started += [job.id for job in take(worker, *best)]
            window.claimed(best, started[-1:], 1)
    return lowest, started


def test_nothing_that_became_ready_after_the_bound_starts_before_the_lowest_job() -> None:
    ageing = 0.1
    lowest, started = flood(ageing, steps=60)
    bound = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=200 * ageing)
    assert lowest in started
    before = Job.objects.filter(pk__in=started[: started.index(lowest)])
    assert before.count() >= 20
    assert all(job.ready_at is not None and job.ready_at <= bound for job in before)


def test_with_plain_priority_as_rank_the_lowest_job_starves() -> None:
    """The negative control."""
    lowest, started = flood(None, steps=100)
    assert len(started) == 100
    assert lowest not in started
