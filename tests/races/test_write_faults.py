"""A fault at every write statement in turn: an error in its place, and a connection lost after its commit.

Each story of `stories_*.py` is told once without a fault, which tells its writes; then once for each of them and each
way of failing. At every point the tables agree with each other, what is one transaction has happened entirely or not at
all, and in the end the story's facts hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs import control, maintenance
from jobs.loop import DATABASE_AWAY
from jobs.states import State
from notifications.log import state
from tests.jobs.ground import in_state
from tests.races.faulty import MODES, Fault, Faults, write_statements
from tests.races.stories import STORIES
from tests.races.stories_operators import actions, again
from tests.races.story import Story, states_of, told
from tests.support_consistency import assert_consistent
from tests.support_proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)

TRIES = 5
_TABLES = "SELECT tablename FROM pg_tables WHERE tablename ~ '^(jobs_|notifications_event$)' ORDER BY 1"


@pytest.fixture
def checker(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A connection beside the proxy, which no fault reaches."""
    with psycopg.connect(
        **connection.get_connection_params() | {"cursor_factory": None}, autocommit=True
    ) as own:
        yield own


@pytest.fixture
def faults(checker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Everything that connects from now on does so through a proxy."""
    settings = connection.settings_dict
    with checker.cursor() as cursor:
        state(cursor)  # begins the log, which happens once and is not part of any story
    proxy = Proxy(tmp_path, Path(settings["HOST"]) / f".s.PGSQL.{settings['PORT'] or 5432}")
    connection.close()
    monkeypatch.setitem(settings, "HOST", proxy.host)
    yield Faults(proxy)
    connection.close()
    monkeypatch.undo()
    proxy.close()


def everything(checker: psycopg.Connection[Any]) -> dict[str, Any]:
    """A sum of each table's rows."""
    sums = {}
    for (table,) in checker.execute(_TABLES).fetchall():
        query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t"
        sums[table] = checker.execute(query).fetchone()
    return sums


class Teller:
    """Tells a story, with a fault or without."""

    def __init__(self, faults: Faults, checker: psycopg.Connection[Any]) -> None:
        self.faults = faults
        self.checker = checker
        self._judged = False

    def tell(self, story: Story, fault: Fault | None = None, *, occurrences: int = 1) -> list[Fault]:
        """The faults that this story's writes offer, at the first `occurrences` of each statement."""
        ground = story.begin()
        before = everything(self.checker)
        try:
            with self.faults.watching(fault):
                self._act(story, ground, before)
            seen = dict(self.faults.seen)
            self._look_whether_it_failed(story)
            with self.checker.cursor() as cursor:
                assert_consistent(cursor)
            story.facts(ground)
        finally:
            story.end(ground)
        return [
            Fault(label=label, occurrence=occurrence, mode=mode)
            for label, count in seen.items()
            for occurrence in range(min(count, occurrences))
            for mode in MODES
        ]

    def _look_whether_it_failed(self, story: Story) -> None:
        """No AssertionError: a fault that did not happen is not one that was found out."""
        fault = self.faults.fault
        if fault is None:
            return
        if not self.faults.fired:
            pytest.fail(f"{fault} was not reached")
        if self.faults.cuts != (fault.mode == "after commit"):
            pytest.fail(f"{fault}: {self.faults.cuts} answers to a commit were swallowed")
        if story.whole and not self._judged:
            pytest.fail(f"{fault}: nobody heard of it, so nobody looked what it left")

    def _act(self, story: Story, ground: Any, before: dict[str, Any]) -> None:
        self._judged = False
        for _ in range(TRIES):
            try:
                story.act(ground)
            except DATABASE_AWAY:
                connection.close()
                self._judge(story, before)
            else:
                return
        raise AssertionError("it never went through")

    def _judge(self, story: Story, before: dict[str, Any]) -> None:
        with self.checker.cursor() as cursor:
            assert_consistent(cursor)
        fault = self.faults.fault
        if story.whole and fault is not None:
            self._judged = True
            happened = everything(self.checker) != before
            assert happened is (fault.mode == "after commit"), f"{fault}: all or nothing, and which"


@pytest.fixture
def teller(faults: Faults, checker: psycopg.Connection[Any]) -> Teller:
    return Teller(faults, checker)


# The long form fails each statement also where it runs again in the same story.
LONG = pytest.param(4, marks=[pytest.mark.faults, pytest.mark.slow], id="long")


@pytest.mark.parametrize("occurrences", [pytest.param(1, id="ci"), LONG])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_fault_at_any_write_leaves_the_invariants_standing(
    story: Story, occurrences: int, teller: Teller
) -> None:
    points = teller.tell(story, occurrences=occurrences)
    assert points
    for fault in points:
        try:
            teller.tell(story, fault)
        except BaseException as error:
            error.add_note(f"story: {story.name}; fault: {fault}")
            raise


@pytest.mark.parametrize(("believed", "mode"), [(False, "after commit"), (True, "before")])
def test_without_the_question_lines_are_doubled_or_lost(
    teller: Teller, monkeypatch: pytest.MonkeyPatch, believed: bool, mode: str
) -> None:
    """The negative control of the story of reports: a doubtful commit is taken for undone, or for done."""
    (story,) = [story for story in STORIES if story.name == "reports"]
    points = [fault for fault in teller.tell(story) if fault.mode == mode]
    if mode == "before":
        # A batch whose lines were not all written and told is in no doubt.
        points = [fault for fault in points if fault.label == "write_progress"]
    assert points
    monkeypatch.setattr(maintenance, "were_written", lambda *_, **__: believed)
    for fault in points:
        with pytest.raises(AssertionError, match="each of them once"):
            teller.tell(story, fault)


def test_every_statement_that_writes_is_in_a_story(teller: Teller) -> None:
    """A new one needs a story: whoever adds a statement says here what must hold when it fails."""
    run = {fault.label for story in STORIES for fault in teller.tell(story)}
    assert not write_statements() - run, "tests/races/stories_*.py: each statement that writes needs a story"


def test_a_move_in_two_transactions_is_found_out(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: where each statement commits by itself, a fault leaves half of the move behind."""

    def torn(work: Callable[[Any], Any]) -> Any:
        with connection.cursor() as cursor:
            return work(cursor)

    monkeypatch.setattr(control, "acting", torn)

    def facts(job: int) -> None:
        assert states_of(job) == ["available"]
        assert (told("job.available", job), actions("run now", job)) == (1, 1)

    story = Story(
        name="torn",
        begin=lambda: in_state(State.SCHEDULED),
        act=lambda job: again(control.run_now, [job]),
        facts=facts,
        whole=True,
    )
    points = teller.tell(story)
    caught = 0
    for fault in points:
        try:
            teller.tell(story, fault)
        except AssertionError:
            caught += 1
            with connection.cursor() as cursor:
                # What it broke is not the next telling's to find.
                cursor.execute("TRUNCATE jobs_job, jobs_ready, jobs_scheduled CASCADE")
    assert caught >= len(points) // 2
