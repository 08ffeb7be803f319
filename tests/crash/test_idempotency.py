"""A web process that is killed: between what a request made and its answer, and after the commit."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from django.db import connection

from jobs.database import open_connection
from jobs.models import IdempotencyKey, Job
from tests.jobs.api.conftest import Caller, calling
from tests.jobs.api.conftest import person as operator
from tests.notifications.daphne import Daphne, run_daphne
from tests.races.harness import KIND, somebody_waits
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

BODY = {"kind": KIND, "payload": {"task": "t", "seconds": 0}}


def headers(token: str, key: str) -> dict[str, str]:
    return {"Authorization": f"Token {token}", "Idempotency-Key": f'"{key}"'}


def post(daphne: Daphne, token: str, key: str) -> httpx.Response:
    return httpx.post(f"{daphne.url}/api/v1/jobs", json=BODY, headers=headers(token, key), timeout=30)


def lost(daphne: Daphne, token: str, key: str) -> list[BaseException]:
    """A request in a thread, whose answer never comes."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            post(daphne, token, key)
        except httpx.TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(somebody_waits, timeout=30)
    daphne.kill()
    thread.join(30)
    return errors


def again(token: str, key: str) -> Any:
    return Caller(token).ask("POST", "/jobs", BODY, headers={"Idempotency-Key": f'"{key}"'})


def test_a_killed_web_process_leaves_all_of_a_request_or_nothing_of_it() -> None:
    token = calling(operator("olga", "Operators")).token
    assert token is not None
    with run_daphne() as daphne, open_connection("test holder") as holder:
        told = post(daphne, token, "committed")  # and let us say that this never reached the client
        assert told.status_code == 201
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE jobs_idempotencykey IN SHARE MODE")
        assert lost(daphne, token, "cut"), "the killed process has answered"
        # Its connection is still busy in the server, which will notice when it wants to answer.
        assert again(token, "cut").status_code == 409
        holder.execute("ROLLBACK")
    assert Job.objects.count() == 1

    def made() -> Any:
        answer = again(token, "cut")
        assert answer.status_code == 201
        return answer

    new = eventually(made)
    assert "Idempotency-Replayed" not in new.headers
    stored = again(token, "committed")
    assert (stored.content, stored["Idempotency-Replayed"]) == (told.content, "true")
    assert Job.objects.count() == IdempotencyKey.objects.count() == 2
    assert_consistent(connection.cursor())
