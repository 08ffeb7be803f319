"""A proxy on a unix socket in front of PostgreSQL that can fall silent, or swallow exactly the answer to a commit.

It reads the server's side of the protocol (message type and length) so that "the connection was lost after the commit"
means just that: the server has committed and said so, and the client's socket is closed before it hears of it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path

from notifications.waker import Waker

__all__ = ["Proxy"]

_CHUNK = 65_536


@dataclass(eq=False)
class Link:
    """One client's connection and the server's end of it."""

    client: socket.socket
    server: socket.socket
    pid: int = 0
    pending: bytearray = field(default_factory=bytearray)


class Proxy:
    """Listens in `folder` under the name libpq looks for, and forwards to the socket `target`."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.host = str(folder)
        self._target = str(target)
        self._links: set[Link] = set()
        self._doomed: set[int] = set()
        self.cut = 0
        self._speaks = True
        self._closing = False
        self._waker = Waker()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / target.name))
        self._listener.listen(128)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="test-proxy", daemon=True)
        self._thread.start()

    def fall_silent(self) -> None:
        """From now on nothing is forwarded. Connections stay open, new ones are accepted and never answered."""
        self._speaks = False
        self._waker.wake()

    def speak(self) -> None:
        """Forward again, beginning with everything that was said meanwhile."""
        self._speaks = True
        self._waker.wake()

    def cut_after_commit(self, pid: int) -> None:
        """Swallow the answer that ends the present transaction of this backend, and close its connection."""
        self._doomed.add(pid)

    def close(self) -> None:
        self._closing = True
        self._waker.wake()
        self._thread.join(10)
        for link in list(self._links):
            self._drop(link)
        self._listener.close()
        self._selector.close()
        self._waker.close()

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.fileobj is self._waker:
                    self._waker.heard()
                    self._listen_or_not()
                elif self._speaks and key.fileobj is self._listener:
                    self._accept()
                elif self._speaks and key.data in self._links:
                    self._forward(key.data, from_server=key.fileobj is key.data.server)

    def _listen_or_not(self) -> None:
        """While silent, sockets are not even looked at: what clients say stays in the kernel's buffers."""
        wanted: list[tuple[socket.socket, Link | None]] = [(self._listener, None)]
        wanted += [(end, link) for link in self._links for end in (link.client, link.server)]
        for end, link in wanted:
            known = end in self._selector.get_map()
            if self._speaks and not known:
                self._selector.register(end, selectors.EVENT_READ, link)
            elif known and not self._speaks:
                self._selector.unregister(end)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
        except OSError:
            client.close()
            return
        link = Link(client, server)
        self._links.add(link)
        for end in (client, server):
            self._selector.register(end, selectors.EVENT_READ, link)

    def _forward(self, link: Link, *, from_server: bool) -> None:
        source, sink = (link.server, link.client) if from_server else (link.client, link.server)
        try:
            data = source.recv(_CHUNK)
            if not data or (from_server and self._ends_here(link, data)):
                self._drop(link)
                return
            sink.sendall(data)
        except OSError:
            self._drop(link)

    def _ends_here(self, link: Link, data: bytes) -> bool:
        """Is this link doomed, and does its transaction end with this data? (ReadyForQuery, idle)"""
        link.pending += data
        ends = False
        while len(link.pending) >= 5:
            kind, length = chr(link.pending[0]), struct.unpack_from("!i", link.pending, 1)[0]
            if len(link.pending) < length + 1:
                break
            if kind == "K":  # BackendKeyData
                link.pid = struct.unpack_from("!i", link.pending, 5)[0]
            elif kind == "Z" and link.pending[5:6] == b"I" and link.pid in self._doomed:
                ends = True
            del link.pending[: length + 1]
        if ends:
            self._doomed.discard(link.pid)
            self.cut += 1
        return ends

    def _drop(self, link: Link) -> None:
        self._links.discard(link)
        for end in (link.client, link.server):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
