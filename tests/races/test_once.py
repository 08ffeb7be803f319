"""`ctx.once`: an effect on the outside world is recorded once per key, whoever comes at the same time or later."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

import jobs
from jobs.database import django_cursor, open_connection
from jobs.errors import EffectBusy, JobCancelled
from jobs.models import Attempt, Effect, Job
from jobs.once import once
from jobs.store import effects
from jobs.store.values import ClaimedJob
from tests.jobs import ground, kinds_once
from tests.jobs.conftest import Bench
from tests.races.harness import somebody_waits, together
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)

FAR = datetime(2100, 1, 1, tzinfo=UTC)
CLAIMED = ClaimedJob(
    id=1, kind="k", queue="q", attempt=1, max_attempts=3, payload="{}", options=None, workflow_id=None, task="",
)  # fmt: skip


@pytest.fixture
def bench(transactional_db: None) -> Any:
    kinds_once.HAPPENED.clear()
    made = Bench()
    yield made
    made.close()


def run(fn: Callable[[], Any], *, job: int = 1, wait: float = 10.0, **options: Any) -> Any:
    options = {"scope": "global", "stop": lambda: None, **options}
    return once(replace(CLAIMED, id=job), "charge:42", fn, wait=wait, **options)


@pytest.mark.parametrize("kind", ["once.charge", "once.atomic", "once.async"])
def test_the_next_attempt_gets_the_recorded_result(bench: Bench, kind: str) -> None:
    """Also where the first one's own transaction was rolled back."""
    job = jobs.submit(kind, {"key": "charge:42"})
    done = bench.until(job.id, "completed")
    assert [(job.id, 1)] == kinds_once.HAPPENED
    assert done.result == {"receipt": [1, "paid"]}
    assert Attempt.objects.get().outcome == "failed"
    record = Effect.objects.get()
    assert (record.key, record.scope, record.job_id, record.kind, record.attempt) == (
        "charge:42",
        0,
        job.id,
        kind,
        1,
    )
    ((_, topics, payload),) = ground.told("job.effect")
    assert topics == [f"job:{job.id}"]
    assert payload == {"job": job.id, "attempt": 1, "key": "charge:42", "scope": "global"}


@pytest.mark.parametrize(("scope", "times"), [("global", 1), ("job", 2)])
def test_a_key_is_everybodys_or_the_jobs_own(bench: Bench, scope: str, times: int) -> None:
    for _ in range(2):
        job = jobs.submit("once.charge", {"key": "mail", "scope": scope})
        bench.until(job.id, "completed")
    assert len(kinds_once.HAPPENED) == times
    assert Effect.objects.count() == times


def race() -> tuple[int, list[Any]]:
    """Two at the same time: how often the function ran, and what both got."""
    began: list[int] = []

    def effect() -> int:
        began.append(1)
        # Whoever can come in meanwhile does: the other one is seen to wait, or to be here.
        try:
            eventually(lambda: len(began) > 1 or somebody_waits())
        finally:
            connection.close()
        return len(began)

    answers = together(lambda: run(effect, job=1), lambda: run(effect, job=2))
    return len(began), answers


def test_of_two_at_once_one_runs_and_the_other_gets_its_result() -> None:
    assert race() == (1, [1, 1])
    assert Effect.objects.count() == 1


def test_without_the_lock_both_run(spoilt: Callable[..., None]) -> None:
    """The negative control: the unique key keeps one record, and cannot take back the second effect."""
    spoilt("lock_effect", whole="SELECT %(lock)s")
    assert race()[0] == 2
    assert Effect.objects.count() == 1


def test_waiting_has_an_end_and_hears_a_cancel() -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        leave.wait(20)
        return "done"

    def called_off() -> None:
        raise JobCancelled("called off")

    first = threading.Thread(target=run, args=(slow,))
    first.start()
    try:
        assert entered.wait(10)
        with pytest.raises(EffectBusy, match="another attempt is at it"):
            run(pytest.fail, wait=0)
        with pytest.raises(JobCancelled):
            run(pytest.fail, stop=called_off)
    finally:
        leave.set()
        first.join(20)
    assert run(pytest.fail) == "done"


