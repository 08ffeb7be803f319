"""Print a Python that the peers can run on (3.12 or later, with venv); exit code 1 when none is found.

Run as a file by whatever python3 there is: `make peers` asks. Names along PATH come first, then the versions that lie
beside this one, where pyenv keeps them; a shim that does not run is no Python.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TEST = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12) or sys.version_info.releaselevel != 'final')"


def candidates() -> Iterator[str]:
    yield "python3"
    yield from (f"python3.{minor}" for minor in (14, 13, 12))
    beside = Path(sys.base_prefix).parent
    yield from (str(path) for path in sorted(beside.glob("3.1[2-9]*/bin/python3"), reverse=True))


def runs(candidate: str) -> bool:
    try:
        done = subprocess.run([candidate, "-c", TEST], check=False, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    found = next(filter(runs, candidates()), None)
    if found is None:
        sys.exit(1)
    print(found)
