"""One HTTP/1.1 exchange over a connection to an address that was judged before.

The standard library's `http.client` speaks the protocol; this module gives it a socket that is already
connected to exactly the given address (nothing here resolves a name, follows a redirect or reads a proxy from
the environment) and that keeps ONE deadline for everything: a server that drips a byte a second is cut off
like one that is silent. Host header and TLS verification use the original name. What is read is bounded,
headers included.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from jobs.handlers.addresses import Endpoint
from jobs.handlers.http_payload import Target

__all__ = ["Answer", "Exchange", "ExchangeFailed", "ExchangeTimedOut", "default_tls"]

_SLICE = 0.2  # seconds: how soon a cancelled job lets go of a silent server
_CONNECT_SHARE = 5.0  # seconds for one address when there are others to try
_MAX_ADDRESSES = 4
_MAX_HEAD = 128 * 1024  # status line, headers, 1xx answers and chunk framing together
_READ = 16 * 1024


@lru_cache(maxsize=1)
def default_tls() -> ssl.SSLContext:
    """Verification against the system's authorities. Kept: reading them takes tens of milliseconds."""
    return ssl.create_default_context()


class ExchangeFailed(Exception):
    """No usable answer: refused, reset, TLS, or not HTTP. Carries no part of the request."""


class ExchangeTimedOut(ExchangeFailed):
    """The deadline of the whole exchange passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said; `truncated` when the body was longer than asked for."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What is sent to whom. `tick` is called every 0.2 s or sooner and may raise to give up (cancellation)."""

    target: Target
    endpoints: Sequence[Endpoint]
    method: str
    headers: dict[str, str]
    content: bytes | None
    deadline: float  # on time.monotonic()
    max_body: int
    tick: Callable[[], None] = lambda: None
    tls: Callable[[], ssl.SSLContext] = default_tls

    def run(self) -> Answer:
        """Connect, send, read. Raises ExchangeFailed or ExchangeTimedOut; closes the connection in any case."""
        try:
            with self._connect() as raw, self._secured(raw) as connection:
                return self._exchange(
                    _Wire(connection, self.deadline, self.tick, limit=_MAX_HEAD + 7 * self.max_body)
                )
        except TimeoutError:
            raise ExchangeTimedOut(f"{self.target.origin} did not finish in time") from None
        except http.client.HTTPException as error:
            # `from None`: the messages of http.client quote what was on the wire.
            raise ExchangeFailed(
                f"{self.target.origin} did not answer in HTTP: {type(error).__name__}"
            ) from None
        except (OSError, _TooMuch) as error:
            raise ExchangeFailed(f"{self.target.origin}: {type(error).__name__}: {error}") from error

    def _connect(self) -> socket.socket:
        failure: OSError | None = None
        for place, endpoint in enumerate(self.endpoints[:_MAX_ADDRESSES], start=1):
            last = place == min(len(self.endpoints), _MAX_ADDRESSES)
            share = self._left() if last else min(self._left(), _CONNECT_SHARE)
            connection = socket.socket(endpoint.family, socket.SOCK_STREAM)
            try:
                connection.settimeout(share)
                connection.connect(endpoint.sockaddr)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except OSError as error:
                connection.close()
                failure = error
                self.tick()
        raise failure or OSError("no address to connect to")

    def _left(self) -> float:
        return _left(self.deadline)

    def _secured(self, raw: socket.socket) -> socket.socket:
        if self.target.scheme == "http":
            return raw
        raw.settimeout(self._left())
        return self.tls().wrap_socket(raw, server_hostname=self.target.host.rstrip("."))

    def _exchange(self, wire: _Wire) -> Answer:
        connection = http.client.HTTPConnection(self.target.host, self.target.port)
        connection.auto_open = 0  # a second connection would be a second look-up
        connection.sock = wire  # has the three methods of a socket that http.client uses
        connection.putrequest(self.method, self.target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self._all_headers().items():
            connection.putheader(name, value)
        connection.endheaders(self.content)
        with connection.getresponse() as response:
            if wire.ended:
                raise http.client.IncompleteRead(
                    b""
                )  # http.client takes an end inside the headers for their end
            body = _bounded(response, self.max_body + 1)
            return Answer(
                status=response.status,
                headers=response.getheaders(),
                body=body[: self.max_body],
                truncated=len(body) > self.max_body,
            )

    def _all_headers(self) -> dict[str, str]:
        # Not compressed: a few bytes on the wire cannot become a gigabyte here.
        framing = {"Host": self.target.host_header, "Connection": "close"}
        given = {name.lower() for name in self.headers}
        if "accept-encoding" not in given:
            framing["Accept-Encoding"] = "identity"
        if self.content is not None or self.method in ("POST", "PUT", "PATCH"):
            framing["Content-Length"] = str(len(self.content or b""))
        return framing | self.headers


def _bounded(response: http.client.HTTPResponse, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit:
        piece = response.read(min(_READ, limit - len(body)))
        if not piece:
            break
        body += piece
    if len(body) < limit and response.length:
        raise http.client.IncompleteRead(
            b"", response.length
        )  # read(n) is silent about a body that ends early
    return bytes(body)


class _TooMuch(Exception):
    """More headers or framing than any honest answer has."""


class _Wire:
    """A connected socket as http.client sees it: one deadline over all, and a bound on what is read."""

    def __init__(
        self, connection: socket.socket, deadline: float, tick: Callable[[], None], *, limit: int
    ) -> None:
        self._connection, self._deadline, self._tick, self._allowed = connection, deadline, tick, limit
        self.ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Nothing: http.client closes its socket before the body is read; `Exchange.run` closes the real one."""

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            sent = self._patiently(partial(self._connection.send, rest))
            rest = rest[sent:]

    def read_into(self, buffer: Any) -> int:
        count = self._patiently(partial(self._connection.recv_into, buffer))
        self.ended = count == 0
        self._allowed -= count
        if self._allowed < 0:
            raise _TooMuch("the answer has too many headers or too much framing")
        return count

    def _patiently(self, step: Callable[[], int]) -> int:
        while True:
            self._tick()
            left = _left(self._deadline)
            self._connection.settimeout(min(left, _SLICE))
            try:
                return step()
            except TimeoutError:
                continue


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.read_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
