"""Dead letters: sets that a preview froze and a confirmation acts on, who may, and edited payloads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

import jobs
from jobs import deadletter_steering as steering
from jobs import deadletters
from jobs import steering as steering_of_queues
from jobs.acting import Actor
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.letter_preview import describe
from jobs.models import (
    DeadLetter,
    DeadLetterItem,
    DeadLetterRun,
    Job,
    OperatorAction,
)
from tests.jobs.ground import consistent, person, state_of
from tests.jobs.letters import ME, confirm, dead, die

pytestmark = pytest.mark.django_db


# -- a frozen set ------------------------------------------------------------------------------------------------------


def test_a_preview_changes_nothing_and_the_confirmation_acts_on_exactly_that_set() -> None:
    ids = dead(3, fingerprint="a")
    run = deadletters.preview(ME, "replay", {"fingerprint": "a"})
    assert (run.state, run.total) == ("previewed", 3)
    assert {state_of(job) for job in ids} == {"dead"}
    later = dead(1, fingerprint="a")
    done = confirm(run)
    assert (done.state, done.done, done.refused) == ("finished", 3, 0)
    assert done.confirmed_at is not None
    assert done.finished_at is not None
    assert done.created_at <= done.confirmed_at <= done.finished_at
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
