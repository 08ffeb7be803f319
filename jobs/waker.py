"""Ends the wait of a worker's main loop, from any thread or signal handler."""

from __future__ import annotations

import contextlib
import socket

__all__ = ["Waker"]


class Waker:
    """A pair of sockets: the loop waits for one of them, `wake` writes to the other."""

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
        # A full pipe wakes as well; a closed one belongs to a worker that has ended.
        with contextlib.suppress(OSError):
            self._wake_end.send(b"\0")

    def heard(self) -> None:
        """For the loop, before it looks at what woke it."""
        self._awake.recv(4096)
        # After that, or a call in between would be eaten and no later one be made. Whoever still finds it set has made
        # its change, and the loop looks at that next.
        self._asked = False

    def close(self) -> None:
        self._awake.close()
        self._wake_end.close()
