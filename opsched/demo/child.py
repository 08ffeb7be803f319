"""Becomes a child of the demo: `python -m opsched.demo.child PARENT PROGRAM ARGUMENT…`.

Asks the kernel for a TERM when the parent dies, so that a killed demo leaves nothing running, then becomes the program.
Other systems than Linux have no such request: there only an orderly end of the demo ends its children.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it died before the request
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606  (a fixed list from opsched.demo.processes)


if __name__ == "__main__":
    main(sys.argv[1:])
