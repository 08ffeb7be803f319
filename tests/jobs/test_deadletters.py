"""Dead letters: groups and their counts, frozen sets, replay and discard, undo, edited payloads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

import jobs
from jobs import control, deadletters
from jobs import deadletter_steering as steering
from jobs import steering as steering_of_queues
from jobs.acting import Actor
from jobs.database import django_cursor
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.letter_preview import describe
from jobs.models import (
    Closed,
    DeadLetter,
    DeadLetterGroup,
    DeadLetterItem,
    DeadLetterRun,
    DeadLetterTally,
    Job,
    OperatorAction,
    UniqueKey,
)
from jobs.queries import groups
from jobs.states import State
from jobs.store import letters
from jobs.store.ending import end_attempts
from jobs.store.values import Error, Transition
from tests.jobs.ground import consistent, last_action, make_worker, person, state_of, take, told

pytestmark = pytest.mark.django_db

ME = Actor()


def die(*ids: int, fingerprint: str = "f" * 32, error: str = "ValueError") -> list[int]:
    """The jobs run and die."""
    worker = make_worker()
    failed = Error(error_class=error, message="boom", traceback="…", fingerprint=fingerprint)
    with django_cursor() as cursor:
        ends = [
            Transition(job=job, target=State.DEAD, error=failed, outcome="failed")
            for job in take(worker, *ids)
        ]
        end_attempts(cursor, worker, ends)
    return list(ids)


def dead(count: int = 1, *, kind: str = "test.echo", payload: Any = None, **how: Any) -> list[int]:
    return die(*(jobs.submit(kind, payload).id for _ in range(count)), **how)


def counts() -> dict[str, int]:
    return {group.pk: group.letters for group in groups()}


def fold() -> None:
    with django_cursor() as cursor:
        letters.fold(cursor)


def confirm(run: DeadLetterRun, actor: Actor = ME, **how: Any) -> DeadLetterRun:
    return deadletters.confirm(actor, run.pk, digest=run.digest, reason="mended", **how)


# -- groups ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folded", [True, False])
def test_the_count_of_a_group_is_right_before_and_after_it_is_folded(folded: bool) -> None:
    first = dead(3, fingerprint="a" * 32)
    dead(2, fingerprint="b" * 32, error="TypeError")
    if folded:
        fold()
        assert not DeadLetterTally.objects.exists()
    assert counts() == {"a" * 32: 3, "b" * 32: 2}
    deadletters.discard(ME, first[:1], reason="pointless")
    deadletters.replay(ME, first[1:2], reason="mended")
    if folded:
        fold()
    assert counts() == {"a" * 32: 1, "b" * 32: 2}
    consistent()


def test_a_group_tells_what_it_is_and_outlives_its_letters() -> None:
    ids = dead(1, fingerprint="a" * 32)
    dead(1, fingerprint="a" * 32, kind="test.sized", payload={"size": 1})
    fold()
    group = DeadLetterGroup.objects.get()
    letter = DeadLetter.objects.latest("died_at")
    assert (group.error_class, group.message, group.kinds) == (
        "ValueError",
        "boom",
        ["test.echo", "test.sized"],
    )
    assert group.first_seen < group.last_seen == letter.died_at
    deadletters.replay(ME, [*ids, letter.pk], reason="mended")
    fold()
    assert counts() == {"a" * 32: 0}


def test_groups_that_are_empty_old_and_nobodys_are_forgotten() -> None:
    for number, fingerprint in enumerate("abcd"):
        deadletters.discard(ME, dead(1, fingerprint=fingerprint), reason="pointless") if number else dead(
            1, fingerprint=fingerprint
        )
    fold()
    steering.change_group(ME, "b", owner=None, note="known")
    DeadLetterGroup.objects.exclude(pk="c").update(last_seen=datetime.now(UTC) - timedelta(days=30))
    with django_cursor() as cursor:
        letters.forget(cursor, keep=86400)
    assert sorted(DeadLetterGroup.objects.values_list("pk", flat=True)) == ["a", "b", "c"]


def test_a_group_that_was_forgotten_too_soon_is_made_again() -> None:
    dead(2, fingerprint="a")
    DeadLetterGroup.objects.all().delete()
    fold()
    group = DeadLetterGroup.objects.get()
    assert (group.pk, group.count, group.error_class) == ("a", 2, "ValueError")


def test_owner_and_note_are_changed_recorded_and_told() -> None:
    dead(1, fingerprint="a")
    person("nora", "view_deadletter")
    changer = Actor.of(person("ann", "change_deadlettergroup"))
    group = steering.change_group(changer, "a", owner="nora", note="the disk was full")
    assert (str(group.owner), group.note) == ("nora", "the disk was full")
    action = OperatorAction.objects.get()
    assert (action.actor_name, action.target_id, action.after["owner"]) == ("ann", "a", "nora")
    assert [payload["owner"] for _, _, payload in told("deadletters.group")] == ["nora"]
    person("blind")
    for name in ("blind", "nobody"):
        with pytest.raises(InvalidSubmission, match="owner"):
            steering.change_group(ME, "a", owner=name, note="")
    with pytest.raises(PermissionDenied):
        steering.change_group(Actor.of(person("vic", "view_deadlettergroup")), "a", owner=None, note="")
    with pytest.raises(NotFound):
        steering.change_group(ME, "zz", owner=None, note="")


# -- a frozen set ------------------------------------------------------------------------------------------------------


def test_a_preview_changes_nothing_and_the_confirmation_acts_on_exactly_that_set() -> None:
    ids = dead(3, fingerprint="a")
    run = deadletters.preview(ME, "replay", {"fingerprint": "a"})
    assert (run.state, run.total) == ("previewed", 3)
    assert {state_of(job) for job in ids} == {"dead"}
    later = dead(1, fingerprint="a")
    done = confirm(run)
    assert (done.state, done.done, done.refused) == ("finished", 3, 0)
    assert [state_of(job) for job in [*ids, *later]] == ["available", "available", "available", "dead"]
    consistent()


def test_what_changed_since_the_preview_is_refused_by_name() -> None:
    gone, again, same = dead(3)
    run = deadletters.preview(ME, "replay", {})
    deadletters.discard(ME, [gone], reason="pointless")
    deadletters.replay(ME, [again], reason="try it")
    die(again)
    done = confirm(run)
    assert (done.done, done.refused) == (1, 2)
    refused = dict(done.items.filter(state="refused").values_list("job_id", "reason"))
    assert refused == {gone: "is discarded", again: "it has died again since the set was chosen"}
    assert [state_of(job) for job in (gone, again, same)] == ["discarded", "dead", "available"]
    consistent()


def test_a_preview_is_confirmed_once_by_its_operator_while_it_is_fresh_and_with_its_digest() -> None:
    (job,) = dead()
    ann, ben = (Actor.of(person(name, "replay_deadletter")) for name in ("ann", "ben"))
    run = deadletters.preview(ann, "replay", {})
    with pytest.raises(ActionRefused, match="ann"):
        confirm(run, ben)
    with pytest.raises(ActionRefused, match="digest"):
        deadletters.confirm(ann, run.pk, digest="0" * 64, reason="mended")
    DeadLetterRun.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(ActionRefused, match="expired"):
        confirm(run, ann)
    DeadLetterRun.objects.update(expires_at=datetime.now(UTC) + timedelta(minutes=1))
    assert state_of(job) == "dead"
    confirm(run, ann)
    with pytest.raises(ActionRefused, match="already"):
        confirm(run, ann)
    with pytest.raises(NotFound):
        deadletters.confirm(ann, 4711, digest="", reason="mended")
    with pytest.raises(ActionRefused, match="empty"):
        confirm(deadletters.preview(ann, "replay", {}), ann)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "abcd"),
        ({"kind": "test.sized"}, "c"),
        ({"queue": "other"}, "d"),
        ({"fingerprint": "b"}, "b"),
        ({"error_class": "TypeError"}, "b"),
        ({"kind": "test.echo", "queue": "test"}, "ab"),
        ({"died_after": "b"}, "bcd"),
        ({"died_before": "c"}, "ab"),
        ({"workflow": True}, "d"),
        ({"ids": "ad"}, "ad"),
    ],
)
def test_filters_choose(filters: dict[str, Any], expected: str) -> None:
    workflow, (placed,) = jobs.submit_workflow("w", [jobs.JobSpec(kind="test.echo", key="k", queue="other")])
    made = {
        "a": dead()[0],
        "b": dead(fingerprint="b", error="TypeError")[0],
        "c": dead(kind="test.sized", payload={"size": 1})[0],
        "d": die(placed.id)[0],
    }
    asked = dict(filters)
    for name in ("died_after", "died_before"):
        if name in asked:
            asked[name] = DeadLetter.objects.get(pk=made[asked[name]]).died_at
    if "workflow" in asked:
        asked["workflow"] = workflow
    if "ids" in asked:
        asked["ids"] = [made[name] for name in asked["ids"]]
    run = deadletters.preview(ME, "discard", asked)
    chosen = list(run.items.filter(state="chosen").order_by("pk").values_list("job_id", flat=True))
    assert chosen == [made[name] for name in expected]


@pytest.mark.parametrize(
    "filters",
    [
        {"kin": "x"},
        {"workflow": 0},
        {"workflow": "1"},
        {"ids": []},
        {"died_after": "today"},
        {"kind": "x" * 101},
    ],
)
def test_filters_that_make_no_sense_are_refused(filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidSubmission):
        deadletters.preview(ME, "replay", filters)
    assert not DeadLetterRun.objects.exists()


def test_a_preview_says_who_will_have_to_wait() -> None:
    dead(2)
    dead(1, kind="test.sized", payload={"size": 1})
    steering_of_queues.pause_kind(ME, "test.echo", reason="broken")
    sentences = describe(deadletters.preview(ME, "replay", {})).sentences
    assert "2 jobs will wait, because the kind test.echo is paused." in sentences
    assert sum("is paused" in sentence for sentence in sentences) == 1


def test_a_set_has_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "MAX_RUN", 2)
    ids = dead(3)
    run = deadletters.preview(ME, "replay", {})
    assert (run.total, run.truncated) == (2, True)
    assert sorted(run.items.values_list("job_id", flat=True)) == ids[:2]


def test_permissions_are_asked_for_by_each_action() -> None:
    (job,) = dead()
    viewer = Actor.of(person("vic", "view_deadletter", "view_deadletterrun"))
    run = deadletters.preview(ME, "replay", {})
    for forbidden in (
        lambda: deadletters.preview(viewer, "replay", {}),
        lambda: deadletters.preview(viewer, "discard", {}),
        lambda: confirm(run, viewer),
        lambda: deadletters.replay_edited(viewer, job, {}, reason="r"),
        lambda: steering.pause(viewer, run.pk),
        lambda: steering.resume(viewer, run.pk),
        lambda: steering.stop(viewer, run.pk),
        lambda: steering.undo(viewer, run.pk, reason="r"),
    ):
        with pytest.raises(PermissionDenied):
            forbidden()
    discarder = Actor.of(person("dora", "discard_deadletter"))
    with pytest.raises(PermissionDenied):
        deadletters.preview(discarder, "replay", {})
    assert state_of(job) == "dead"


def test_counts_that_are_wrong_are_put_right_and_told() -> None:
    dead(2)
    dead(1, fingerprint="e" * 32)
    with django_cursor() as cursor:
        letters.fold(cursor)
    dead(3, fingerprint="e" * 32)
    assert steering.recount(ME) == []
    DeadLetterGroup.objects.filter(pk="e" * 32).update(count=7)
    assert steering.recount(ME) == [("e" * 32, 7, 1)]
    assert counts() == {"f" * 32: 2, "e" * 32: 4}
    assert (last_action().action, last_action().before, last_action().after) == (
        "recount",
        {"count": 7},
        {"count": 1},
    )
    with pytest.raises(PermissionDenied):
        steering.recount(Actor.of(person("viewer", "view_deadlettergroup")))
    consistent()


# -- undo --------------------------------------------------------------------------------------------------------------


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


# -- another payload ---------------------------------------------------------------------------------------------------


def test_an_edited_payload_is_checked_replayed_recorded_and_undone() -> None:
    (job,) = dead(kind="test.sized", payload={"size": 1})
    wrongs: list[Any] = [{}, {"size": "many"}, {"size": 2, "more": 1}, [1]]
    for wrong in wrongs:
        with pytest.raises(InvalidSubmission, match="payload"):
            deadletters.replay_edited(ME, job, wrong, reason="smaller")
    assert (state_of(job), Job.objects.get(pk=job).payload) == ("dead", {"size": 1})
    result = deadletters.replay_edited(ME, job, {"size": 2}, reason="smaller")
    assert (state_of(job), Job.objects.get(pk=job).payload) == ("available", {"size": 2})
    action = OperatorAction.objects.get(action="edit payload of")
    assert (action.before, action.after) == ({"payload": {"size": 1}}, {"payload": {"size": 2}})
    assert result.run is not None
    steering.undo(ME, result.run, reason="no")
    assert (state_of(job), Job.objects.get(pk=job).payload) == ("dead", {"size": 1})
    consistent()


def test_an_edit_of_what_is_no_dead_letter_changes_nothing() -> None:
    job = jobs.submit("test.echo", {"a": 1}).id
    result = deadletters.replay_edited(ME, job, {"a": 2}, reason="smaller")
    assert result.done == []
    assert [refusal.id for refusal in result.refused] == [job]
    assert Job.objects.get(pk=job).payload == {"a": 1}
    assert not DeadLetterItem.objects.exists()
    with pytest.raises(NotFound):
        deadletters.replay_edited(ME, 4711, {}, reason="r")


# -- the migration -----------------------------------------------------------------------------------------------------


def test_the_migration_makes_the_groups_of_letters_that_were_there() -> None:
    first = dead(2, fingerprint="a")
    dead(1, fingerprint="a", kind="test.sized", payload={"size": 1})
    dead(1, fingerprint="b", error="TypeError")
    DeadLetterGroup.objects.all().delete()
    DeadLetterTally.objects.all().delete()
    migration = import_module("jobs.migrations.0005_deadletter_groups")
    with django_cursor() as cursor:
        cursor.execute(migration.BACKFILL)
    assert counts() == {"a": 3, "b": 1}
    group = DeadLetterGroup.objects.get(pk="a")
    assert (group.error_class, group.kinds) == ("ValueError", ["test.echo", "test.sized"])
    assert group.first_seen == DeadLetter.objects.get(pk=first[0]).died_at
    consistent()
