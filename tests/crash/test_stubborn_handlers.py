"""A handler that cannot be stopped does not keep its worker from ending."""

from __future__ import annotations

import signal

import pytest

import jobs
from jobs.models import Job
from tests.crash import kinds_deaf, kinds_stubborn  # noqa: F401 - registers the kinds
from tests.crash.harness import Start
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_thread_that_a_handler_left_behind_does_not_keep_the_process(worker: Start) -> None:
    """The interpreter joins the threads of `asyncio.to_thread` and of pools before it ends: for ever, if they hang."""
    one = worker(settings="tests.crash.settings_stubborn")
    job = jobs.submit("test.stubborn")
    eventually(lambda: Job.objects.get(pk=job.id).state == "running")
    one.send(signal.SIGTERM)
    assert one.end(timeout=15) == 0, one.text
    assert Job.objects.get(pk=job.id).state == "available"


def test_a_worker_with_too_many_handlers_left_behind_begins_anew(worker: Start) -> None:
    one = worker(settings="tests.crash.settings_overdue")
    job = jobs.submit("test.deaf")
    eventually(lambda: Job.objects.get(pk=job.id).state == "retryable", timeout=20)
    eventually(lambda: one.text.count(" ready: ") == 2, timeout=60)
    assert "at most 0 are allowed" in one.text
    assert "the worker begins anew" in one.text
    after = jobs.submit("workflow.task", {"task": "after", "seconds": 0})
    eventually(lambda: Job.objects.get(pk=after.id).state == "completed", timeout=20)
    one.send(signal.SIGTERM)
    assert one.end(timeout=15) == 0, one.text
