"""Limits and rates over eight real worker processes, some of which are killed in the middle of jobs.

What ran at once is read off the lines that job bodies wrote, what started when off the rows of all attempts.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from itertools import pairwise

import pytest
from django.db import connection

from jobs import queue_steering
from jobs.control import Actor
from jobs.models import Attempt, Job, Permit, Queue, WorkerProcess
from jobs.submit import JobSpec, submit_many
from tests.crash.faults import Done, children, until_none_is_left
from tests.crash.harness import History, Program, Start
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WORKERS, AT_ONCE, OF_A_KEY, BURST, RATE = 8, 4, 2, 5, 20.0
KEYS = ("acme", "Ünïcorn ∞", "'\"\\;--", None)


def submit(history: History, queue: str, count: int, seconds: float) -> None:
    submit_many(
        [
            JobSpec(
                kind="workflow.task",
                payload=history.payload(f"{queue}-{n % len(KEYS)}-{n}", seconds),
                queue=queue,
                concurrency_key=KEYS[n % len(KEYS)],
                max_attempts=50,
            )
            for n in range(count)
        ]
    )


def ran(history: History, done: Done, queue: str, lane: str = "") -> list[tuple[float, float]]:
    """From when to when each attempt ran: until its last line, or until its process was killed."""
    killed = {fault["pid"]: fault["at"] for fault in done.faults}
    lines = [line for line in history.lines() if line["task"].startswith(f"{queue}-{lane}")]
    ends = {(line["task"], line["attempt"]): line["at"] for line in lines if line["event"] == "end"}
    return [
        (line["at"], ends.get((line["task"], line["attempt"]), killed.get(line["pid"], line["at"])))
        for line in lines
        if line["event"] == "start"
    ]


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Where one ends at the very moment another begins, it ends first."""
    steps = sorted(step for began, ended in spans for step in ((began, 1), (ended, -1)))
    number = most = 0
    for _, change in steps:
        number += change
        most = max(most, number)
    return most


def start_team(worker: Start, settings: str) -> Program:
    team = worker("--processes", str(WORKERS), "--concurrency", "4", settings=settings)
    eventually(lambda: WorkerProcess.objects.filter(state="live").count() == WORKERS, timeout=20)
    return team


def kill_one_at_work(team: Program, history: History, done: Done) -> None:
    """Some process that has begun a job and not ended it, as far as its lines tell."""
    alive = children(team)

    def at_work() -> int:
        last = {line["pid"]: line["event"] for line in history.lines()}
        return next((pid for pid in alive if last.get(pid) == "start"), 0)

    done.kill(eventually(at_work, timeout=20))


def starts(queue: str) -> list[float]:
    of_jobs = Job.objects.filter(queue=queue).values_list("started_at", flat=True)
    of_attempts = Attempt.objects.filter(job__queue=queue).values_list("started_at", flat=True)
    return sorted(at.timestamp() for at in [*of_jobs, *of_attempts] if at is not None)


def test_no_limit_and_no_rate_is_passed_by_eight_processes_some_of_which_are_killed(
    worker: Start, history: History
) -> None:
    Queue.objects.bulk_create([Queue(name="narrow"), Queue(name="paced")])
    queue_steering.change_queue(Actor(), "narrow", max_running=AT_ONCE, key_max_running=OF_A_KEY)
    queue_steering.change_queue(Actor(), "paced", rate=int(RATE), rate_burst=BURST)
    submit(history, "narrow", 60, 0.05)
    submit(history, "paced", 40, 0.0)
    done = Done()
    team = start_team(worker, "tests.crash.settings_storm")
    for number in (10, 30):
        history.wait_for("start", number)
        kill_one_at_work(team, history, done)
    assert until_none_is_left(connection.cursor(), timeout=60.0), team.text
    team.send(signal.SIGTERM)
    assert team.end() == 0, team.text
    assert most_at_once(ran(history, done, "narrow")) == AT_ONCE, "never more, and the limit is used"
    assert all(most_at_once(ran(history, done, "narrow", f"{lane}-")) <= OF_A_KEY for lane in range(3))
    times = starts("paced")
    for first in range(len(times)):
        for count, at in enumerate(times[first:], start=1):
            # A tenth of a second lies between a claim's look at the clock and its write on a crowded machine.
            assert count <= BURST + RATE * (at - times[first] + 0.1), (first, count)
    assert len(done.faults) == 2
    assert not Permit.objects.exists()
    assert_consistent(connection.cursor(), at_rest=True)


def test_where_held_places_are_not_counted_more_are_seen_to_run(worker: Start, history: History) -> None:
    """The negative control."""
    Queue.objects.create(name="narrow")
    queue_steering.change_queue(Actor(), "narrow", max_running=AT_ONCE)
    submit(history, "narrow", 40, 0.1)
    start_team(worker, "tests.crash.settings_no_places")
    assert until_none_is_left(connection.cursor(), timeout=60.0)
    assert most_at_once(ran(history, Done(), "narrow")) > AT_ONCE


def test_the_count_of_what_ran_at_once_counts_right() -> None:
    assert most_at_once([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]) == 1
    assert most_at_once([(0.0, 1.5), (1.0, 2.0), (1.2, 3.0)]) == 3
    assert all(most_at_once(pair) == 1 for pair in pairwise([(0.0, 1.0), (1.0, 2.0), (2.0, 2.0)]))
