"""`http.request` against servers on the loopback: what is sent where, and how their answers are judged."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from jobs.errors import PermanentError
from jobs.handlers import addresses
from jobs.handlers.addresses import Endpoint
from jobs.handlers.http import RequestFailed, RequestRefused, UnexpectedStatus, http_request, retry_after
from jobs.handlers.payloads import InvalidPayload
from jobs.outcomes import Retry
from jobs.registry import registry
from tests.jobs.handlers.calling import OK, allowed, answer, call


def test_the_kind_is_declared_with_its_model() -> None:
    kind = registry.get("http.request")
    assert kind.payload_model is not None
    assert kind.fn is http_request


# --- the good case ---------------------------------------------------------------------------------------------------


@allowed
def test_a_request_is_sent_and_its_answer_is_the_result(ctx: Any, serve: Any) -> None:
    server = serve(OK)
    result = call(ctx, f"{server.url}/a?b=c", method="POST", json={"x": "ü"}, headers={"X-Extra": "1"})
    head, _, body = server.heads[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a?b=c HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}" in lines
    assert "Idempotency-Key: opsched-job-7" in lines
    assert "X-Extra: 1" in lines
    assert "Content-Type: application/json" in lines
    assert json.loads(body) == {"x": "ü"}
    elapsed = result.pop("elapsed_ms")
    assert 0 <= elapsed < 10_000
    assert result == {
        "status": 200,
        "headers": {"content-type": "text/plain", "content-length": "5"},
        "body": "hello",
        "body_encoding": "text",
        "truncated": False,
    }


@allowed
def test_an_idempotency_key_of_the_payload_wins(ctx: Any, serve: Any) -> None:
    server = serve(OK)
    call(ctx, server.url, headers={"idempotency-key": "mine"})
    assert b"idempotency-key: mine\r\n" in server.heads[0]
    assert b"job-7" not in server.heads[0]


@allowed
def test_proxies_of_the_environment_are_not_used(
    ctx: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(answer(200, body=b"proxy")), serve(OK)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert call(ctx, server.url)["body"] == "hello"
    assert proxy.connections == 0


@allowed
def test_a_head_request_has_no_body(ctx: Any, serve: Any) -> None:
    assert call(ctx, serve(answer(200)[:-4] + b"9\r\n\r\n").url, method="HEAD")["body"] == ""


# --- addresses -------------------------------------------------------------------------------------------------------


def test_the_loopback_is_refused_without_an_allow_list_and_nothing_is_sent(
    ctx: Any, serve: Any, opsched: Callable[..., None]
) -> None:
    opsched(HTTP_ALLOW_NETWORKS=[])
    server = serve(OK)
    with pytest.raises(RequestRefused, match="loopback") as caught:
        call(ctx, server.url)
    assert isinstance(caught.value, PermanentError)
    assert server.connections == 0
    # The control: the same call reaches the server when only the guard is opened.
    opsched(HTTP_ALLOW_NETWORKS=["127.0.0.1/32"])
    assert call(ctx, server.url)["status"] == 200
    assert server.connections == 1


def rebinding(first: tuple[str, int], then: tuple[str, int]) -> tuple[Callable[..., Any], list[str]]:
    """A name server that gives another address to everybody who asks twice, in the shape of getaddrinfo."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_args: Any, **_kw: Any) -> list[Any]:
        asked.append(host)
        sockaddr = first if len(asked) == 1 else then
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", sockaddr)]

    return getaddrinfo, asked


