"""Undo of a replay and of a discard: the letter as it was, and what cannot be taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import jobs
from jobs import control, deadletters
from jobs import deadletter_steering as steering
from jobs.database import django_cursor
from jobs.errors import ActionRefused
from jobs.models import Closed, DeadLetter, DeadLetterItem, Job, UniqueKey
from jobs.states import State
from jobs.store.ending import end_attempts
from jobs.store.values import Transition
from tests.jobs.ground import consistent, make_worker, state_of, take, told
from tests.jobs.letters import ME, counts, dead, die

pytestmark = pytest.mark.django_db


def letter_of(job: int) -> dict[str, Any]:
    return dict(DeadLetter.objects.filter(pk=job).values().get())


def job_row(job: int) -> dict[str, Any]:
    return dict(Job.objects.filter(pk=job).values().get())


def test_undo_of_a_replay_brings_back_the_letter_as_it_was() -> None:
    ids = dead(2)
    before = [(letter_of(job), job_row(job)) for job in ids]
    result = deadletters.replay(ME, ids, reason="mended", attempts=7)
    assert result.run is not None
    back = steering.undo(ME, result.run, reason="too soon")
    assert back.done == ids
    assert [(letter_of(job), job_row(job)) for job in ids] == before
    assert [payload["job"] for _, _, payload in told("job.undone")] == ids
    assert counts() == {"f" * 32: 2}
    with pytest.raises(ActionRefused, match="Nothing"):
        steering.undo(ME, result.run, reason="again")
    consistent()


def test_what_has_started_is_not_taken_back() -> None:
    running, given_back, waiting = dead(3)
    result = deadletters.replay(ME, [running, given_back, waiting], reason="mended")
    assert result.run is not None
    worker = make_worker()
    take(worker, running)
    (claimed,) = take(worker, given_back)
    with django_cursor() as cursor:
        end_attempts(cursor, worker, [Transition(job=claimed, target=State.AVAILABLE, refund=True)])
    back = steering.undo(ME, result.run, reason="too soon")
    assert back.done == [waiting]
    assert {refusal.id: refusal.reason.rpartition(" ")[2] for refusal in back.refused} == {
        running: "running",
        given_back: "available",
    }
    assert [state_of(job) for job in (running, given_back, waiting)] == ["running", "available", "dead"]
    consistent()


def test_what_can_come_back_has_its_turn_before_what_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """An undo takes the newest first, and so many at a time: were they all started ones, nothing ever came back."""
    monkeypatch.setattr(steering, "MAX_AT_ONCE", 2)
    ids = dead(5)
    result = deadletters.replay(ME, ids, reason="mended")
    assert result.run is not None
    take(make_worker(), *ids[2:])
    assert steering.undo(ME, result.run, reason="too soon").done == ids[:2]
    consistent()


def test_undo_of_a_discard_brings_back_the_letter_and_what_was_skipped_with_it() -> None:
    specs = [
        jobs.JobSpec(kind="test.echo", key="a"),
        jobs.JobSpec(kind="test.echo", key="other"),
        jobs.JobSpec(kind="test.echo", key="b", parents=["a", "other"]),
        jobs.JobSpec(kind="test.echo", key="c", parents=["b"]),
    ]
    _, (a, other, b, c) = jobs.submit_workflow("w", specs)
    die(a.id)
    before = letter_of(a.id)
    result = deadletters.discard(ME, [a.id], reason="pointless")
    assert [state_of(one.id) for one in (a, b, c)] == ["discarded", "skipped", "skipped"]
    consistent()
    assert result.run is not None
    assert steering.undo(ME, result.run, reason="it was not").done == [a.id]
    assert [state_of(one.id) for one in (a, other, b, c)] == ["dead", "available", "blocked", "blocked"]
    assert letter_of(a.id) == before
    assert not Closed.objects.exists()
    consistent()


def test_a_skipped_job_stays_skipped_while_another_parent_has_ended_without_completing() -> None:
    specs = [
        jobs.JobSpec(kind="test.echo", key="a"),
        jobs.JobSpec(kind="test.echo", key="other"),
        jobs.JobSpec(kind="test.echo", key="b", parents=["a", "other"]),
        jobs.JobSpec(kind="test.echo", key="c", parents=["b"]),
    ]
    _, (a, other, b, c) = jobs.submit_workflow("w", specs)
    die(a.id)
    result = deadletters.discard(ME, [a.id], reason="pointless")
    control.cancel(ME, [other.id])
    assert result.run is not None
    steering.undo(ME, result.run, reason="it was not")
    assert [state_of(one.id) for one in (a, b, c)] == ["dead", "skipped", "skipped"]
    consistent()


def keyed(key: str, **options: Any) -> int:
    return jobs.submit("test.echo", unique_key=jobs.Unique(key, **options)).id


def discarded(*ids: int) -> int:
    run = deadletters.discard(ME, ids, reason="pointless").run
    assert run is not None
    return run


def test_undo_of_a_discard_leaves_alone_whose_unique_key_somebody_else_has() -> None:
    mine, free, without = die(keyed("taken"), keyed("free"), jobs.submit("test.echo").id)
    run = discarded(mine, free, without)
    other = keyed("taken")
    back = steering.undo(ME, run, reason="it was not")
    assert back.done == [free, without]
    assert [(one.id, one.reason) for one in back.refused] == [
        (mine, f'job {mine}: its unique key "taken" belongs to job {other} by now')
    ]
    assert [state_of(job) for job in (mine, free, without, other)] == [
        "discarded",
        "dead",
        "dead",
        "available",
    ]
    assert keyed("free") == free, "it holds its key again"
    consistent()


def test_when_the_other_job_has_ended_the_key_is_taken_again() -> None:
    (mine,) = die(keyed("k"))
    run = discarded(mine)
    other = keyed("k")
    assert steering.undo(ME, run, reason="it was not", ids=[mine]).done == []
    control.cancel(ME, [other])
    assert steering.undo(ME, run, reason="it was not").done == [mine]
    assert keyed("k") == mine
    assert counts() == {"f" * 32: 1}
    consistent()


def test_of_two_discarded_jobs_with_one_key_the_newer_comes_back() -> None:
    (old,) = die(keyed("k"))
    discarded(old)
    (new,) = die(keyed("k"))
    first, second = DeadLetterItem.objects.get(job_id=old).run_id, discarded(new)
    DeadLetterItem.objects.filter(run_id=second).update(run_id=first)
    back = steering.undo(ME, first, reason="both")
    assert (back.done, [one.id for one in back.refused]) == ([new], [old])
    assert f"belongs to job {new}" in back.refused[0].reason
    assert keyed("k") == new
    consistent()


def test_a_key_held_for_a_window_is_no_reason_to_stay_discarded() -> None:
    """Whoever has it may do so beside an unfinished job: its window was over."""
    (mine,) = die(keyed("k", scope="window", seconds=60))
    run = discarded(mine)
    UniqueKey.objects.update(until=datetime(2020, 1, 1, tzinfo=UTC))
    other = keyed("k", scope="window", seconds=60)
    assert steering.undo(ME, run, reason="it was not").done == [mine]
    assert keyed("k") == other
    consistent()
