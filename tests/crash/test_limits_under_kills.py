"""Limits and rates over eight real worker processes, some of which are killed in the middle of jobs.

What ran at once is read off the lines that job bodies wrote, what started when off the rows of all attempts.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
SETTINGS = "tests.crash.settings_storm"
KEYS = ("acme", "Ünïcorn ∞", "'\"\\;--", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """How many jobs of each queue, after how many starts a process is killed, and every how many seconds one more."""

    narrow: int
    paced: int
    after: tuple[int, ...] = ()
    every: float = float("inf")
    fewest: int
    timeout: float


SHORT = Kills(narrow=60, paced=40, after=(10, 30), fewest=2, timeout=60.0)
LONG = Kills(narrow=6_000, paced=4_800, every=2.0, fewest=30, timeout=900.0)


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


def at_work(team: Program, history: History) -> list[int]:
    """Processes that have begun a job and not ended it, as far as their lines tell."""
    last = {line["pid"]: line["event"] for line in history.lines()}
    return [pid for pid in children(team) if last.get(pid) == "start"]


def strikes(team: Program, history: History, done: Done, every: float) -> Callable[[], None]:
    """Kills one of those at work, drawn at random, whenever it is time."""
    rng, due = random.Random(2), [time.monotonic() + every]

    def strike() -> None:
        if time.monotonic() >= due[0] and (busy := at_work(team, history)):
            due[0] += every
            done.kill(rng.choice(busy))

    return strike


def starts(queue: str) -> list[float]:
    of_jobs = Job.objects.filter(queue=queue).values_list("started_at", flat=True)
    of_attempts = Attempt.objects.filter(job__queue=queue).values_list("started_at", flat=True)
    return sorted(at.timestamp() for at in [*of_jobs, *of_attempts] if at is not None)


@pytest.mark.parametrize(
    "kills", [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.faults)]
)
def test_no_limit_and_no_rate_is_passed_by_eight_processes_some_of_which_are_killed(
    kills: Kills, worker: Start, history: History, record_property: Callable[..., None]
) -> None:
    Queue.objects.bulk_create([Queue(name="narrow"), Queue(name="paced")])
    queue_steering.change_queue(Actor(), "narrow", max_running=AT_ONCE, key_max_running=OF_A_KEY)
    queue_steering.change_queue(Actor(), "paced", rate=int(RATE), rate_burst=BURST)
    submit(history, "narrow", kills.narrow, 0.05)
    submit(history, "paced", kills.paced, 0.0)
    done = Done()
    team = start_team(worker, SETTINGS)
    began = time.monotonic()
    for number in kills.after:
        history.wait_for("start", number)
        done.kill(eventually(lambda: at_work(team, history), timeout=20)[0])
    strike = strikes(team, history, done, kills.every)
    assert until_none_is_left(connection.cursor(), timeout=kills.timeout, meanwhile=strike), team.text
    took = round(time.monotonic() - began, 1)
    team.send(signal.SIGTERM)
    assert team.end() == 0, team.text
    times = starts("paced")
    spans = ran(history, done, "narrow")
    figures = {"seconds": took, "kills": len(done.faults), "narrow starts": len(spans), "paced": len(times)}
    record_property("figures", figures)
    assert most_at_once(spans) == AT_ONCE, "never more, and the limit is used"
    assert all(most_at_once(ran(history, done, "narrow", f"{lane}-")) <= OF_A_KEY for lane in range(3))
    for first in range(len(times)):
        for count, at in enumerate(times[first:], start=1):
            # A tenth of a second lies between a claim's look at the clock and its write on a crowded machine.
            assert count <= BURST + RATE * (at - times[first] + 0.1), (first, count)
    assert len(done.faults) >= kills.fewest, figures
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
