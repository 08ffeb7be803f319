"""Runs that go step by step: canary, pace, a stop when the error comes back; paused, resumed, stopped, undone."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import F

import jobs
from jobs import deadletter_steering as steering
from jobs import deadletters, letter_runs
from jobs.database import django_cursor
from jobs.errors import ActionRefused, InvalidSubmission
from jobs.keeping import LetterKeeper
from jobs.models import DeadLetter, DeadLetterItem, DeadLetterRun, Job, OperatorAction
from jobs.states import State
from tests.jobs.ground import consistent, end, make_worker, state_of, take, told
from tests.jobs.letters import ME, confirm, dead, die

pytestmark = pytest.mark.django_db


def start(count: int, **how: Any) -> tuple[list[int], DeadLetterRun]:
    ids = dead(count)
    run = confirm(deadletters.preview(ME, "replay", {}), **how)
    assert run.state == "running"
    return ids, run


def look(at: datetime | None = None) -> DeadLetterRun:
    """One look of the workers, at a time of its own, however short ago the last one was."""
    longest_ago = Job.objects.earliest("pk").created_at - timedelta(days=5)
    DeadLetterRun.objects.filter(state="running").update(looked_at=longest_ago)
    with django_cursor() as cursor:
        letter_runs.advance_next(cursor, now=at)
    return DeadLetterRun.objects.earliest("pk")


def waiting(ids: list[int]) -> list[int]:
    return [job for job in ids if state_of(job) == "available"]


def complete(job: int) -> None:
    worker = make_worker()
    end(worker, take(worker, job), State.COMPLETED)


def test_a_canary_goes_alone_and_the_rest_only_when_it_completed() -> None:
    ids, _ = start(4, canary=True)
    assert waiting(ids) == [], "the workers do it, not the request"
    assert look().canary_job == ids[0]
    assert waiting(ids) == ids[:1]
    look()
    assert waiting(ids) == ids[:1], "it has not completed yet"
    complete(ids[0])
    run = look()
    assert waiting(ids) == ids[1:]
    assert (run.state, run.done, run.canary_passed) == ("finished", 4, True)
    consistent()


@pytest.mark.parametrize(
    ("fingerprint", "why"), [("f" * 32, "the error came back"), ("e" * 32, "died again, of another error")]
)
def test_a_canary_that_dies_halts_the_run(fingerprint: str, why: str) -> None:
    ids, _ = start(4, canary=True)
    look()
    die(ids[0], fingerprint=fingerprint)
    run = look()
    assert run.state == "halted"
    assert why in run.why
    assert f"job {ids[0]}" in run.why
    look()
    assert DeadLetter.objects.count() == 4
    assert told("deadletters.run")[-1][1] == [f"deadletters:{run.pk}", "ops"]


def test_a_run_that_goes_on_without_its_canary_does_not_say_that_it_completed() -> None:
    ids, run = start(3, canary=True)
    look()
    die(ids[0], fingerprint="e" * 32)
    assert look().state == "halted"
    resumed = steering.resume(ME, run.pk, reason="that one is known")
    assert (resumed.canary_passed, resumed.canary_waived) == (False, True)
    assert waiting(ids) == []
    assert look().state == "finished"
    assert waiting(ids) == ids[1:]
    consistent()


def test_a_run_that_is_paused_and_resumed_still_waits_for_its_canary() -> None:
    ids, run = start(3, canary=True)
    look()
    steering.pause(ME, run.pk)
    assert not steering.resume(ME, run.pk).canary_waived
    look()
    assert waiting(ids) == ids[:1]


def test_a_canary_that_changed_meanwhile_is_replaced_by_the_next() -> None:
    ids, _ = start(3, canary=True)
    deadletters.discard(ME, ids[:1], reason="pointless")
    look()
    assert look().canary_job == ids[1]
    assert waiting(ids) == [ids[1]]


def test_a_run_whose_letters_are_all_gone_is_finished() -> None:
    ids, _ = start(2, canary=True)
    deadletters.discard(ME, ids, reason="pointless")
    look()
    run = look()
    assert (run.state, run.done, run.refused) == ("finished", 0, 2)


@pytest.mark.parametrize(
    ("per_minute", "first", "minute"), [(1, 1, 1), (60, 1, 60), (90, 1, 90), (600, 1, 600)]
)
def test_a_pace_is_kept_from_minute_to_minute(per_minute: int, first: int, minute: int) -> None:
    ids, _ = start(700 if per_minute == 600 else 100, per_minute=per_minute)
    begin = Job.objects.get(pk=ids[0]).created_at + timedelta(seconds=1)
    assert look(begin).done == first
    run = [look(begin + timedelta(seconds=second)) for second in range(1, 60)][-1]
    assert minute - per_minute / 60 * 2 <= run.done <= minute
    before = run.done
    run = look(begin + timedelta(hours=1))
    assert run.done - before <= max(1, per_minute / 30), "what was missed is not made up for in a flood"


def test_a_paced_run_halts_when_the_same_error_returns_and_goes_on_when_told_to() -> None:
    ids, run = start(5, per_minute=60)
    begin = Job.objects.get(pk=ids[0]).created_at + timedelta(seconds=1)
    look(begin)
    die(*waiting(ids))
    run = look(begin + timedelta(seconds=5))
    assert (run.state, run.done, run.returned) == ("halted", 1, 1)
    assert run.why == f"the error came back: job {ids[0]} died again with the same fingerprint"
    assert look(begin + timedelta(seconds=9)).done == 1
    steering.resume(ME, run.pk, reason="that one is known")
    run = look(begin + timedelta(seconds=10))
    assert (run.state, run.done, run.why) == ("running", 2, "")
    assert Counter(map(state_of, ids)) == {"dead": 4, "available": 1}
    consistent()


@pytest.mark.parametrize("came_back", ["before the pause", "during the pause"])
def test_an_error_that_comes_back_while_a_run_stands_still_halts_it_when_it_goes_on(came_back: str) -> None:
    """However long it stood still: those who resume it have not seen the error."""
    ids, run = start(5, per_minute=60)
    begin = Job.objects.get(pk=ids[0]).created_at + timedelta(seconds=1)
    look(begin)
    if came_back == "before the pause":
        die(*waiting(ids))
    steering.pause(ME, run.pk, reason="lunch")
    die(*waiting(ids))
    # The pause was an hour long: everything before its end moves an hour into the past.
    DeadLetter.objects.update(died_at=F("died_at") - timedelta(hours=1))
    DeadLetterItem.objects.update(died_at=F("died_at") - timedelta(hours=1))
    DeadLetterRun.objects.update(looked_at=F("looked_at") - timedelta(hours=1))
    assert steering.resume(ME, run.pk).state == "running"
    with django_cursor() as cursor:
        letter_runs.advance_next(cursor)
    run = DeadLetterRun.objects.get(pk=run.pk)
    assert (run.state, run.done, run.returned) == ("halted", 1, 1)


def test_another_error_does_not_halt_a_paced_run() -> None:
    ids, _ = start(5, per_minute=60)
    begin = Job.objects.get(pk=ids[0]).created_at + timedelta(seconds=1)
    look(begin)
    die(*waiting(ids), fingerprint="e" * 32)
    assert look(begin + timedelta(seconds=5)).state == "running"


def test_a_run_is_paused_resumed_stopped_and_undone_by_operators() -> None:
    ids, run = start(5, per_minute=60)
    begin = Job.objects.get(pk=ids[0]).created_at + timedelta(seconds=1)
    look(begin)
    assert steering.pause(ME, run.pk, reason="wait").state == "paused"
    assert look(begin + timedelta(seconds=10)).done == 1
    with pytest.raises(ActionRefused, match="paused"):
        steering.pause(ME, run.pk)
    assert steering.resume(ME, run.pk).state == "running"
    assert look(begin + timedelta(seconds=20)).done == 2
    assert steering.stop(ME, run.pk, reason="enough").state == "stopped"
    for refused in (steering.pause, steering.resume, steering.stop):
        with pytest.raises(ActionRefused, match="stopped"):
            refused(ME, run.pk)
    assert look(begin + timedelta(seconds=30)).done == 2
    assert steering.undo(ME, run.pk, reason="all of it").done == ids[:2]
    assert set(map(state_of, ids)) == {"dead"}
    verbs = (
        OperatorAction.objects.filter(target_type="deadletterrun")
        .order_by("pk")
        .values_list("action", flat=True)
    )
    assert list(verbs) == ["replay", "pause", "resume", "stop", "undo"]
    consistent()


def test_an_undo_of_a_run_that_goes_on_stops_it() -> None:
    ids, run = start(5, per_minute=60)
    look(Job.objects.get(pk=ids[0]).created_at + timedelta(seconds=1))
    steering.undo(ME, run.pk, reason="wrong set")
    run = DeadLetterRun.objects.earliest("pk")
    assert (run.state, run.done, run.undone) == ("stopped", 1, 1)
    assert set(map(state_of, ids)) == {"dead"}


def test_a_discard_has_neither_canary_nor_pace() -> None:
    dead(2)
    run = deadletters.preview(ME, "discard", {})
    for how in ({"canary": True}, {"per_minute": 5}):
        with pytest.raises(InvalidSubmission, match="only a replay"):
            confirm(run, **how)
    for wrong in (0, deadletters.MAX_PER_MINUTE + 1):
        with pytest.raises(InvalidSubmission, match="per_minute"):
            confirm(run, per_minute=wrong)
    assert DeadLetter.objects.count() == 2


def test_what_is_more_than_one_action_takes_goes_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "MAX_AT_ONCE", 3)
    monkeypatch.setattr(letter_runs, "BATCH", 2)
    ids = dead(5)
    assert confirm(deadletters.preview(ME, "discard", {})).state == "running"
    assert [look().done for _ in range(3)] == [2, 4, 5]
    assert DeadLetterRun.objects.earliest("pk").state == "finished"
    assert set(map(state_of, ids)) == {"discarded"}
    consistent()


@pytest.mark.django_db(transaction=True)
def test_the_workers_loop_advances_folds_and_forgets() -> None:
    now = [0.0]
    keeper = LetterKeeper(on_death=lambda name, error: None, clock=lambda: now[0])
    try:
        dead(3)
        run = confirm(deadletters.preview(ME, "replay", {}), canary=True)
        deadletters.preview(ME, "replay", {})
        assert keeper.tick() == 1
        assert keeper.tick() == 0, "it has just been looked after"
        assert DeadLetterRun.objects.get(pk=run.pk).canary_job is not None
        DeadLetterRun.objects.filter(state="previewed").update(expires_at=run.created_at - timedelta(hours=2))
        now[0] = 61.0
        keeper.tick()
        assert list(DeadLetterRun.objects.values_list("pk", flat=True)) == [run.pk]
    finally:
        keeper.stop()
    assert jobs.models.DeadLetterGroup.objects.get().count == 2