def test_a_name_that_is_rebound_after_the_check_does_not_get_the_connection(
    ctx: Any, serve: Any, opsched: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judged address gets the request although the name means an inside service a moment later."""
    opsched(HTTP_ALLOW_NETWORKS=["127.0.0.1/32"])
    public, inside = (
        serve(answer(200, body=b"public")),
        serve(answer(200, body=b"inside"), address="127.0.0.2"),
    )
    getaddrinfo, asked = rebinding(("127.0.0.1", public.port), ("127.0.0.2", inside.port))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert call(ctx, "http://rebound.example/")["body"] == "public"
    assert asked == ["rebound.example"]
    assert inside.connections == 0
    assert b"Host: rebound.example\r\n" in public.heads[0]


def test_control_a_client_that_checks_and_then_connects_by_name_is_fooled(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that the rebinding above is a real one: without the pin the inside service is reached."""
    public, inside = serve(OK), serve(answer(200, body=b"inside"), address="127.0.0.2")
    getaddrinfo, _ = rebinding(("127.0.0.1", public.port), ("127.0.0.2", inside.port))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert addresses.system_resolver("rebound.example", 80)[0].sockaddr[0] == "127.0.0.1"
    connection = http.client.HTTPConnection("rebound.example", 80, timeout=5)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"inside"
    connection.close()


@allowed
@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::1]/"]
)
def test_a_redirect_is_a_result_and_is_not_followed(ctx: Any, serve: Any, target: str) -> None:
    server = serve(answer(302, f"Location: {target}"))
    result = call(ctx, server.url)
    assert result["status"] == 302
    assert result["headers"]["location"] == target
    assert server.connections == 1


@allowed
@pytest.mark.parametrize(
    "host", ["169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0"]
)
def test_other_inside_addresses_stay_refused_with_the_loopback_allowed(ctx: Any, host: str) -> None:
    with pytest.raises(RequestRefused):
        call(ctx, f"http://{host}/")


@allowed
def test_the_second_address_is_tried_when_the_first_does_not_answer(
    ctx: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, closed = serve(OK), serve(OK)
    closed.stop()
    both = [
        Endpoint(family=socket.AF_INET, sockaddr=("127.0.0.1", port)) for port in (closed.port, server.port)
    ]
    monkeypatch.setattr(addresses, "system_resolver", lambda *_: both)
    assert call(ctx, "http://two.example/")["status"] == 200


# --- what is judged how ----------------------------------------------------------------------------------------------


@allowed
@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
def test_statuses_that_another_try_may_change_are_ordinary_failures(
    ctx: Any, serve: Any, status: int
) -> None:
    with pytest.raises(RequestFailed, match=str(status)):
        call(ctx, serve(answer(status)).url)


@allowed
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_other_client_errors_are_not_tried_again(ctx: Any, serve: Any, status: int) -> None:
    with pytest.raises(UnexpectedStatus, match=f"answered {status}: what you sent is wrong") as caught:
        call(ctx, serve(answer(status, body=b"what you sent is wrong")).url)
    assert isinstance(caught.value, PermanentError)


@allowed
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_to(ctx: Any, serve: Any, status: int) -> None:
    with pytest.raises(Retry) as caught:
        call(ctx, serve(answer(status, "Retry-After: 17")).url)
    assert caught.value.after == 17
    assert str(status) in caught.value.reason


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("999999999", 21600),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 9999 00:00:00 GMT", 21600),
        ("-5", None),
        ("nan", None),
        ("1e9", None),
        ("9" * 5000, None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_values(value: str, seconds: float | None) -> None:
    assert retry_after([("retry-AFTER", value)], now=1000.0) == seconds


@allowed
def test_an_expected_error_status_is_a_success(ctx: Any, serve: Any) -> None:
    assert call(ctx, serve(answer(404)).url, expect=["2xx", 404])["status"] == 404


@allowed
def test_a_status_outside_the_expected_ones_fails(ctx: Any, serve: Any) -> None:
    with pytest.raises(UnexpectedStatus, match="302"):
        call(ctx, serve(answer(302, "Location: /x")).url, expect=[200])


@allowed
def test_a_closed_port_is_an_ordinary_failure(ctx: Any, serve: Any) -> None:
    server = serve(OK)
    server.stop()
    with pytest.raises(RequestFailed, match="refused"):
        call(ctx, server.url)


@allowed
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00" * 1000,
        b"HTTP/1.1 abc\r\n\r\n",
        OK[:-2],
        b"HTTP/1.1 200 OK\r\nContent-Length",
    ],
)
def test_what_is_no_whole_answer_is_an_ordinary_failure(ctx: Any, serve: Any, garbage: bytes) -> None:
    with pytest.raises(RequestFailed):
        call(ctx, serve(garbage).url)


def test_a_payload_that_does_not_fit_is_not_tried_again(ctx: Any) -> None:
    with pytest.raises(InvalidPayload, match=r"url: .*user name") as caught:
        call(ctx, "http://root:s3cr3t@api.example/")
    assert isinstance(caught.value, PermanentError)
    assert "s3cr3t" not in str(caught.value)
