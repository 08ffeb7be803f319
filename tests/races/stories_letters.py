"""The stories of dead letters: chosen, replayed, discarded, taken back, and forgotten in the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jobs
from jobs import JobSpec, deadletters, letter_runs
from jobs import deadletter_steering as steering
from jobs.database import in_transaction, open_connection
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.models import DeadLetter, DeadLetterGroup, DeadLetterRun, DeadLetterTally, Job
from jobs.store import letters
from tests.jobs.letters import confirm, dead, die
from tests.races.story import BOSS, Story, states_of

__all__ = ["LETTERS"]


def with_a_child() -> list[int]:
    """A dead letter, and a job that is skipped when it is discarded."""
    pair = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
    _, placed = jobs.submit_workflow("story", pair)
    die(placed[0].id)
    return [one.id for one in placed]


def discard(ids: list[int]) -> None:
    deadletters.discard(BOSS, ids[:1], reason="pointless")


def discarded(ids: list[int]) -> None:
    assert states_of(*ids) == ["discarded", "skipped"]


def in_vain(ids: list[int]) -> None:
    """None of them is dead: the run that was opened for them is dropped."""
    deadletters.discard(BOSS, ids[1:], reason="pointless")


def nothing_happened(ids: list[int]) -> None:
    assert states_of(*ids) == ["dead", "blocked"]
    assert not DeadLetterRun.objects.filter(items__job_id__in=ids).exists()


def a_discard() -> Any:
    ids = with_a_child()
    return SimpleNamespace(ids=ids, run=deadletters.discard(BOSS, ids[:1], reason="pointless").run)


def a_replay() -> Any:
    ids = dead(2)
    return SimpleNamespace(ids=ids, run=deadletters.replay(BOSS, ids, reason="mended").run)


def undo(ground: Any) -> None:
    try:
        steering.undo(BOSS, ground.run, reason="too soon")
    except (ActionRefused, NotFound):
        return  # it has been undone: the answer was lost


def undone(ground: Any) -> None:
    assert states_of(*ground.ids)[0] == "dead"
    assert "skipped" not in states_of(*ground.ids)
    assert DeadLetter.objects.filter(job_id=ground.ids[0]).count() == 1


def edit(ids: list[int]) -> None:
    deadletters.replay_edited(BOSS, ids[0], {"edited": True}, reason="mended")


def edited(ids: list[int]) -> None:
    assert states_of(*ids) == ["available"]
    assert Job.objects.get(pk=ids[0]).payload == {"edited": True}


def a_set() -> Any:
    """More letters than a run may have, one of which changes after it was chosen."""
    fingerprint = f"{datetime.now(UTC).timestamp():032.6f}"
    ids = dead(4, fingerprint=fingerprint)
    ground = SimpleNamespace(ids=ids, fingerprint=fingerprint, most=deadletters.MAX_RUN)
    deadletters.MAX_RUN = 3
    return ground


def choose(ground: Any) -> None:
    deadletters.preview(BOSS, "replay", {"ids": [*ground.ids, 2**60]})
    try:
        run = deadletters.preview(BOSS, "replay", {"fingerprint": ground.fingerprint})
    except InvalidSubmission:
        return  # nothing is left to choose
    first = run.items.earliest("pk").job_id
    deadletters.discard(BOSS, [first], reason="meanwhile")
    try:
        confirm(run)
    except ActionRefused:
        return  # nothing is left of it: the answer to the first confirmation was lost


def chosen(ground: Any) -> None:
    found = states_of(*ground.ids)
    assert found.count("available") >= 2
    assert set(found) <= {"available", "discarded", "dead"}


def restore(ground: Any) -> None:
    deadletters.MAX_RUN = ground.most


def a_paced_run() -> Any:
    """One letter a minute; the first has been replayed and has died again of the same error."""
    fingerprint = f"{datetime.now(UTC).timestamp():032.6f}"
    ids = dead(2, fingerprint=fingerprint)
    run = confirm(deadletters.preview(BOSS, "replay", {"fingerprint": fingerprint}), per_minute=1)
    ground = SimpleNamespace(ids=ids, run=run)
    look(ground)
    die(*(job for job in ids if states_of(job) == ["available"]), fingerprint=fingerprint)
    return ground


def look(ground: Any) -> None:
    """The workers' look at it, however short ago the last one was."""
    ago = datetime.now(UTC) - timedelta(days=1)
    DeadLetterRun.objects.filter(pk=ground.run.pk, state="running").update(looked_at=ago)
    with open_connection("story") as own:
        in_transaction(own, letter_runs.advance_next)


def halted(ground: Any) -> None:
    run = DeadLetterRun.objects.get(pk=ground.run.pk)
    assert (run.state, run.done, run.returned) == ("halted", 1, 1)
    assert states_of(*ground.ids) == ["dead", "dead"]


def what_is_over() -> str:
    fingerprint = f"{datetime.now(UTC).timestamp():032.6f}"
    ids = dead(1, fingerprint=fingerprint)
    with open_connection("story") as own:
        in_transaction(own, letters.fold)
    deadletters.discard(BOSS, ids, reason="pointless")
    dead(1, fingerprint="f" * 32)
    old = datetime.now(UTC) - timedelta(days=60)
    DeadLetterRun.objects.update(finished_at=old, created_at=old, expires_at=old)
    DeadLetterGroup.objects.filter(pk=fingerprint).update(last_seen=old, first_seen=old)
    return fingerprint


def tidy(_: str) -> None:
    with open_connection("story") as own:
        in_transaction(own, letters.fold)
        in_transaction(own, letters.recount)
        in_transaction(own, lambda cursor: letters.forget(cursor, keep=86400.0))


def tidied(fingerprint: str) -> None:
    assert not DeadLetterTally.objects.exists()
    assert not DeadLetterGroup.objects.filter(pk=fingerprint).exists()


LETTERS = [
    Story(name="discard with a child", begin=with_a_child, act=discard, facts=discarded, whole=True),
    Story(name="discard in vain", begin=with_a_child, act=in_vain, facts=nothing_happened),
    Story(name="undo a discard", begin=a_discard, act=undo, facts=undone, whole=True),
    Story(name="undo a replay", begin=a_replay, act=undo, facts=undone, whole=True),
    Story(name="replay edited", begin=lambda: dead(1), act=edit, facts=edited, whole=True),
    Story(name="a chosen set", begin=a_set, act=choose, facts=chosen, end=restore),
    Story(name="a run that halts", begin=a_paced_run, act=look, facts=halted),
    Story(name="forgotten letters", begin=what_is_over, act=tidy, facts=tidied),
]
