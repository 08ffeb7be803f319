"""When a job runs again: after the delay of its exception's nearest class, if at all; after a snooze, at no cost."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import transaction

import jobs
from jobs.core.backoff import Fixed
from jobs.database import django_cursor
from jobs.errors import ConfigurationError, JobTimeout
from jobs.models import Attempt, Job, Scheduled
from jobs.registry import job
from jobs.states import State
from jobs.store.ending import end_attempts
from jobs.store.moving import promote
from jobs.store.values import Transition
from tests.jobs.conftest import Bench
from tests.jobs.ground import make_worker, take

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables_agree")]


# -- snoozes -----------------------------------------------------------------------------------------------------------


def test_a_job_may_snooze_for_ever_at_no_cost_and_the_newest_of_it_is_kept() -> None:
    one, other = jobs.submit("test.echo").id, jobs.submit("test.echo").id
    worker = make_worker()
    for number in range(24):
        with transaction.atomic(), django_cursor() as cursor:
            snoozes = [
                Transition(
                    job=held, target=State.SCHEDULED, outcome="snoozed", refund=True, reason=f"n{number}"
                )
                for held in take(worker, *((one, other) if number < 3 else (one,)))
            ]
            assert not end_attempts(cursor, worker, snoozes).lost
            promote(cursor, [one, other], anyway=True)
    assert list(Job.objects.order_by("pk").values_list("attempt", "state")) == [(0, "available")] * 2
    kept = Attempt.objects.filter(job_id=one).order_by("pk").values_list("message", flat=True)
    assert list(kept) == [f"n{number}" for number in range(4, 24)]
    assert Attempt.objects.filter(job_id=other).count() == 3


# -- policies ----------------------------------------------------------------------------------------------------------


class Gone(LookupError):
    pass


POLICIES: dict[type[BaseException], Any] = {
    LookupError: Fixed(seconds=11),
    Gone: None,
    JobTimeout: Fixed(seconds=22),
    OSError: Fixed(seconds=33),
}


@job("policies.by_class", queue="test", backoff=Fixed(seconds=99), timeout=0.2, retry=POLICIES)
def by_class(ctx: Any, payload: dict[str, Any]) -> None:
    match payload["raise"]:
        case "KeyError":
            raise KeyError("a")
        case "Gone":
            raise Gone("b")
        case "ConnectionResetError":
            raise ConnectionResetError("c")
        case "timeout":
            while not ctx.cancelled:
                time.sleep(0.01)
            ctx.raise_if_cancelled()
    raise ValueError("d")


@pytest.mark.parametrize(
    ("raised", "delay"),
    [("KeyError", 11), ("timeout", 22), ("ConnectionResetError", 33), ("ValueError", 99), ("Gone", None)],
)
def test_what_follows_depends_on_the_nearest_class_with_a_policy(
    bench: Bench, raised: str, delay: Any
) -> None:
    ended = bench.until(jobs.submit("policies.by_class", {"raise": raised}).id, "retryable", "dead")
    if delay is None:
        assert (ended.state, ended.attempt) == ("dead", 1)
    else:
        waits = Scheduled.objects.get(pk=ended.pk).at - Attempt.objects.get(job=ended).finished_at
        assert abs(waits.total_seconds() - delay) < 1


@pytest.mark.parametrize("retry", [{"ValueError": None}, {ValueError: "never"}, {int: None}])
def test_policies_that_make_no_sense_are_refused(retry: Any) -> None:
    with pytest.raises(ConfigurationError, match="retry"):
        job("policies.bad", retry=retry)
