"""The same request several times at once, and a connection that dies between what was made and its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from jobs.api import idempotency
from jobs.models import IdempotencyKey, Job, Queue
from jobs.registry import registry
from tests.jobs.api.conftest import Caller, calling, person
from tests.races.harness import KIND, Hand, together
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"kind": KIND, "payload": {"task": "t", "seconds": 0}}
Hands = Callable[..., Hand]


@pytest.fixture
def token(transactional_db: None) -> str:
    # A queue comes into being with its first job, and a second one would wait for that transaction.
    Queue.objects.create(name=registry.get(KIND).queue)
    found = calling(person("olga", "Operators")).token
    assert found is not None
    return found


def send(token: str, key: str = "k", **more: Any) -> Any:
    """From any thread, with a connection of its own."""
    try:
        return Caller(token).ask("POST", "/jobs", {**BODY, **more}, headers={"Idempotency-Key": f'"{key}"'})
    finally:
        if threading.current_thread() is not threading.main_thread():
            connection.close()


@contextmanager
def answers_held_up(hand: Hand) -> Iterator[None]:
    """Nobody can store an answer meanwhile: requests stand between what they made and their commit."""
    hand.connection.execute("BEGIN")
    hand.connection.execute("LOCK TABLE jobs_idempotencykey IN SHARE MODE")
    try:
        yield
    finally:
        hand.connection.execute("ROLLBACK")


def held_up() -> list[int]:
    """The server processes of the requests that wait there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'jobs_idempotencykey'::regclass"
        )
        return [pid for (pid,) in cursor.fetchall()]


def started(*works: Callable[[], Any]) -> tuple[list[Any], Callable[[], None]]:
    """Requests in threads: their answers once they are there, and a way to wait for all of them."""
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda work=work: answers.append(work())) for work in works]
    for thread in threads:
        thread.start()

    def wait() -> None:
        for thread in threads:
            thread.join(30)
        assert len(answers) == len(works)

    return answers, wait


def test_a_request_that_is_being_worked_on_is_409_for_the_next_and_its_answer_for_the_one_after(
    hand: Hands, token: str
) -> None:
    with answers_held_up(hand()):
        first, wait = started(lambda: send(token))
        eventually(held_up)
        bodies: list[dict[str, Any]] = [{}, {"priority": 1}]
        for more in bodies:
            refused = send(token, **more)
            assert (refused.status_code, refused["Retry-After"]) == (409, "1")
            assert refused.json()["type"] == "urn:opsched:problem:idempotency-key-in-flight"
        # The lock is on this key alone. Another one comes as far as the first.
        _, wait_other = started(lambda: send(token, key="other"))
        eventually(lambda: len(held_up()) == 2)
    wait()
    wait_other()
    again = send(token)
    assert (first[0].status_code, again.status_code) == (201, 201)
    assert again.content == first[0].content
    assert Job.objects.count() == 2


def test_eight_at_once_make_one_job(token: str) -> None:
    for round_ in range(3):
        answers = together(*(lambda k=f"k{round_}": send(token, k) for _ in range(8)))
        made = [answer for answer in answers if answer.status_code == 201]
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.content for answer in made}) == 1
        assert sum("Idempotency-Replayed" not in answer.headers for answer in made) == 1
    assert Job.objects.count() == IdempotencyKey.objects.count() == 3
    assert_consistent(connection.cursor())


def two_past_each_other(hand: Hands, token: str) -> list[int]:
    """Two requests that both come as far as their answer; what they are told."""
    with answers_held_up(hand()):
        answers, wait = started(lambda: send(token), lambda: send(token))
        eventually(lambda: len(held_up()) == 2)
    wait()
    return sorted(answer.status_code for answer in answers)


def test_without_the_lock_the_unique_index_still_lets_one_commit(
    hand: Hands, token: str, spoilt: Callable[..., None]
) -> None:
    spoilt("try_lock_key", "pg_try_advisory_xact_lock(%(number)s::bigint)", "%(number)s::bigint IS NOT NULL")
    assert two_past_each_other(hand, token) == [201, 409]
    assert Job.objects.count() == 1


def test_without_both_there_are_two_jobs(hand: Hands, token: str, spoilt: Callable[..., None]) -> None:
    """The control."""
    spoilt("try_lock_key", "pg_try_advisory_xact_lock(%(number)s::bigint)", "%(number)s::bigint IS NOT NULL")
    spoilt("store_answer", "WHERE jobs_idempotencykey.expires_at <= excluded.created_at", "")
    assert two_past_each_other(hand, token) == [201, 201]
    assert Job.objects.count() == 2


def connection_dies_before_the_commit(hand: Hands, token: str) -> None:
    """The job is inserted and its answer is not; then the connection is cut. The client sends its request again."""
    with answers_held_up(hand()):
        first, wait = started(lambda: send(token))
        (pid,) = eventually(held_up)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait()
    assert (first[0].status_code, first[0]["Retry-After"]) == (503, "1")
    again = send(token)
    assert again.status_code == 201
    assert "Idempotency-Replayed" not in again.headers
    assert send(token).content == again.content


def test_a_connection_that_dies_takes_everything_with_it(hand: Hands, token: str) -> None:
    connection_dies_before_the_commit(hand, token)
    assert Job.objects.count() == 1
    assert_consistent(connection.cursor())


def test_without_the_one_transaction_the_repetition_makes_a_second_job(
    hand: Hands, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: job and answer are committed one after the other."""
    monkeypatch.setattr(idempotency, "transaction", SimpleNamespace(atomic=nullcontext))
    connection_dies_before_the_commit(hand, token)
    assert Job.objects.count() == 2
