"""What a hostile or broken client sends gets a clear 4xx and leaves nothing behind; nothing is a 500."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from jobs.models import Job, Queue, Schedule, Workflow

V1 = "/api/v1"


def note(payload: str) -> bytes:
    return b'{"kind":"api.note","payload":' + payload.encode("utf-8", "surrogatepass") + b"}"


def problem(answer: Any, status: int) -> Any:
    assert answer.status_code == status, (answer.status_code, answer.content[:300])
    assert answer["Content-Type"] == "application/problem+json"
    body = json.loads(answer.content)
    assert set(body) >= {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "required"),
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b'"text"', "JSON object"),
        (b"null", "JSON object"),
        (b'\xef\xbb\xbf{"kind":"api.note"}', "JSON"),
        (b'{"kind":"\xff"}', "UTF-8"),
        (b'{"kind":"\xed\xa0\x80"}', "UTF-8"),
        ('{"kind":"api.note"}'.encode("utf-16"), "UTF-8"),
        (note('{"a":NaN}'), "NaN"),
        (note('{"a":Infinity}'), "Infinity"),
        (note('{"a":-Infinity}'), "-Infinity"),
        (note('{"a":1e999}'), "out of range"),
        (note('{"a":%s}' % ("9" * 5000)), "digits"),
        (note('{"a":-%s}' % ("9" * 5000)), "digits"),
        (note('{"a":1,"b":{"c":1,"c":2}}'), '"c"'),
        (b'{"kind":"api.note","kind":"api.other"}', '"kind"'),
        (note('{"a":"\\u0000"}'), "NUL"),
        (note('{"a\\u0000":1}'), "NUL"),
        (note('{"a":"\\ud800"}'), "surrogate"),
        (note('{"a":"\\uDFFF\\ud83d"}'), "surrogate"),
        (note('{"a":["x",{"b":"\\udc00"}]}'), "payload.a[1].b"),
        (note("[" * 100_000), "deep"),
        (note('{"a":' * 100_000), "deep"),
        (note("[" * 40 + "]" * 40), "payload"),
        (note('{"a":' * 33 + "1" + "}" * 33), "32"),
        (note(json.dumps({"a": "x" * 262_144})), "262,1"),
        (note("5"), "JSON object"),
        (note("null"), "payload"),
        (b'{"kind":"a\\u0000"}', "NUL"),
        (b'{"kind":7}', "text"),
        (b'{"kind":["api.note"]}', "text"),
        (b'{"kind":"api.notes"}', "api.note"),
        (b'{"kind":""}', "kind"),
        (b'{"kind":"' + b"x" * 1000 + b'"}', "kind"),
        (b'{"kind":"api.note","priorty":1}', "priority"),
        (b'{"kind":"api.note","priority":101}', "priority"),
        (b'{"kind":"api.note","priority":1.5}', "whole number"),
        (b'{"kind":"api.note","priority":"1"}', "whole number"),
        (b'{"kind":"api.note","priority":true}', "whole number"),
        (b'{"kind":"api.note","priority":[[[]]]}', "whole number"),
        (b'{"kind":"api.note","max_attempts":0}', "max_attempts"),
        (b'{"kind":"api.note","max_attempts":10000000000}', "max_attempts"),
        (b'{"kind":"api.note","timeout":-1}', "timeout"),
        (b'{"kind":"api.note","timeout":1' + b"0" * 900 + b"}", "timeout"),
        (b'{"kind":"api.note","timeout":"5"}', "timeout"),
        (b'{"kind":"api.note","queue":"../x"}', "queue"),
        (b'{"kind":"api.note","queue":""}', "queue"),
        (b'{"kind":"api.note","scheduled_at":"2030-01-01T00:00:00"}', "zone"),
        (b'{"kind":"api.note","scheduled_at":"2030-01-01"}', "zone"),
        (b'{"kind":"api.note","scheduled_at":"tomorrow"}', "time"),
        (b'{"kind":"api.note","scheduled_at":"2030-02-30T00:00:00Z"}', "time"),
        (b'{"kind":"api.note","scheduled_at":"0001-01-01T00:00:00+23:59"}', "1970"),
        (b'{"kind":"api.note","scheduled_at":"9999-12-31T23:59:59-23:59"}', "2200"),
        (b'{"kind":"api.note","scheduled_at":1893456000}', "text"),
        (b'{"kind":"api.note","backoff":{"type":"magic"}}', "backoff"),
        (b'{"kind":"api.note","backoff":{"type":[]}}', "backoff"),
        (b'{"kind":"api.note","backoff":5}', "backoff"),
        (b'{"kind":"api.note","backoff":{"type":"exponential","base":1e308}}', "backoff"),
    ],
)
def test_a_bad_body_is_a_400_that_says_why_and_leaves_nothing(operator: Any, body: bytes, word: str) -> None:
    told = problem(operator.raw("/jobs", body), 400)
    assert word in json.dumps(told, ensure_ascii=False).replace("\\", ""), told
    assert Job.objects.count() == Queue.objects.count() == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/schedules", {"name": "n", "kind": "api.note", "cron": "* * * * *", "misfire": "x" * 100_000}),
        ("/schedules", {"name": "n", "kind": "api.note", "cron": "* * * * *", "misfire": [1] * 20_000}),
        ("/jobs", {"kind": "api.note", "x" * 100_000: 1}),
        ("/jobs", {"kind": "x" * 100_000}),
        ("/jobs/bulk", {"jobs": [{"kind": "api.note", "x" * 10_000: 1}] * 50}),
    ],
)
def test_what_is_refused_is_not_sent_back_whole(operator: Any, path: str, body: dict[str, Any]) -> None:
    answer = operator.ask("POST", path, body)
    problem(answer, 400)
    assert len(answer.content) < 25_000


@pytest.mark.parametrize("payload", ['{"a":"\\ud83d\\ude00"}', '{"a":"\\\\u0000"}', '{"a":1e15,"b":-0.0}'])
def test_what_only_looks_hostile_is_stored_as_it_is(operator: Any, payload: str) -> None:
    made = operator.raw("/jobs", note(payload))
    assert made.status_code == 201, made.content
    found = operator.ask("GET", f"/jobs/{made.json()['id']}").json()
    assert found["payload"] == json.loads(payload)


@pytest.mark.parametrize(
    "path", ["/jobs", "/jobs/bulk", "/workflows", "/schedules", "/dead-letters/replay", "/jobs/1/cancel"]
)
def test_ten_megabytes_are_a_413_everywhere(operator: Any, path: str) -> None:
    problem(operator.raw(path, note(json.dumps({"a": "x" * 10_000_000}))), 413)
    assert Job.objects.count() == Workflow.objects.count() == Schedule.objects.count() == 0


@pytest.mark.django_db(transaction=True)
async def test_a_body_in_chunks_is_read_and_bounded_like_any_other() -> None:
    """Without Content-Length, through the real ASGI application."""
    from asgiref.sync import sync_to_async

    from opsched.asgi import application
    from tests.jobs.api.conftest import calling, person

    caller = await sync_to_async(lambda: calling(person("olga", "Operators")))()
    headers = {"Authorization": f"Token {caller.token}", "Content-Type": "application/json"}

    async def chunks(body: bytes) -> Any:
        for start in range(0, len(body), 500_000):
            yield body[start : start + 500_000]

    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        small = await client.post(f"{V1}/jobs", content=chunks(b'{"kind":"api.note"}'))
        assert small.status_code == 201, small.text
        large = await client.post(f"{V1}/jobs", content=chunks(note(json.dumps({"a": "x" * 10_000_000}))))
        assert large.status_code == 413
        assert large.headers["Content-Type"] == "application/problem+json"
    assert await Job.objects.acount() == 1


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense",
             "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/json; charset=hex",
             "application/json; charset=rot13", "application/json; charset=nope", "application/json; charset=",
             "application/xml;q=\x01"],
)  # fmt: skip
def test_other_media_types_are_a_415(operator: Any, kind: str) -> None:
    problem(operator.raw("/jobs", b"kind=api.note", content_type=kind), 415)


@pytest.mark.django_db(transaction=True)
async def test_an_endless_media_type_is_refused_by_whoever_reads_it_first() -> None:
    """Django 6.1 refuses it before there is a view, 5.2 leaves it to ours."""
    from asgiref.sync import sync_to_async

    from opsched.asgi import application
    from tests.jobs.api.conftest import calling, person

    caller = await sync_to_async(lambda: calling(person("olga", "Operators")))()
    headers = {"Authorization": f"Token {caller.token}", "Content-Type": "a/b; " + "c" * 11_000}
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        answer = await client.post(f"{V1}/jobs", content=b"{}")
    assert answer.status_code in (400, 415)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_large_form_over_a_session_is_refused_too(operator: Any) -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(User.objects.get(username="olga"))
    form = "application/x-www-form-urlencoded"
    answer = browser.post("/api/v1/jobs", b"a=" + b"x" * 10_000_000, content_type=form)
    assert answer.status_code in (403, 413)
    answer = browser.post("/api/v1/jobs", b"--x\r\n", content_type="multipart/form-data; boundary=\xff")
    assert answer.status_code in (400, 403)


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "text/html; " + "a" * 11_000])
def test_what_cannot_be_answered_is_a_406(operator: Any, accept: str) -> None:
    problem(operator.ask("GET", "/jobs", headers={"accept": accept}), 406)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?sate=dead", "sate"),
        ("?format=xml", "format"),
        ("?state=gone", "state"),
        ("?state=dead&state=available", "state"),
        ("?kind=%00", "kind"),
        ("?queue=a%00b", "queue"),
        ("?kind=" + "x" * 300, "kind"),
        ("?workflow=x", "workflow"),
        ("?workflow=0", "workflow"),
        ("?workflow=-1", "workflow"),
        ("?workflow=9223372036854775808", "workflow"),
        ("?workflow=" + "9" * 5000, "workflow"),
        ("?workflow=%D9%A1", "workflow"),
        ("?created_after=2030-01-01T00:00:00", "created_after"),
        ("?created_before=yesterday", "created_before"),
        ("?scheduled_after=9999-12-31T23:59:59Z", "scheduled_after"),
        ("?scheduled_before=%00", "scheduled_before"),
        ("?page_size=0", "page_size"),
        ("?page_size=201", "page_size"),
        ("?page_size=x", "page_size"),
        ("?page_size=" + "9" * 5000, "page_size"),
        ("?cursor=x", "cursor"),
        ("?cursor=%00", "cursor"),
        ("?cursor=bnVsbA", "cursor"),
        ("?cursor=" + "W1tb" * 1000, "cursor"),
        ("?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "cursor"),
        ("?%00=1", "\x00"),
        ("?\ud800=1", None),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(operator: Any, query: str, field: str | None) -> None:
    query = query.encode("utf-8", "surrogatepass").decode("latin-1")
    told = problem(operator.ask("GET", "/jobs" + query), 400)
    assert field is None or told["errors"][0]["field"] == field


def test_a_wrong_word_gets_a_suggestion(operator: Any) -> None:
    told = problem(operator.ask("GET", "/jobs?stat=dead"), 400)
    assert "'state'" in told["detail"]
    told = problem(operator.ask("POST", "/jobs", {"kind": "api.note", "prioriti": 1}), 400)
    assert "'priority'" in told["detail"]


@pytest.mark.parametrize("number", ["0", "9223372036854775807", "9223372036854775808", "9999999999999999999", "9" * 30,
                                    "9" * 5000, "-1", "1.5", "x", "%00", "1%00", "%D9%A1"])  # fmt: skip
@pytest.mark.parametrize(
    "path", ["/jobs/{}", "/jobs/{}/log", "/workflows/{}", "/schedules/{}/slots", "/workers/{}"]
)
def test_ids_that_no_row_can_have_are_a_404(operator: Any, path: str, number: str) -> None:
    problem(operator.ask("GET", path.format(number)), 404)


@pytest.mark.parametrize("name", ["%00", "a%00", "a b", "ö", "x" * 101, "-", "%F0%9F%98%80"])
def test_names_that_no_queue_can_have_are_a_404(operator: Any, name: str) -> None:
    problem(operator.ask("GET", f"/queues/{name}"), 404)
    problem(operator.ask("POST", f"/queues/{name}/pause", {}), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/jobs"),
        ("PUT", "/jobs/1"),
        ("OPTIONS", "/jobs"),
        ("FOO", "/queues"),
        ("POST", "/workers"),
        ("GET", "/jobs/bulk"),
    ],
)
def test_other_methods_are_a_405(operator: Any, method: str, path: str) -> None:
    answer = operator.ask(method, path)
    problem(answer, 405)
    assert answer["Allow"]


def test_an_unknown_address_is_a_404_in_the_same_words(operator: Any) -> None:
    for path in ("/nothing", "/jobs/1/nothing", "/jobs//", "/jobs/1/cancel/x"):
        problem(operator.ask("GET", path), 404)


def test_a_slash_at_the_end_changes_nothing(operator: Any) -> None:
    assert operator.ask("GET", "/jobs/").status_code == 200
    assert operator.ask("POST", "/jobs/", {"kind": "api.note"}).status_code == 201


def test_a_database_that_does_not_answer_is_a_503(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def away(*_: object, **__: object) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr("jobs.steering.submit_many", away)
    answer = operator.ask("POST", "/jobs", {"kind": "api.note"})
    problem(answer, 503)
    assert answer["Retry-After"] == "1"
