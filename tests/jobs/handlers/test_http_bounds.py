"""`http.request` against servers that behave badly: bounds of time and size, and secrets that stay out of results."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from jobs import completion
from jobs.errors import JobCancelled, JobTimeout
from jobs.handlers.http import RequestFailed, UnexpectedStatus
from tests.jobs.handlers.calling import allowed, answer, call, forever

# --- bounds ----------------------------------------------------------------------------------------------------------


@allowed
@pytest.mark.parametrize(
    "prefix",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",  # a byte at a time
        b"HTTP/1.1 200 OK\r\nX-Slow: ",  # inside a header
        b"",  # inside the status line
    ],
)
def test_a_server_that_drips_is_cut_off_at_the_one_deadline(ctx: Any, serve: Any, prefix: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(RequestFailed, match="in time"):
        call(ctx, serve(forever(prefix, b"x", 0.02)).url, timeout=0.4)
    assert 0.35 <= time.monotonic() - began < 3


@allowed
def test_a_silent_server_is_cut_off(ctx: Any, serve: Any) -> None:
    with pytest.raises(RequestFailed, match="in time"):
        call(ctx, serve(lambda connection, _head: connection.recv(1)).url, timeout=0.3)


@allowed
def test_a_server_that_does_not_read_is_cut_off(ctx: Any, serve: Any) -> None:
    server = serve(lambda _connection, _head: time.sleep(2), read_request=False)
    began = time.monotonic()
    with pytest.raises(RequestFailed, match="in time"):
        call(ctx, server.url, method="POST", body="x" * 20_000_000, timeout=0.4)
    assert time.monotonic() - began < 2


@allowed
def test_the_deadline_of_the_job_counts_too(ctx: Any, serve: Any) -> None:
    ctx.deadline = time.monotonic() + 0.3
    with pytest.raises((RequestFailed, JobTimeout)):
        call(ctx, serve(lambda connection, _head: connection.recv(1)).url, timeout=60)
    assert time.monotonic() - ctx.deadline < 3


@allowed
def test_a_huge_body_is_cut_at_the_bound_and_the_rest_is_not_read(ctx: Any, serve: Any) -> None:
    sent = 0

    def flood(connection: socket.socket, _head: bytes) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while sent < 2_000_000_000:
                sent += connection.send(b"x" * 65536)

    result = call(ctx, serve(flood).url, max_response_bytes=1000)
    assert result["body"] == "x" * 1000
    assert result["truncated"] is True
    assert sent < 100_000_000


@allowed
@pytest.mark.parametrize(
    ("prefix", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 5000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"z" * 5000 + b"\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: x\r\n"),
    ],
)
def test_endless_headers_and_framing_are_cut_off(ctx: Any, serve: Any, prefix: bytes, piece: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(RequestFailed):
        call(ctx, serve(forever(prefix, piece)).url)
    assert time.monotonic() - began < 8


@allowed
def test_a_result_always_fits_however_badly_it_encodes(
    ctx: Any, serve: Any, opsched: Callable[..., None]
) -> None:
    opsched(HTTP_ALLOW_NETWORKS=["127.0.0.1/32"], MAX_RESULT_BYTES=20_000)
    for body in ("ü" * 30_000, '"' * 60_000, "\N{GRINNING FACE}" * 15_000):
        result = call(ctx, serve(answer(200, body=body.encode())).url)
        assert len(json.dumps(result)) <= 20_000
        assert result["truncated"] is True
        assert body.startswith(result["body"])
        assert len(result["body"]) > 1000


# --- bodies and secrets ----------------------------------------------------------------------------------------------


@allowed
@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"\xff\xfe", ()), (b"a\0b", ()), (b"\x1b[2J", ()), (b"\x1f\x8b", ("Content-Encoding: gzip",))],
)
def test_what_is_no_clean_text_is_kept_in_base64(
    ctx: Any, serve: Any, body: bytes, headers: tuple[str, ...]
) -> None:
    result = call(ctx, serve(answer(200, *headers, body=body)).url)
    assert result["body_encoding"] == "base64"
    assert base64.b64decode(result["body"]) == body


@allowed
def test_a_cut_inside_a_character_leaves_text(ctx: Any, serve: Any) -> None:
    result = call(ctx, serve(answer(200, body="aü".encode())).url, max_response_bytes=2)
    assert (result["body"], result["body_encoding"], result["truncated"]) == ("a", "text", True)


@allowed
def test_secrets_of_the_answer_are_redacted(ctx: Any, serve: Any) -> None:
    headers = ("Set-Cookie: sid=s3cr3t-1", "Set-Cookie: b=s3cr3t-2", "X-Auth-Token: s3cr3t-3", "X-Fine: seen")
    location = "Location: https://u:s3cr3t-4@login.example/cb?code=s3cr3t-5#s3cr3t-6"
    result = call(ctx, serve(answer(302, *headers, location)).url)
    assert "s3cr3t" not in json.dumps(result) + ctx.text
    assert result["headers"]["x-fine"] == "seen"
    assert result["headers"]["location"] == "https://login.example/cb?[redacted]"


def echo(status: int) -> Callable[[socket.socket, bytes], None]:
    def behave(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer(status, "X-Echo: got Bearer s3cr3t-token", body=head))

    return behave


def stored(error: BaseException) -> str:
    """All that is kept of an error: message and traceback, with the errors it came from."""
    outcome = completion.failure(error)
    return f"{outcome!r} {vars(outcome)}"


HOOK = "/services/s3cr3t-path?key=s3cr3t-query"  # not where it is used: tracebacks quote the source
SECRETS = {"Authorization": "Bearer s3cr3t-token", "X-Our-Hook": "s3cr3t-hook"}


@allowed
def test_a_service_that_echoes_the_request_does_not_put_its_secrets_into_the_result(
    ctx: Any, serve: Any
) -> None:
    server = serve(echo(200))
    result = call(ctx, server.url, headers=SECRETS)
    assert b"s3cr3t-token" in server.heads[0]
    assert b"s3cr3t-hook" in server.heads[0]
    assert "s3cr3t" not in json.dumps(result) + ctx.text
    assert "X-Our-Hook: [redacted]" in result["body"]


@allowed
@pytest.mark.parametrize("status", [404, 500])
def test_errors_carry_neither_headers_nor_path_nor_query(ctx: Any, serve: Any, status: int) -> None:
    with pytest.raises((UnexpectedStatus, RequestFailed)) as caught:
        call(ctx, f"{serve(echo(status)).url}", headers=SECRETS)
    assert "s3cr3t" not in stored(caught.value)
    with pytest.raises((UnexpectedStatus, RequestFailed)) as caught:
        call(ctx, f"{serve(answer(status)).url}{HOOK}")
    assert "s3cr3t" not in stored(caught.value) + ctx.text


# --- cancellation ----------------------------------------------------------------------------------------------------


@allowed
def test_a_cancelled_job_lets_go_of_a_silent_server(ctx: Any, serve: Any) -> None:
    def behave(connection: socket.socket, _head: bytes) -> None:
        ctx.request_cancel("asked to stop")
        connection.recv(1)

    began = time.monotonic()
    with pytest.raises(JobCancelled):
        call(ctx, serve(behave).url, timeout=60)
    assert time.monotonic() - began < 3
