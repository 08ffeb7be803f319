"""manage.py in a process that py-spy watches: a part of `benchmarks.microseconds`.

    python -m benchmarks.watched PY_SPY FILE runworker ...

py-spy is its child and ends with it; the samples are in FILE, one stack a line.
"""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["main"]


def main() -> None:
    spy, out, *words = sys.argv[1:]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
    from django.core.management import execute_from_command_line

    record = [
        spy,
        "record",
        "--pid",
        str(os.getpid()),
        "--format",
        "raw",
        "--output",
        out,
        "--gil",
        "--rate",
        "500",
    ]
    watcher = subprocess.Popen(
        [*record, "--nonblocking"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        execute_from_command_line(["manage.py", *words])
    finally:
        # It ends by itself when this process does, and writes then; INT makes it write now.
        watcher.send_signal(2)
        watcher.wait(20)


if __name__ == "__main__":
    main()
