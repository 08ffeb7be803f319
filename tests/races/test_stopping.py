"""A worker that stops gives a job back while its handler ends in the same moment: one of the two is recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from jobs.executor import Executor
from jobs.models import Attempt, Job
from jobs.outcomes import Cancel, Completed, Failed, Outcome, Snooze
from jobs.registry import registry
from jobs.scheduler import Scheduler
from tests.races.harness import Hand, submit_some
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def executor() -> Executor:
    """Without its threads: the test says what they do."""
    return Executor(registry=registry, concurrency=1, wake=lambda: None)


@pytest.fixture
def scheduler(transactional_db: None, executor: Executor) -> Iterator[Scheduler]:
    hand = Hand()
    one = Scheduler(worker_id=hand.worker_id, queues=[], registry=registry, executor=executor, concurrency=1)
    yield one
    one.close()
    hand.close()


LAST_WORDS = {
    "failed": Failed(error_class="Boom", message="boom"),
    "cancelled": Cancel("asked to"),
    "snoozed": Snooze(5),
    "completed": Completed(None),
}


@pytest.mark.parametrize("outcome", LAST_WORDS.values(), ids=LAST_WORDS)
def test_a_job_given_back_stays_so_whatever_its_handler_says_last(
    scheduler: Scheduler, executor: Executor, outcome: Outcome
) -> None:
    submit_some(1)
    scheduler.control()
    assert scheduler.tick().claimed == 1
    (job,) = executor.take_back()  # a thread has it
    scheduler.draining = True
    scheduler.give_back_all("the worker stops now")
    executor._attempts.ended.append((job, outcome))
    assert scheduler.tick().recorded == 1
    assert scheduler.held() == 0
    assert Job.objects.values_list("state", "attempt").get() == ("available", 0)
    assert not Attempt.objects.exists()
    assert_consistent(connection.cursor(), at_rest=True)


@pytest.mark.parametrize("outcome", LAST_WORDS.values(), ids=LAST_WORDS)
def test_a_job_that_has_ended_is_not_given_back(
    scheduler: Scheduler, executor: Executor, outcome: Outcome
) -> None:
    """Its end waits to be recorded, the database being away, when the worker is told to stop."""
    submit_some(1)
    scheduler.control()
    scheduler.tick()
    (job,) = executor.take_back()
    executor._attempts.ended.append((job, outcome))
    scheduler._collect()
    scheduler.give_back_all("the worker stops now")
    scheduler.draining = True
    assert scheduler.tick().recorded == 1
    assert Job.objects.get().state != "available"
    assert_consistent(connection.cursor(), at_rest=True)
