"""Workers are stopped past their lease and wake up with work in their hands: each late write is refused and counted.

Like a laptop whose lid was closed, or a machine that was frozen while it was moved.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from jobs.models import Ready, WorkerProcess
from jobs.submit import JobSpec, submit_many
from tests.crash.faults import Done, children, judge, until_none_is_left
from tests.crash.harness import History, Program, Start, lost_count
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

HEARS = "tests.crash.settings_storm"
HEARS_LATE = "tests.crash.settings_hears_late"
TEAM = 5
AT_ONCE = 3
SECONDS = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plague:
    """How many times a process is stopped past its lease, and whether it hears at once that it was given up."""

    zombies: int
    settings: str


class Town:
    """Five worker processes that always have something to do, three of which are stopped at a time."""

    def __init__(self, worker: Start, history: History, settings: str) -> None:
        self.history, self.done = history, Done()
        self.promised: dict[str, int] = {}
        self.team: Program = worker("--processes", str(TEAM), "--concurrency", "2", settings=settings)
        eventually(lambda: len(self.living()) == TEAM, timeout=20)
        self._rng = random.Random(3)

    def living(self) -> dict[int, int]:
        """Worker ids by process."""
        rows = WorkerProcess.objects.filter(state="live", pid__in=children(self.team))
        return dict(rows.values_list("pid", "id"))

    def feed(self) -> None:
        """So much that nobody runs out of work soon."""
        if Ready.objects.count() > TEAM * 2:
            return
        names = [f"t{len(self.promised) + number}" for number in range(TEAM * 2 * 2)]
        placed = submit_many(
            [
                JobSpec(kind="workflow.task", payload=self.history.payload(name, SECONDS), max_attempts=100)
                for name in names
            ]
        )
        self.promised |= {name: one.id for name, one in zip(names, placed, strict=True)}

    def running(self) -> list[dict[str, Any]]:
        """The first lines of the attempts that have no last one."""
        running = {}
        for line in self.history.lines():
            if line["event"] == "start":
                running[line["task"], line["attempt"]] = line
            else:
                running.pop((line["task"], line["attempt"]), None)
        return list(running.values())

    def busy(self) -> set[int]:
        """Processes in the first half of a job."""
        return {line["pid"] for line in self.running() if time.time() - line["at"] < SECONDS / 2}

    def began_again(self, held: list[dict[str, Any]]) -> bool:
        begun = {(line["task"], line["attempt"]) for line in self.history.lines()}
        return all((line["task"], line["attempt"] + 1) in begun for line in held)

    def victims(self) -> list[int]:
        self.feed()
        fit = sorted(self.busy() & set(self.living()))
        return self._rng.sample(fit, min(AT_ONCE, len(fit)))

    def plague(self, number: int) -> list[int]:
        """Stop some until all of them are given up and their jobs run elsewhere; the ids they had."""
        victims = eventually(self.victims, timeout=20)[:number]
        ids = [self.living()[pid] for pid in victims]
        with self.done.stopped(*victims):
            eventually(lambda: self.lost(ids) == len(ids), timeout=20)
            held = [line for line in self.running() if line["pid"] in victims]
            eventually(lambda: self.began_again(held), timeout=20)
        return victims

    def wait_for(self, victims: list[int]) -> None:
        """Until all of them have heard that they were given up, and registered anew."""
        eventually(lambda: set(victims) <= set(self.living()), timeout=20)

    def lost(self, ids: list[int]) -> int:
        return WorkerProcess.objects.filter(id__in=ids, state="lost").count()


@pytest.fixture
def town(worker: Start, history: History, plague: Plague) -> Town:
    return Town(worker, history, plague.settings)


@pytest.mark.parametrize(
    "plague",
    [
        pytest.param(Plague(zombies=6, settings=HEARS), id="short"),
        pytest.param(Plague(zombies=3, settings=HEARS_LATE), id="short, hears late"),
        pytest.param(Plague(zombies=100, settings=HEARS), id="long", marks=pytest.mark.faults),
        pytest.param(
            Plague(zombies=100, settings=HEARS_LATE), id="long, hears late", marks=pytest.mark.faults
        ),
    ],
)
def test_every_late_write_is_refused_and_counted(
    plague: Plague, town: Town, history: History, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    woken = 0
    while woken < plague.zombies:
        victims = town.plague(plague.zombies - woken)
        town.wait_for(victims)
        woken += len(victims)
    cursor = connection.cursor()
    assert until_none_is_left(cursor, timeout=60.0), town.team.text
    town.team.send(signal.SIGTERM)
    assert town.team.end() == 0, town.team.text
    verdict = judge(cursor, tmp_path, history, town.promised, town.done, refused=lost_count())
    record_property("figures", verdict.figures)
    assert not verdict.violations, verdict.violations[:10]
    assert verdict.figures["stops"] == woken
    assert verdict.figures["late"] >= woken, verdict.figures
    assert WorkerProcess.objects.filter(state="lost").count() == woken, "each was given up once"
    rows = list(
        WorkerProcess.objects.order_by("pk").values_list("pk", "pid", "state", "started_at", "stopped_at")
    )
    assert len(rows) == TEAM + woken, ("and registered anew once", rows, town.team.text)
    assert_consistent(cursor, at_rest=True)


@pytest.mark.parametrize(
    "plague", [Plague(zombies=3, settings="tests.crash.settings_no_fence")], ids=["no fence"]
)
def test_without_the_fence_the_late_writes_are_seen(
    plague: Plague, town: Town, history: History, tmp_path: Path
) -> None:
    """The negative control: they never hear that they were given up, and completion goes by the job's id alone."""
    town.plague(plague.zombies)
    cursor = connection.cursor()

    def seen() -> list[str]:
        found = judge(cursor, tmp_path, history, town.promised, town.done, refused=lost_count()).violations
        return [one for one in found if "the log tells completions of" in one]

    assert eventually(seen, timeout=20, interval=0.3)