def test_a_function_that_fails_leaves_no_record_and_the_key_free() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)
    assert not Effect.objects.exists()
    assert run(lambda: None, wait=0) is None
    assert run(pytest.fail, wait=0) is None


async def promise() -> None:
    pytest.fail("nobody awaits this")


def promising() -> Any:
    return promise()


@pytest.mark.parametrize("fn", [promise, promising], ids=["an async function", "a coroutine"])
def test_an_effect_that_nobody_awaits_is_not_recorded_as_one_that_happened(fn: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"aonce|has not happened"):
        run(fn)
    assert not Effect.objects.exists()
    assert run(lambda: "done", wait=0) == "done", "and the key is free"


def test_in_an_event_loop_the_waiting_kind_is_refused_before_anything_happens() -> None:
    async def handler() -> Any:
        return run(pytest.fail)

    with pytest.raises(TypeError, match="aonce"):
        asyncio.run(handler())
    assert not Effect.objects.exists()


def test_a_connection_lost_after_the_effect_does_not_lose_the_record() -> None:
    def cut() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'opsched once 1'"
            )
            assert cursor.fetchall() == [(True,)]
        return 7

    assert run(cut) == 7
    assert run(pytest.fail) == 7


def test_a_result_that_cannot_be_kept_is_said_and_the_effect_is_not_repeated(bench: Bench) -> None:
    job = jobs.submit("once.unkeepable", {"key": "odd"})
    bench.until(job.id, "dead")
    assert "happened and is recorded, but not its result" in Attempt.objects.get().message
    assert Effect.objects.get().result is None


def test_an_async_handler_that_is_cancelled_lets_the_key_go(bench: Bench) -> None:
    job = jobs.submit("once.async_slow", {"key": "charge:42"})
    bench.until(job.id, "dead")
    assert run(lambda: "free", wait=5) == "free"


def test_a_database_of_stricter_isolation_sees_the_record_it_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = connection.settings_dict["NAME"]
    with open_connection("test admin") as admin:
        admin.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'")
        try:
            assert race() == (1, [1, 1])
        finally:
            admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_isolation')


def test_an_effect_may_take_longer_than_the_server_lets_transactions_be_silent() -> None:
    """The server would end the session, and with it the lock, in the middle of the effect."""

    def slow() -> str:
        time.sleep(0.4)
        return "sent"

    name = connection.settings_dict["NAME"]
    with open_connection("test admin") as admin:
        admin.execute(f"ALTER DATABASE \"{name}\" SET idle_in_transaction_session_timeout = '100ms'")
        try:
            assert run(slow) == "sent"
        finally:
            admin.execute(f'ALTER DATABASE "{name}" RESET idle_in_transaction_session_timeout')
    assert Effect.objects.get().result == "sent"


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x00b", 42])
def test_a_key_that_cannot_be_kept_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="1 to 200 characters"):
        once(CLAIMED, key, pytest.fail, scope="global", wait=0, stop=lambda: None)


def test_old_records_go_and_those_of_jobs_that_may_run_again_stay(bench: Bench) -> None:
    done, waiting = jobs.submit("once.charge", {"key": "a"}), jobs.submit("test.echo", scheduled_at=FAR)
    bench.until(done.id, "completed")
    run(lambda: None, job=waiting.id)
    run_of_nobody = replace(CLAIMED, id=10**12)
    once(run_of_nobody, "gone", lambda: None, scope="global", wait=0, stop=lambda: None)
    with django_cursor() as cursor:
        assert effects.forget_old(cursor, keep=3600, limit=100) == 0
        cursor.execute("UPDATE jobs_effect SET created_at = created_at - interval '2 hours'")
        cursor.execute(
            "UPDATE jobs_effect SET created_at = created_at - interval '1 hour' WHERE job_id = %s",
            [waiting.id],
        )
        # The oldest of all stays, and does not stand in the way of those behind it.
        assert effects.forget_old(cursor, keep=3600, limit=2) == 2
    assert list(Effect.objects.values_list("job_id", flat=True)) == [waiting.id]
    assert Job.objects.count() == 2
