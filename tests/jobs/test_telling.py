"""Log lines of running jobs: the newest are kept, and what goes is counted and told."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import connection

from jobs.models import LogLine, LogLoss, Progress
from jobs.running.reports import Reports
from jobs.states import State
from jobs.store.statements import execute
from jobs.store.telling import Line, Mark, Word, were_written, write_lines, write_progress
from tests.jobs import ground
from tests.support import eventually


def lines(job: int, *numbers: int) -> list[Line]:
    return [(job, 1, 0.0, "info", f"line {number}") for number in numbers]


def word(job: int, fraction: float, *, attempt: int = 1) -> Word:
    return (job, attempt, fraction, "")


def write(told: list[Line], *, keep: int = 10, unsent: dict[int, int] | None = None) -> list[Mark]:
    with connection.cursor() as cursor:
        return write_lines(cursor, told, keep=keep, unsent=unsent)


def stand(marks: list[Mark]) -> bool:
    with connection.cursor() as cursor:
        return were_written(cursor, marks, keep=10)


def kept(job: int) -> list[str]:
    return list(LogLine.objects.filter(job_id=job).order_by("pk").values_list("line", flat=True))


def losses() -> dict[int, tuple[int, int]]:
    return {row.pk: (row.over_limit, row.unsent) for row in LogLoss.objects.all()}


@pytest.mark.django_db
def test_a_job_that_keeps_all_of_its_lines_has_lost_none() -> None:
    write(lines(1, *range(10)))
    assert len(kept(1)) == 10
    assert losses() == {}
    ((_, topics, payload),) = ground.told("job.log")
    assert topics == ["job:1"]
    assert payload["skipped"] == 0
    assert "lost" not in payload
    shown = [(line["id"], line["line"]) for line in payload["lines"]]
    assert shown == list(LogLine.objects.order_by("pk").values_list("pk", "line"))


@pytest.mark.django_db
def test_the_oldest_go_and_are_counted_whether_they_had_a_row_or_not() -> None:
    """Job 1 loses lines of an earlier write, of this one, and both; job 2 beside it none."""
    write(lines(1, *range(8)) + lines(2, 0))
    write(lines(1, *range(8, 12)) + lines(2, 1))
    assert kept(1) == [f"line {number}" for number in range(2, 12)]
    assert losses() == {1: (2, 0)}
    write(lines(1, *range(12, 37)), unsent={1: 3})
    assert kept(1) == [f"line {number}" for number in range(27, 37)]
    assert kept(2) == ["line 0", "line 1"]
    assert losses() == {1: (27, 3)}
    told = [payload for _, _, payload in ground.told("job.log") if payload["job"] == 1]
    assert [payload.get("lost") for payload in told] == [
        None,
        {"over_limit": 2, "unsent": 0},
        {"over_limit": 27, "unsent": 3},
    ]


@pytest.mark.django_db
def test_a_batch_is_known_by_the_last_line_of_each_job_under_its_id() -> None:
    batch = lines(ground.in_state(State.RUNNING), *range(13)) + lines(ground.in_state(State.RUNNING), 0, 1)
    marks = write(batch)
    assert [line for _, line in marks] == [batch[12], batch[14]]
    assert [number for number, _ in marks] == [
        LogLine.objects.get(job_id=line[0], line=line[4]).pk for _, line in marks
    ]
    assert stand(marks)
    LogLine.objects.all().delete()
    assert not stand(marks)


@pytest.mark.django_db
@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_another_line_under_the_same_id_is_not_taken_for_it(place: int) -> None:
    """A server that crashed may give out again what it gave to a transaction that it kept nothing of."""
    line = (ground.in_state(State.RUNNING), 1, 1_700_000_000.123456, "info", "said")
    other = list(line)
    other[place] = {0: ground.in_state(State.RUNNING), 1: 2, 2: 1_700_000_000.123457, 4: "Said"}[place]
    ((number, _),) = write([tuple(other)])  # type: ignore[list-item]
    assert not stand([(number, line)])
    LogLine.objects.filter(pk=number).delete()
    write([line])
    LogLine.objects.update(id=number)
    assert stand([(number, line)]), "the control: it is the difference that tells"


@pytest.mark.django_db
@pytest.mark.parametrize("newer", [9, 10])
def test_lines_that_had_to_go_since_are_not_missed(newer: int) -> None:
    """Another attempt said so much meanwhile that they would be gone; one line less, and they would not."""
    job = ground.in_state(State.RUNNING)
    marks = write(lines(job, 0))
    LogLine.objects.all().delete()
    write([(job, 2, 0.0, "info", f"newer {number}") for number in range(newer)])
    assert stand(marks) is (newer == 10)


@pytest.mark.django_db
def test_lines_of_a_job_that_is_gone_are_not_missed_but_those_of_another_are() -> None:
    gone, there = ground.in_state(State.COMPLETED), ground.in_state(State.RUNNING)
    marks = write(lines(gone, 0) + lines(there, 0))
    LogLine.objects.all().delete()
    assert not stand(marks[:1])
    with connection.cursor() as cursor:
        assert execute(cursor, "delete_jobs", {"ids": [gone]}) == 1
    assert stand(marks[:1])
    assert not stand(marks), "nor is the batch done because one of its jobs is gone"


@pytest.mark.django_db
def test_lines_that_never_came_are_told_without_any() -> None:
    write([], unsent={7: 5})
    assert losses() == {7: (0, 5)}
    ((_, _, payload),) = ground.told("job.log")
    assert payload == {"job": 7, "lines": [], "skipped": 0, "lost": {"over_limit": 0, "unsent": 5}}


@pytest.mark.django_db
def test_an_event_shows_the_newest_and_says_how_many_more_there_are() -> None:
    write(lines(1, *range(80)), keep=100)
    ((_, _, payload),) = ground.told("job.log")
    assert [len(payload["lines"]), payload["skipped"]] == [50, 30]
    assert payload["lines"][-1]["line"] == "line 79"


@pytest.mark.django_db
def test_an_older_attempt_never_has_the_last_word_of_progress() -> None:
    """A worker that was declared lost goes on talking while another runs the next attempt."""
    with connection.cursor() as cursor:
        for told in (word(1, 0.2, attempt=2), word(1, 0.9, attempt=1), word(2, 1.0)):
            write_progress(cursor, {told[0]: told})
    assert list(Progress.objects.order_by("pk").values_list("attempt", "fraction")) == [(2, 0.2), (1, 1.0)]


@pytest.mark.django_db
def test_the_count_goes_with_its_job() -> None:
    job = ground.in_state(State.COMPLETED)
    write(lines(job, *range(12)))
    assert job in losses()
    with connection.cursor() as cursor:
        assert execute(cursor, "delete_jobs", {"ids": [job]}) == 1
    assert losses() == {}
    assert kept(job) == []


def test_the_buffer_keeps_the_newest_lines_and_counts_the_others() -> None:
    kept_back = Reports(most=4)
    for report in (*lines(1, 0, 1), *lines(2, 0, 1, 2)):
        kept_back.append(report)
    assert kept_back.take_dropped() == {1: 1}
    taken = kept_back.take()
    assert taken == [*lines(1, 1), *lines(2, 0, 1, 2)]
    kept_back.append(lines(3, 0)[0])
    kept_back.put_back(taken, Counter({1: 2}))
    assert kept_back.take_dropped() == {1: 3}
    assert kept_back.take() == [*taken[1:], lines(3, 0)[0]]


def test_a_flood_of_lines_washes_no_progress_away() -> None:
    kept_back = Reports(most=4)
    for report in (word(1, 0.5), word(2, 0.1), *lines(2, *range(100)), word(2, 0.2)):
        kept_back.append(report)
    taken = kept_back.take()
    assert taken[4:] == [word(1, 0.5), word(2, 0.2)]
    assert kept_back.take_dropped() == {2: 96}
    kept_back.append(word(1, 0.6))
    kept_back.put_back(taken, Counter())
    assert kept_back.take()[4:] == [word(1, 0.6), word(2, 0.2)], "the newer one stands"


def test_an_attempt_beside_a_later_one_of_its_job_has_no_say_about_its_progress() -> None:
    kept_back = Reports()
    for report in (word(1, 0.3, attempt=2), word(1, 0.9, attempt=1)):
        kept_back.append(report)
    assert kept_back.take() == [word(1, 0.3, attempt=2)]


def test_nothing_is_lost_uncounted_between_threads() -> None:
    kept_back = Reports(most=100)
    dropped: Counter[int] = Counter()
    came: list[object] = []

    def talk(job: int) -> None:
        for number in range(2_000):
            kept_back.append(lines(job, number)[0])

    threads = [threading.Thread(target=talk, args=(job,)) for job in range(4)]
    for thread in threads:
        thread.start()

    def all_counted() -> bool:
        came.extend(kept_back.take())
        dropped.update(kept_back.take_dropped())
        return len(came) + sum(dropped.values()) == 8_000

    eventually(all_counted)
    for thread in threads:
        thread.join(10)
