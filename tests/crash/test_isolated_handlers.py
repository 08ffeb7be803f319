"""A child process ends with its worker, however that ends."""

from __future__ import annotations

import signal

import psutil
import pytest

import jobs
from jobs.models import Job, LogLine
from tests.crash import kinds_isolated  # noqa: F401 - registers the kind
from tests.crash.harness import Start
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_worker(worker: Start, number: signal.Signals) -> None:
    """Its handler loops in C and blocks every signal, so that no watched pipe can tell it."""
    one = worker(settings="tests.crash.settings_isolated")
    job = jobs.submit("test.unstoppable")
    pid = int(eventually(lambda: LogLine.objects.filter(job_id=job.id).first(), timeout=30).line)  # type: ignore[union-attr]
    family = [psutil.Process(pid), *psutil.Process(one.process.pid).children(recursive=True)]
    assert any(member.pid == pid for member in family[1:])
    one.send(number)
    code = one.end(timeout=20)
    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL), one.text
    eventually(lambda: not any(member.is_running() for member in family), timeout=10)
    if number == signal.SIGTERM:
        assert Job.objects.get(pk=job.id).state == "available"
