"""`Idempotency-Key`: a request sent again gets the first answer, and nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from drf_spectacular.generators import SchemaGenerator
from rest_framework.exceptions import ValidationError

from jobs.api import examples
from jobs.api.idempotency import read_key
from jobs.database import django_cursor
from jobs.models import IdempotencyKey, Job, Schedule, UniqueKey, Workflow
from jobs.retention import Janitor
from jobs.store.idempotency import delete_expired
from tests.jobs.api.conftest import calling, person

KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'
NOTE = {"kind": "api.note", "payload": {"n": 1}}
CREATING: list[tuple[str, dict[str, Any]]] = [
    ("/jobs", examples.JOB_REQUEST),
    ("/jobs/bulk", {"jobs": [examples.JOB_REQUEST] * 3}),
    ("/workflows", examples.WORKFLOW_REQUEST),
    ("/schedules", examples.SCHEDULE_REQUEST),
]


def send(caller: Any, path: str = "/jobs", body: Any = None, key: str | None = KEY) -> Any:
    headers = {} if key is None else {"headers": {"Idempotency-Key": key}}
    return caller.ask("POST", path, NOTE if body is None else body, **headers)


def counts() -> tuple[int, int, int]:
    return Job.objects.count(), Workflow.objects.count(), Schedule.objects.count()


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), (
        answer.content
    )
    told: dict[str, Any] = answer.json()
    assert told["type"] == f"urn:opsched:problem:{kind}"
    return told


def older(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_idempotencykey SET expires_at = expires_at - make_interval(secs => %s)", [seconds]
        )


@pytest.mark.parametrize(("path", "body"), CREATING)
def test_the_same_request_gets_the_same_answer_and_makes_nothing(
    operator: Any, path: str, body: dict[str, Any]
) -> None:
    first = send(operator, path, body)
    made = counts()
    again = send(operator, path + "/", dict(reversed(body.items())))
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert again.headers.get("Location") == first.headers.get("Location")
    assert (first.headers.get("Idempotency-Replayed"), again["Idempotency-Replayed"]) == (None, "true")
    assert again["Content-Type"] == first["Content-Type"] == "application/json"
    assert counts() == made


def test_a_schedule_is_run_once(operator: Any) -> None:
    schedule = send(operator, "/schedules", examples.SCHEDULE_REQUEST, key=None).json()["id"]
    first, again = (send(operator, f"/schedules/{schedule}/run", {}) for _ in range(2))
    assert first.json() == again.json()
    assert Job.objects.count() == 1


def test_without_a_key_every_request_makes_something(operator: Any) -> None:
    """The control."""
    assert [send(operator, key=None).status_code for _ in range(2)] == [201, 201]
    assert Job.objects.count() == 2
    assert not IdempotencyKey.objects.exists()


def test_the_same_key_with_another_body_is_422(operator: Any) -> None:
    send(operator)
    told = problem(send(operator, body={**NOTE, "priority": 1}), 422, "idempotency-key-reused")
    assert "another body" in told["detail"]
    assert Job.objects.count() == 1


def test_a_key_belongs_to_a_user_and_an_address(operator: Any) -> None:
    other = calling(person("otto", "Operators"))
    made = [send(operator), send(other), send(operator, "/jobs/bulk", {"jobs": [NOTE]})]
    assert [answer.status_code for answer in made] == [201] * 3
    assert Job.objects.count() == 3
    assert send(other).json() == made[1].json() != made[0].json()


@pytest.mark.parametrize(
    ("wrong", "status"),
    [({"kind": "api.note", "priority": 500}, 400), ({"kind": "api.nothing"}, 400), ({"kin": 1}, 400)],
)
def test_a_refused_request_can_be_mended_and_sent_again_under_its_key(
    operator: Any, wrong: dict[str, Any], status: int
) -> None:
    assert send(operator, body=wrong).status_code == status
    assert not IdempotencyKey.objects.exists()
    assert send(operator).status_code == 201
    assert send(operator)["Idempotency-Replayed"] == "true"


def test_who_may_not_submit_learns_nothing_from_a_key(operator: Any, viewer: Any) -> None:
    send(operator)
    assert send(viewer).status_code == 403
    assert not IdempotencyKey.objects.exclude(user__username="olga").exists()


def test_after_its_time_a_key_is_new(operator: Any, settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "IDEMPOTENCY_SECONDS": 100}
    first = send(operator)
    older(99)
    assert send(operator).json() == first.json()
    older(2)
    other = send(operator, body={**NOTE, "priority": 1})
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]
    assert IdempotencyKey.objects.count() == 1
    assert send(operator, body={**NOTE, "priority": 1}).json() == other.json()


def test_actions_that_create_nothing_do_not_look_at_the_header(
    operator: Any, submit: Callable[..., int]
) -> None:
    job = submit()
    assert send(operator, f"/jobs/{job}/cancel", {}, key="no key at all").status_code == 200
    assert send(operator, f"/jobs/{job}/cancel", {}).status_code == 409
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"a"', "a"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ('  "a b"  ', "a b"),
        ('"a";p', "a"),
        ('"a"; p=1;q="x;y";r=tok/en;s=?0;t=:aGk=:;u=-1.5;v=@1659578233', "a"),
        ('"' + "x" * 255 + '"', "x" * 255),
        ('"~!#"', "~!#"),
    ],
)
def test_a_key_is_a_string_of_structured_fields(text: str, key: str) -> None:
    assert read_key(text) == key


@pytest.mark.parametrize(
    "text",
    ["", "a", "8e03978e-40d5-43e8-bc93-6894a57f9324", '""', '"a', 'a"', '"a" "b"', '"a", "b"', '"a"b"', r'"a\b"', '"ü"',
     '"a\tb"', "'a'", '"a";', '"a";P=1', '"a";p=', "5", ":aGk=:", "?1", '("a")', '"' + "x" * 256 + '"',
     '"a"\x00', "\x00"],
)  # fmt: skip
def test_what_is_none_is_refused(operator: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        read_key(text)
    if "\x00" not in text:  # no server lets that through
        told = problem(send(operator, key=text), 400, "invalid")
        assert told["errors"][0]["field"] == "Idempotency-Key"
    assert not Job.objects.exists()


def test_a_body_that_is_wrong_is_refused_before_its_key_is_used(operator: Any) -> None:
    deep = b'{"kind": "api.note", "payload": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}"
    for body, status in ((b"{", 400), (deep, 400), (b"[]", 400)):
        answer = operator.raw("/jobs", body, headers={"Idempotency-Key": KEY})
        assert answer.status_code == status
    assert not IdempotencyKey.objects.exists()


def test_a_duplicate_by_its_unique_key_is_an_answer_like_any(operator: Any) -> None:
    body = {**NOTE, "unique_key": "u"}
    made = send(operator, body=body, key=None)
    first, again = (send(operator, body=body) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert (
        first.json() == again.json() == {**made.json(), "duplicate": True, "replaced": False, "result": None}
    )
    assert first["Location"] == again["Location"] == made["Location"]


def test_the_description_shows_the_header_wherever_something_is_created() -> None:
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)
    takes, creates = set(), set()
    for path, methods in schema["paths"].items():
        for method, told in methods.items():
            if method != "post":
                continue
            headers = {given["name"] for given in told.get("parameters", []) if given["in"] == "header"}
            if "201" in told["responses"]:
                creates.add(path)
            if headers == {"Idempotency-Key"}:
                takes.add(path)
                assert "application/problem+json" in told["responses"]["422"]["content"]
                assert "Idempotency-Replayed" in told["responses"]["201"]["headers"]
    assert takes == creates >= {f"/api/v1{path}" for path, _ in CREATING}


def test_old_keys_are_deleted_in_bounded_steps(operator: Any) -> None:
    for number in range(3):
        send(operator, key=f'"k{number}"')
    older(200_000)
    send(operator, key='"young"')
    with django_cursor() as cursor:
        assert [delete_expired(cursor, limit=2) for _ in range(3)] == [2, 1, 0]
    assert IdempotencyKey.objects.get().key == "young"


@pytest.mark.django_db(transaction=True)
def test_the_janitor_deletes_keys_that_no_longer_count(operator: Any) -> None:
    send(operator, body={**NOTE, "unique_key": {"key": "u", "seconds": 5}})
    older(200_000)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_uniquekey SET until = until - interval '1 hour'")
    janitor = Janitor(on_death=lambda *_: None)
    try:
        janitor.tick()
    finally:
        janitor.stop()
    assert not IdempotencyKey.objects.exists()
    assert not UniqueKey.objects.exists()
    assert Job.objects.exists()
