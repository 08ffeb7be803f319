"""Benchmarks that speak the store's own statements still can: they stand outside of it, and broke unseen twice."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
from django.db import connection

import jobs
from benchmarks import backlog, floor
from benchmarks.ground import registered
from jobs import JobSpec
from jobs.database import open_connection
from jobs.models import Job, Ready
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waiting() -> list[int]:
    """Jobs in the lane of the benchmarks."""
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo")] * 5)]
    for rows in (Job.objects.all(), Ready.objects.all()):
        rows.update(queue="bench", kind="bench.noop")
    jobs.submit("test.echo", queue="bench")
    return ids


def test_the_bare_loop_ends_what_it_claims(waiting: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "BATCH", 2)
    spans = multiprocessing.get_context("fork").SimpleQueue()
    floor._loop(waiting, threading.Barrier(1), spans)  # type: ignore[arg-type]  # alone, so any barrier does
    began, ended = spans.get()
    assert began < ended
    assert set(Job.objects.filter(pk__in=waiting).values_list("state", flat=True)) == {"completed"}
    assert_consistent(connection.cursor())


def test_the_asker_times_a_look_and_a_claim_and_takes_both_back(
    waiting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "CLAIMED", len(waiting))
    found = backlog.look()
    assert all(milliseconds > 0 for milliseconds in found["ms"].values())
    assert all(pages > 0 for pages in found["buffers"].values())
    assert set(Ready.objects.values_list("job_id", flat=True)) >= set(waiting)


def test_a_claim_that_takes_nothing_is_not_measured(
    waiting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the claims of a worker that has stopped, which look splendid."""
    monkeypatch.setattr(backlog, "CLAIMED", len(waiting))
    with open_connection("test backlog") as own:
        with registered(own, "stopped") as worker:
            pass
        asker = backlog.Asker(own, worker)
        with pytest.raises(AssertionError, match="0 of 5 jobs"):
            asker.times()
        with pytest.raises(AssertionError, match="0 of 1 jobs"):
            asker.buffers()
