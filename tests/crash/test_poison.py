"""A job that ends its worker each time is found out, and the good ones it took along run to their end."""

from __future__ import annotations

import signal

import pytest

import jobs
from jobs.models import Attempt, DeadLetter, Job
from jobs.submit import JobSpec, submit_many
from tests.crash import kinds_poison  # noqa: F401 - registers the kind
from tests.crash.harness import Start
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = 60


def test_a_job_that_ends_its_workers_dies_after_three_and_takes_no_good_one_along(worker: Start) -> None:
    """The good ones may fail not even once: were a loss an attempt, the first one would end them."""
    poison = jobs.submit("test.poison", priority=100).id
    payload = {"task": "good", "seconds": 0.01}
    good = submit_many([JobSpec(kind="workflow.task", payload=payload, max_attempts=1) for _ in range(GOOD)])
    team = worker("--processes", "2", "--concurrency", "4", settings="tests.crash.settings_poison")
    eventually(lambda: Job.objects.get(pk=poison).state == "dead", timeout=90)
    eventually(lambda: Job.objects.filter(state="completed").count() == GOOD, timeout=60)
    letter = DeadLetter.objects.get()
    assert (letter.pk, letter.error_class, letter.fingerprint) == (poison, "WorkerLost", "worker_lost")
    lost = Attempt.objects.filter(job_id=poison).order_by("number")
    assert [(one.number, one.outcome) for one in lost] == [(1, "lost"), (2, "lost"), (3, "lost")]
    losses = [one.options or {} for one in Job.objects.filter(pk__in=[one.id for one in good])]
    assert max(one.get("losses", 0) for one in losses) <= 2
    team.send(signal.SIGTERM)
    assert team.end(timeout=30) == 0, team.text
