"""Ground for the tests of the built-in handlers: a context that remembers, and servers that misbehave on purpose.

The servers are plain sockets on the loopback, one thread for each connection, so that a test says byte by byte
what comes back.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from jobs.context import JobContext, Report
from jobs.store.values import ClaimedJob
from tests.jobs.handlers.commanding import Allow


class RecordingContext(JobContext):
    """The real context, with what it reported within reach. The job stands in no database: handlers need none."""

    __slots__ = ("reports",)

    def __init__(self) -> None:
        self.reports: list[Report] = []
        job = ClaimedJob(
            id=7,
            kind="test",
            queue="default",
            attempt=1,
            max_attempts=5,
            payload="{}",
            options=None,
            workflow_id=None,
            task="",
        )
        super().__init__(job, {}, report=self.reports.append, began=0.0)

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(level, line) for _job, _attempt, _at, level, line in self.reports]

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)


Behaviour = Callable[[socket.socket, bytes], None]


@dataclass
class Server:
    """A listening socket; `behave(connection, head of the request)` answers, `heads` keeps what arrived."""

    behave: Behaviour
    address: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    read_request: bool = True
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.stopping = threading.Event()
        self._listener = socket.create_server((self.address, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="test server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # close() alone does not wake accept()
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # OSError: the client hung up in the middle, which is what many of these tests are about.
        with suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                head = self._head(connection) if self.read_request else b""
                self.behave(connection, head)

    def _head(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
            data += piece
        length = re.search(rb"(?i)content-length: (\d+)", data)
        missing = int(length[1]) - len(data.partition(b"\r\n\r\n")[2]) if length else 0
        while missing > 0 and (piece := connection.recv(65536)):
            data, missing = data + piece, missing - len(piece)
        self.heads.append(data)
        return data


Serve = Callable[..., Server]


@pytest.fixture
def ctx() -> RecordingContext:
    return RecordingContext()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(bytes or behaviour, …) starts a server that ends with the test."""
    started: list[Server] = []

    def start(answer: bytes | Behaviour, **options: Any) -> Server:
        def fixed(connection: socket.socket, _head: bytes) -> None:
            connection.sendall(answer)  # type: ignore[arg-type]

        server = Server(answer if callable(answer) else fixed, **options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def opsched(settings: Any) -> Callable[..., None]:
    """opsched(KEY=value) sets keys of OPSCHED for the test."""

    def change(**keys: Any) -> None:
        settings.OPSCHED = {**settings.OPSCHED, **keys}

    return change


@pytest.fixture
def loopback_allowed(opsched: Callable[..., None]) -> None:
    opsched(HTTP_ALLOW_NETWORKS=["127.0.0.0/8"])


@pytest.fixture
def allow(opsched: Callable[..., None]) -> Allow:
    """allow("script of sh", …) makes it the command "it"."""

    def change(script: str, program: tuple[str, ...] = ("/bin/sh", "-c"), **options: Any) -> None:
        opsched(
            COMMANDS={
                "it": {"argv": [*program, script, *(["it"] if program[0] == "/bin/sh" else [])], **options}
            }
        )

    return change
