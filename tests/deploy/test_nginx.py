"""A real nginx with the shipped settings in front of a real Daphne: streams pass at once, sockets pass at all."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection
from httpx_sse import connect_sse
from websockets.sync.client import connect
from websockets.typing import Origin

from notifications.doorbell import ring
from notifications.log import EventDraft, append
from tests.notifications.daphne import Daphne, person, run_daphne
from tests.support import eventually

pytestmark = [pytest.mark.needs("nginx"), pytest.mark.slow, pytest.mark.django_db(transaction=True)]

DEPLOY = Path(__file__).parents[2] / "deploy"
_CONF = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream opsched {{ server 127.0.0.1:{behind}; }}
    server {{ listen 127.0.0.1:{port}; {extra} include {locations}; }}
}}
"""


@pytest.fixture
def daphne(transactional_db: None) -> Iterator[Daphne]:
    with run_daphne() as one:
        yield one


class Nginx:
    def __init__(self, folder: Path, behind: int, locations: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        conf = folder / "nginx.conf"
        fields = {"folder": folder, "behind": behind, "port": self.port, "locations": locations, "extra": ""}
        conf.write_text(_CONF.format(**fields))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen(
            [program, "-c", str(conf), "-e", str(folder / "error.log"), "-p", str(folder)]
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "nginx has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def nginx(daphne: Daphne, tmp_path: Path) -> Iterator[Nginx]:
    # Its worker process is another user, who must reach the folder.
    tmp_path.chmod(0o755)
    server = Nginx(tmp_path, daphne.port, DEPLOY / "nginx" / "locations.inc")
    yield server
    server.close()


def tell(number: int) -> None:
    with connection.cursor() as cursor:
        append(cursor, [EventDraft(kind="test.happened", topics=("test:1",), payload={"number": number})])
    ring("opsched_events")


def test_an_event_passes_through_the_proxy_at_once(nginx: Nginx) -> None:
    """With buffering on, nginx would hold a short event back until much more has come."""
    ada = person()
    address = f"{nginx.url}/notifications/stream"
    with (
        httpx.Client(timeout=10) as client,
        connect_sse(client, "GET", address, params={"topics": "test:1"}, headers=ada.by_token) as source,
    ):
        events = source.iter_sse()
        assert next(events).event == "subscribed"
        began = time.monotonic()
        tell(1)
        happened = next(event for event in events if event.event == "test.happened")
    assert json.loads(happened.data)["data"] == {"number": 1}
    assert time.monotonic() - began < 5


def test_a_socket_passes_through_the_proxy(nginx: Nginx) -> None:
    ada = person()
    with connect(
        f"ws://127.0.0.1:{nginx.port}/ws/",
        additional_headers=ada.by_session,
        origin=Origin(f"http://127.0.0.1:{nginx.port}"),
    ) as socket_:
        socket_.send(json.dumps({"type": "subscribe", "topics": ["test:1"]}))
        seen: list[dict[str, Any]] = [json.loads(socket_.recv(timeout=10))]
        assert seen[0]["type"] == "subscribed"
        tell(2)
        assert json.loads(socket_.recv(timeout=10))["data"] == {"number": 2}


def test_a_stranger_is_refused_through_the_proxy_too(nginx: Nginx) -> None:
    assert httpx.get(f"{nginx.url}/notifications/stream?topics=test:1").status_code == 401


@pytest.mark.parametrize("unit", sorted(path.name for path in (DEPLOY / "systemd").glob("*.service")))
def test_a_unit_names_the_programs_that_exist_here(unit: str) -> None:
    text = (DEPLOY / "systemd" / unit).read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert ("daphne" in command and "opsched.asgi:application" in command) or "manage.py runworker" in command
    assert (DEPLOY.parent / "manage.py").exists()
