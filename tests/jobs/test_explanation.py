"""Why is it not running? Each reason from its fact, alone and beside others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from jobs.explaining import Code, Facts, Parent, explain
from jobs.states import State
from jobs.store.limiting import Limits

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
FREE = Facts(now=NOW, state=State.AVAILABLE, kind="k", queue="q", serving=1, knowing=1)


CASES: dict[str, Facts] = {
    "next": FREE,
    "finished": replace(FREE, state=State.CANCELLED, reason="not needed"),
    "dead": replace(FREE, state=State.DEAD),
    "running": replace(FREE, state=State.RUNNING),
    "parents": replace(FREE, state=State.BLOCKED, parents=[Parent(id=7, state="running")], more_parents=2),
    "time": replace(FREE, state=State.SCHEDULED, due_at=LATER),
    "queue_paused": replace(FREE, queue_paused_at=NOW, queue_paused_by="olga"),
    "kind_paused": replace(FREE, kind_paused_at=NOW, kind_paused_by="olga"),
    "queue_limit": replace(FREE, limits=Limits(max_running=2), running=2, holders=[3, 4]),
    "key_limit": replace(FREE, key="a", limits=Limits(key_max_running=1), key_running=1, key_holders=[3]),
    "queue_rate": replace(FREE, limits=Limits(rate=1, rate_seconds=60), tokens=0.5),
    "key_rate": replace(FREE, key="a", limits=Limits(key_rate=1, key_rate_seconds=60), key_tokens=0.0),
    "no_worker": replace(FREE, serving=0, knowing=0),
    "unknown_kind": replace(FREE, knowing=0),
    "workers_busy": replace(FREE, threads=2, held=2, held_jobs=[3, 4]),
    "jobs_ahead": replace(FREE, ahead=4),
}


def codes(facts: Facts) -> list[str]:
    return [reason.code for reason in explain(facts).reasons]


def test_there_is_a_case_for_every_reason() -> None:
    assert set(CASES) == set(get_args(Code))


@pytest.mark.parametrize("code", CASES)
def test_each_fact_gives_its_reason_and_no_other(code: str) -> None:
    assert codes(CASES[code]) == [code]


def test_all_reasons_that_hold_are_told_together() -> None:
    facts = replace(
        FREE,
        state=State.RETRYABLE,
        due_at=LATER,
        queue_paused_at=NOW,
        kind_paused_at=NOW,
        serving=0,
        limits=Limits(max_running=1, rate=1, key_max_running=1, key_rate=1),
        key="a",
        running=1,
        key_running=1,
        tokens=0.0,
        key_tokens=0.0,
        ahead=9,
    )
    assert codes(facts) == [
        "time", "queue_paused", "kind_paused", "no_worker", "queue_limit", "key_limit", "queue_rate", "key_rate",
        "jobs_ahead",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "facts",
    [
        replace(FREE, limits=Limits(max_running=3, key_max_running=2, rate=1, key_rate=1), key="a", running=2,
                key_running=1, tokens=1.0, key_tokens=1.0),
        replace(FREE, limits=Limits(key_max_running=1, key_rate=1), key_running=5, key_tokens=0.0),
        replace(FREE, state=State.SCHEDULED, due_at=NOW),
        replace(FREE, threads=2, held=1, held_jobs=[3]),
        replace(FREE, state=State.SCHEDULED, threads=1, held=1),
        replace(FREE, threads=3, held=1, held_jobs=[3], lost_running=1),
    ],
    ids=["room is left", "a job without a key", "its time has come", "a thread is free", "it does not want one yet",
         "a thread is free beside lost jobs"],
)  # fmt: skip
def test_what_does_not_hold_is_not_told(facts: Facts) -> None:
    assert codes(facts) == ["next"]


def test_the_sentences_name_who_and_whom() -> None:
    assert "by olga" in explain(CASES["queue_paused"]).reasons[0].text
    (limit,) = explain(CASES["queue_limit"]).reasons
    assert "#3, #4" in limit.text
    assert limit.jobs == [3, 4]
    (parents,) = explain(CASES["parents"]).reasons
    assert "#7 (running) and 2 more" in parents.text
    assert "not needed" in explain(CASES["finished"]).reasons[0].text
    (busy,) = explain(CASES["workers_busy"]).reasons
    assert "2 at once, #3, #4" in busy.text
    assert busy.jobs == [3, 4]
    for lost, held_jobs, text in (
        (1, [3], "2 at once, #3 and the handler of a job that was taken from them, which still runs."),
        (2, [], "2 at once, the handlers of 2 jobs that were taken from them, which still run."),
    ):
        facts = replace(FREE, threads=2, held=len(held_jobs), held_jobs=held_jobs, lost_running=lost)
        (busy,) = explain(facts).reasons
        assert text in busy.text
    assert "10,000 or more" in explain(replace(FREE, ahead=10_000, ahead_capped=True)).reasons[0].text


def test_the_estimate_is_the_end_of_what_ends_by_itself() -> None:
    assert explain(FREE).starts_at == NOW
    assert explain(CASES["time"]).starts_at == LATER
    assert explain(CASES["queue_rate"]).starts_at == NOW + timedelta(seconds=30)
    both = replace(
        CASES["queue_rate"], key="a", key_tokens=0.0, limits=Limits(rate=1, rate_seconds=60, key_rate=1)
    )
    assert explain(both).starts_at == NOW + timedelta(seconds=30)


def test_the_line_goes_at_the_queues_pace() -> None:
    assert explain(replace(FREE, ahead=9, pace=2.0)).starts_at == NOW + timedelta(seconds=5)
    assert explain(replace(CASES["queue_limit"], pace=0.5)).starts_at == NOW + timedelta(seconds=2)


def test_the_line_goes_no_faster_than_the_queues_rate() -> None:
    hourly = replace(CASES["queue_rate"], limits=Limits(rate=1, rate_seconds=3600), ahead=5)
    found = explain(hourly)
    assert found.starts_at == NOW + timedelta(hours=5.5)
    assert found.starts_note == "At the queue's rate."
    assert explain(replace(hourly, pace=100.0)).starts_at == NOW + timedelta(hours=5.5)
    assert explain(replace(hourly, tokens=3.0, ahead=4)).starts_at == NOW + timedelta(hours=2)
    assert explain(replace(hourly, tokens=3.0, ahead=4, pace=100.0)).starts_at == NOW + timedelta(hours=2)
    idle_before = explain(replace(hourly, pace=0.00001))
    assert (idle_before.starts_at, idle_before.starts_note) == (found.starts_at, found.starts_note)
    busy = explain(replace(hourly, limits=replace(hourly.limits, max_running=1), running=1, pace=0.00001))
    assert busy.starts_note == "At the queue's recent pace."
    full = replace(hourly, limits=replace(hourly.limits, max_running=1), running=1)
    assert explain(full).starts_at is None


def test_the_line_of_a_key_goes_no_faster_than_the_rate_of_the_key() -> None:
    limits = Limits(key_rate=1, key_rate_seconds=60)
    minutely = replace(FREE, key="a", key_tokens=0.0, limits=limits, ahead=7, ahead_of_key=4)
    for pace in (None, 0.00001, 100.0):
        found = explain(replace(minutely, pace=pace))
        assert (found.starts_at, found.starts_note) == (NOW + timedelta(minutes=5), "At its key's rate.")
    both = replace(minutely, limits=replace(limits, rate=1, rate_seconds=60), tokens=0.0)
    assert explain(both).starts_at == NOW + timedelta(minutes=8)
    assert explain(both).starts_note == "At the queue's rate."
    fresh = replace(minutely, key_tokens=2.0, pace=100.0)
    assert explain(fresh).starts_at == NOW + timedelta(minutes=3), "no faster, at whatever pace"


@pytest.mark.parametrize(
    "facts",
    [
        CASES["jobs_ahead"],
        replace(FREE, ahead=10_000, ahead_capped=True, pace=5.0),
        *(CASES[code] for code in ("parents", "queue_paused", "kind_paused", "no_worker", "unknown_kind")),
        replace(CASES["queue_paused"], ahead=4, pace=2.0),
    ],
)
def test_where_the_start_is_not_known_it_says_so(facts: Facts) -> None:
    found = explain(facts)
    assert found.starts_at is None
    assert found.starts_note.startswith("Not known")
