"""A real Daphne in a process of its own, and clients for it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from httpx_sse import EventSource, ServerSentEvent, connect_sse
from rest_framework.authtoken.models import Token

from tests.support import child_environment, eventually

__all__ = ["Daphne", "Person", "next_event", "person", "run_daphne"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user with both ways to log in."""

    user: Any
    token: str
    session: str

    @property
    def by_token(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}

    @property
    def by_session(self) -> dict[str, str]:
        return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={self.session}"}


def person(name: str = "ada", **more: Any) -> Person:
    """Make a user, log in."""
    user = get_user_model().objects.create_user(name, **more)
    browser = Client()
    browser.force_login(user)
    key = browser.session.session_key
    assert key
    return Person(user=user, token=Token.objects.create(user=user).key, session=key)


class Daphne:
    """The process and its address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
        self.process = subprocess.Popen(
            [*command, "tests.notifications.served:application"],
            env=child_environment(OPSCHED_SECRET_KEY=settings.SECRET_KEY),
            cwd=Path(__file__).parents[2],
        )
        eventually(self.registry, timeout=30)

    def registry(self) -> dict[str, Any]:
        """What the process says about its connections; empty while it does not answer."""
        try:
            facts: dict[str, Any] = httpx.get(f"{self.url}/registry").json()
        except httpx.TransportError:
            assert self.process.poll() is None, "Daphne has ended"
            return {}
        return facts

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def get(self, topics: str = "test:1", **more: Any) -> httpx.Response:
        return httpx.get(f"{self.url}/notifications/stream", params={"topics": topics}, **more)

    @contextmanager
    def stream(
        self, who: dict[str, str], topics: str = "test:1", last: str | None = None
    ) -> Iterator[Iterator[ServerSentEvent]]:
        """Events of a stream, the first of them `subscribed`."""
        headers = {**who, **({"Last-Event-ID": last} if last else {})}
        address = f"{self.url}/notifications/stream"
        with (
            httpx.Client(timeout=10) as client,
            connect_sse(client, "GET", address, params={"topics": topics}, headers=headers) as source,
        ):
            assert isinstance(source, EventSource)
            assert source.response.status_code == 200, source.response.read()
            yield source.iter_sse()


def next_event(events: Iterator[ServerSentEvent], kind: str = "test.happened") -> ServerSentEvent:
    return next(event for event in events if event.event == kind)


@contextmanager
def run_daphne(port: int | None = None) -> Iterator[Daphne]:
    """Start one; kill it at the end."""
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    daphne = Daphne(port)
    try:
        yield daphne
    finally:
        daphne.kill()
