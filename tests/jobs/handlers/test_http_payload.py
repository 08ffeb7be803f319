"""What `http.request` may be asked, and that refusals name the field and never the value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.handlers.http_payload import HttpRequestPayload, Target

URL = "https://api.example/hook"


def refusal(**payload: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        HttpRequestPayload.model_validate({"url": URL, **payload})
    error = caught.value.errors(include_input=False, include_context=False)[0]
    return ".".join(map(str, error["loc"])), error["msg"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://api.example/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("gopher://api.example/", "http://"),
        ("javascript:alert(1)", "http://"),
        ("http:///path", "host"),
        ("http://user:pw@api.example/", "user name"),
        ("http://api.example@127.0.0.1/", "user name"),
        ("http://127.0.0.1\\@api.example/", "spaces"),
        ("http://api.example/a b", "spaces"),
        ("http://api.example/\r\nX-Evil: 1", "spaces"),
        ("http://api.example/\tx", "spaces"),
        ("http://api.example/ü", "ASCII"),
        ("http://exämple.com/", "ASCII"),
        ("http://[fe80::1%25eth0]/", "host"),
        ("http://a%2eb.example/", "host"),
        ("http://a..b/", "host"),
        ("http://api.example:99999/", "port"),
        ("http://api.example:x/", "port"),
        ("http://api.example:0/", "port"),
        ("http://api.example:25/", "port"),
        ("http://api.example:6379/", "port"),
        ("http://[::1/", ""),
    ],
)
def test_a_url_that_could_mean_two_things_is_refused(url: str, reason: str) -> None:
    field, said = refusal(url=url)
    assert field == "url"
    assert reason in said


def test_a_url_is_taken_apart_once() -> None:
    target = Target("https://API.example:8443/a/b?c=d#fragment")
    assert (target.scheme, target.host, target.port, target.path) == (
        "https",
        "api.example",
        8443,
        "/a/b?c=d",
    )
    assert target.host_header == "api.example:8443"
    assert target.origin == "https://api.example:8443"
    assert Target("http://[2606:4700::1111]").host_header == "[2606:4700::1111]"
    assert Target("http://api.example:80").host_header == "api.example"


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "CONNECTION",
        "Upgrade",
        "Proxy-Authorization",
        "TE",
        "Expect",
    ],
)
def test_headers_that_frame_the_message_cannot_be_given(name: str) -> None:
    assert refusal(headers={name: "x"}) == (
        "headers",
        f"Value error, header {name} is set by the connection and cannot be given",
    )


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\N{SNOWMAN}", "x" * 4097])
def test_header_values_cannot_carry_other_headers(value: str) -> None:
    field, said = refusal(headers={"X-Fine": value})
    assert field == "headers"
    assert "X-Fine" in said
    assert value not in said


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä"])
def test_header_names_are_tokens(name: str) -> None:
    assert "header name" in refusal(headers={name: "x"})[1]


def test_a_header_given_in_two_spellings_is_refused() -> None:
    assert "twice" in refusal(headers={"X-Key": "a", "x-key": "b"})[1]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"method": "CONNECT"}, "method"),
        ({"method": "TRACE"}, "method"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 601}, "timeout"),
        ({"max_response_bytes": -1}, "max_response_bytes"),
        ({"max_response_bytes": 10**9}, "max_response_bytes"),
        ({"expect": []}, "expect"),
        ({"expect": ["6xx"]}, "expect"),
        ({"expect": ["299-200"]}, "expect"),
        ({"json": {}, "body": "x"}, ""),
        ({"json": "\ud800"}, ""),
        ({"json": [float("nan")]}, ""),
        ({"body": "\ud800"}, "body"),
        ({"headers": {"X-Key": 1}}, "headers.X-Key"),
    ],
)
def test_everything_else_out_of_shape_is_refused_by_field(payload: dict[str, Any], field: str) -> None:
    assert refusal(**payload)[0] == field


def test_messages_never_quote_a_header() -> None:
    with pytest.raises(ValidationError) as caught:
        HttpRequestPayload.model_validate({"url": "x", "headers": {"Authorization": "Bearer s3cr3t\n"}})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("expect", "good", "bad"),
    [
        (None, [200, 204, 301, 399], [400, 500]),
        ([404], [404], [200, 500]),
        (["2xx", "404"], [200, 299, 404], [300, 405]),
        (["200-202"], [200, 202], [203]),
        (["5XX"], [503], [200]),
    ],
)
def test_expected_statuses(expect: Any, good: list[int], bad: list[int]) -> None:
    asked = HttpRequestPayload.model_validate({"url": URL, "expect": expect})
    assert all(asked.expects(status) for status in good)
    assert not any(asked.expects(status) for status in bad)


def test_json_null_is_a_body_and_nothing_is_none() -> None:
    assert HttpRequestPayload.model_validate({"url": URL, "json": None}).content() == (
        b"null",
        "application/json",
    )
    assert HttpRequestPayload.model_validate({"url": URL}).content() == (None, None)
    assert HttpRequestPayload.model_validate({"url": URL, "method": "post"}).method == "POST"
