"""A worker of two threads whose handlers run in child processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.running import processes
from jobs.running.attempts import Attempts
from jobs.running.processes import Processes
from tests.jobs.conftest import Bench


@pytest.fixture(scope="module")
def warm() -> None:
    """The first child waits until the fork server has loaded everything, which takes its time on a busy machine."""
    Processes(Attempts()).start()
    first = processes._CONTEXT.Process(target=int)
    first.start()
    first.join(60)
    assert first.exitcode == 0


@pytest.fixture
def soon(settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "KILL_GRACE_SECONDS": 0.2}


@pytest.fixture
def bench(transactional_db: None) -> Iterator[Bench]:
    made = Bench(concurrency=2)
    yield made
    made.close()
