"""Ends a wait for descriptors, from any thread or signal handler: of a worker's main loop, and of a listener."""

from __future__ import annotations

import contextlib
import socket

__all__ = ["Waker"]


class Waker:
    """A pair of sockets: one thread waits for one of them, among others; `wake` writes to the other."""

    def __init__(self) -> None:
        self._awake, self._wake_end = socket.socketpair()
        self._awake.setblocking(False)  # noqa: FBT003 - the socket module takes no keyword here
        self._wake_end.setblocking(False)  # noqa: FBT003 - the socket module takes no keyword here
        self._asked = False

    def fileno(self) -> int:
        return self._awake.fileno()

    def wake(self) -> None:
        """End the present wait, or the next one. Who asks again before `heard` costs no call of the system."""
        if self._asked:
            return
        self._asked = True
        # A full pipe wakes as well; a closed one belongs to a thread that waits no more.
        with contextlib.suppress(OSError):
            self._wake_end.send(b"\0")

    def heard(self) -> None:
        """For the one that waits, before it looks at what woke it; also when nobody asked."""
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(4096)
        # After that, or a call in between would be eaten and no later one be made. Whoever still finds it set has made
        # its change, and that is looked at next.
        self._asked = False

    def close(self) -> None:
        self._awake.close()
        self._wake_end.close()
