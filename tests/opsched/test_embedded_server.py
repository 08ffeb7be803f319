"""One server and its files, without guardian and users."""

from __future__ import annotations

import os
import signal

from opsched.embedded.layout import Layout
from opsched.embedded.server import Server
from tests.opsched.conftest import postmaster


def test_a_killed_server_leaves_no_socket_that_a_newcomer_would_trust(layout: Layout) -> None:
    layout.root.mkdir(parents=True, exist_ok=True)
    server = Server(layout)
    server.ensure_cluster()
    server.start()
    try:
        killed = postmaster(layout)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(10)
        assert layout.socket.exists(), "the server itself cannot clear it away"
    finally:
        server.stop()
    assert not layout.socket.exists()
