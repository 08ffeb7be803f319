"""`manage.py deadletters`: what would happen, what was done, what was refused."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

import jobs
from jobs.models import DeadLetter, DeadLetterGroup, DeadLetterRun
from tests.jobs.letters import dead, die

pytestmark = pytest.mark.django_db


def call(*words: str) -> str:
    out = StringIO()
    call_command("deadletters", *words, stdout=out)
    return out.getvalue()


def told(*words: str) -> Any:
    return json.loads(call(*words, "--json"))


def test_a_replay_is_only_said_until_it_is_confirmed_and_can_be_taken_back() -> None:
    dead(2)
    group = told("groups")
    assert (group["letters"], group["kinds"], group["note"]) == (2, ["test.echo"], "")
    assert group["first_seen"] <= group["last_seen"]
    assert "ValueError" in call("groups")
    said = call("replay", "--fingerprint", "f" * 32)
    assert "2 jobs will get fresh attempts" in said
    assert "say --yes" in said
    assert DeadLetter.objects.count() == 2
    done = told("replay", "--fingerprint", "f" * 32, "--reason", "mended", "--yes")
    assert (done["state"], done["done"]) == ("finished", 2)
    assert call("show", str(done["run"])).startswith(f"run {done['run']} (replay): finished, 2 of 2 done")
    assert call("undo", str(done["run"]), "--reason", "too soon") == "2 taken back, 0 left alone\n"
    assert DeadLetter.objects.count() == 2


def test_a_paced_replay_is_steered() -> None:
    dead(2)
    run = told("replay", "--reason", "mended", "--per-minute", "6", "--canary", "--yes")
    assert run["state"] == "running"
    states = [told(verb, str(run["run"]))["state"] for verb in ("pause", "resume", "stop")]
    assert states == ["paused", "running", "stopped"]


def test_who_is_left_alone_by_an_undo_is_told_with_the_reason() -> None:
    (mine,) = die(jobs.submit("test.echo", unique_key="k").id)
    done = told("discard", "--kind", "test.echo", "--reason", "pointless", "--yes")
    other = jobs.submit("test.echo", unique_key="k").id
    said = call("undo", str(done["run"]), "--reason", "it was not")
    assert (
        said == f'0 taken back, 1 left alone\njob {mine}: its unique key "k" belongs to job {other} by now\n'
    )


def test_counts_are_recounted() -> None:
    dead(2)
    assert call("recount") == "Every count is right.\n"
    DeadLetterGroup.objects.update(count=9)
    assert told("recount") == {"fingerprint": "f" * 32, "before": 9, "after": 0}
    assert told("groups")["letters"] == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["replay", "--reason", "", "--yes"], 2),
        (["replay", "--reason", "r", "--per-minute", "0", "--yes"], 2),
        (["replay", "--reason", "r", "--attempts", "0", "--yes"], 2),
        (["replay", "--per-minute", "-5"], 2),
        (["replay", "--attempts", "1001"], 2),
        (["discard", "--reason", "x" * 1001, "--yes"], 2),
        (["replay", "--queue", "\udcff"], 2),
        (["replay", "--yes"], 2),
        (["replay", "--reason", "r", "--died-after", "2030-01-31T08:00:00"], 2),
        (["replay", "--reason", "r", "--died-before", "yesterday"], 2),
        (["discard", "--reason", "r", "--kind", "zzz", "--yes"], 1),
        (["groups", "--limit", "0"], 2),
        (["pause", "4711"], 1),
        (["show", "4711"], 1),
    ],
)
def test_what_cannot_be_done_ends_with_a_code(words: list[str], code: int) -> None:
    dead(1)
    with pytest.raises(CommandError) as caught:
        call(*words)
    assert caught.value.returncode == code
    assert DeadLetter.objects.count() == 1
    assert not DeadLetterRun.objects.exists() or code == 1, "bad input leaves no preview behind"


@pytest.mark.parametrize("words", [["show", "9" * 30], ["stop", "-1"], ["replay", "--workflow", "x"]])
def test_what_is_no_id_is_refused_before_the_database_sees_it(words: list[str]) -> None:
    with pytest.raises(CommandError, match="is no id"):
        call(*words)


def test_without_a_reason_nothing_is_frozen() -> None:
    dead(1)
    with pytest.raises(CommandError, match="--reason"):
        call("discard", "--yes")
    assert not DeadLetterRun.objects.exists()
