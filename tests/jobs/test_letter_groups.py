"""Groups of dead letters: their counts are right, folded or not; who owns them, and when they are forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.core.exceptions import PermissionDenied

from jobs import deadletter_steering as steering
from jobs import deadletters
from jobs.acting import Actor
from jobs.database import django_cursor
from jobs.errors import InvalidSubmission, NotFound
from jobs.models import (
    DeadLetter,
    DeadLetterGroup,
    DeadLetterTally,
    OperatorAction,
)
from jobs.store import letters
from tests.jobs.ground import consistent, last_action, person, told
from tests.jobs.letters import ME, counts, dead, fold

pytestmark = pytest.mark.django_db


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
