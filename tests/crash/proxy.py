"""A socket between a worker and its database that can lose the answer to one commit."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

__all__ = ["LosingProxy"]


class LosingProxy:
    """Forwards everything. The first COMMIT of a connection that has sent `marker` reaches the server and is carried
    out; its answer is dropped and the connection cut. `lost` is set then."""

    def __init__(self, folder: Path, server: str, *, marker: bytes) -> None:
        self.lost = threading.Event()
        self.folder = folder
        self._server = f"{server}/.s.PGSQL.5432"
        self._marker = marker
        self._sockets: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen(64)
        threading.Thread(target=self._accept, name="losing proxy", daemon=True).start()

    def close(self) -> None:
        for one in [self._listening, *self._sockets]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                mute = threading.Event()
                for work in (self._send, self._answer):
                    threading.Thread(target=work, args=(client, server, mute), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        marked = False
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                marked = marked or self._marker in data
                if marked and b"COMMIT" in data and not self.lost.is_set():
                    mute.set()
                server.sendall(data)
            _cut(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if mute.is_set():
                    self.lost.set()
                    break
                client.sendall(data)
            _cut(client, server)


def _cut(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
