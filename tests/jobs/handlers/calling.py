"""What servers on the loopback answer, and a call of `http.request`."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from jobs.handlers.http import http_request

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
allowed = pytest.mark.usefixtures("loopback_allowed")


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    head = "".join(
        f"{line}\r\n" for line in (f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}")
    )
    return head.encode() + b"\r\n" + body


def call(ctx: Any, url: str, **payload: Any) -> dict[str, Any]:
    return http_request(ctx, {"url": url, "timeout": 10, **payload})


def forever(prefix: bytes, piece: bytes, pause: float = 0.0) -> Callable[[socket.socket, bytes], None]:
    """Answers until the client hangs up; the time is bounded in case it does not."""

    def behave(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(prefix)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            connection.sendall(piece)
            time.sleep(pause)

    return behave
