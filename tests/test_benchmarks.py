"""Benchmarks that speak the store's own statements still do: they stand outside of it, and broke unseen twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from benchmarks.ground import ROOT

SMALL = {
    "floor": ("--jobs", "1000", "--rounds", "1"),
    "backlog": (
        *("--ready", "2000", "--scheduled", "100", "--finished", "100"),
        *("--drained", "500", "--rounds", "1"),
    ),
}


@pytest.mark.parametrize(("name", "arguments"), SMALL.items())
def test_it_runs(name: str, arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == name
    assert all(row["figure"] for row in found["rows"])
