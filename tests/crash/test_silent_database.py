"""A database that answers nothing: its connections stay open and new ones are accepted, but nobody speaks.

The workers reach it through a proxy that stops forwarding. The short form scales silence and bound by settings; the
long one is a minute with the defaults.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connection

import jobs
from jobs import JobSpec
from jobs.models import Attempt, Job, WorkerProcess
from tests.crash.harness import History, Program, Start
from tests.support import eventually
from tests.support_consistency import assert_consistent
from tests.support_proxy import Proxy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

BOUND = 10.0
AWAY = "no answer for"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    settings = connection.settings_dict
    folder = tmp_path / "p"
    folder.mkdir()
    one = Proxy(folder, Path(settings["HOST"]) / f".s.PGSQL.{settings['PORT'] or 5432}")
    yield one
    one.close()


@pytest.fixture
def behind_the_proxy(worker: Start, proxy: Proxy) -> Callable[..., Program]:
    """A worker that knows the database by the proxy only; the test itself reaches it directly."""

    def start(settings: str) -> Program:
        database = connection.settings_dict
        url = f"postgresql://{database['USER']}@/{database['NAME']}?host={proxy.host}"
        return worker("--concurrency", "2", settings=settings, DATABASE_URL=url)

    return start


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    settings: str
    silence: float


CI = pytest.param(Form(settings="tests.crash.settings_impatient", silence=4.0), id="ci")
LONG = pytest.param(
    Form(settings="opsched.settings", silence=60.0), marks=pytest.mark.faults, id="a minute, defaults"
)


def submit(history: History, *tasks: str, seconds: float = 0.0) -> None:
    specs = [JobSpec(kind="workflow.task", payload=history.payload(task, seconds)) for task in tasks]
    jobs.submit_many(specs)


def all_done() -> bool:
    return not Job.objects.exclude(state="completed").exists()


@pytest.mark.parametrize("form", [CI, LONG])
def test_silence_is_noticed_in_time_and_survived(
    form: Form, behind_the_proxy: Callable[..., Program], proxy: Proxy, history: History
) -> None:
    """A job that ran through the silence is recorded once, nobody was declared lost, and the next jobs run soon."""
    workers = [behind_the_proxy(form.settings) for _ in range(2)]
    submit(history, *(f"before-{number}" for number in range(10)))
    eventually(all_done, timeout=20)
    submit(history, "through", seconds=1.0)
    history.wait_for("start", 11)
    proxy.fall_silent()
    fell = time.monotonic()
    eventually(lambda: all(AWAY in one.text for one in workers), timeout=BOUND + 5)
    noticed = time.monotonic() - fell
    assert noticed <= BOUND, f"a call lasted {noticed:.1f} s"
    submit(history, *(f"after-{number}" for number in range(10)))
    # The rest of the silence is part of what is tested, not a guess at when something is done.
    time.sleep(max(0.0, fell + form.silence - time.monotonic()))
    proxy.speak()
    spoke = time.monotonic()
    eventually(all_done, timeout=BOUND + 5)
    recovered = time.monotonic() - spoke
    assert recovered <= BOUND, f"recovery took {recovered:.1f} s"
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    assert not Attempt.objects.exists()
    assert set(WorkerProcess.objects.values_list("state", flat=True)) == {"live"}
    history.ends_once(dict.fromkeys(("through", *(f"after-{number}" for number in range(10))), 1))
    with connection.cursor() as cursor:
        assert_consistent(cursor)


def test_without_the_bound_nobody_notices(
    behind_the_proxy: Callable[..., Program], proxy: Proxy, history: History
) -> None:
    """The negative control: a call waits as long as the silence lasts."""
    one = behind_the_proxy("tests.crash.settings_patient")
    proxy.fall_silent()
    time.sleep(3.0)  # three times the bound
    assert "away" not in one.text
    proxy.speak()
    submit(history, "after")
    eventually(all_done, timeout=20)
