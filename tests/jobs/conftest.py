"""Ground for tests of the jobs app that need a worker: its parts without its threads' timing, driven by tick()."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs.database import django_cursor, in_transaction, open_connection
from jobs.executor import Executor
from jobs.maintenance import Rescuer
from jobs.models import Job
from jobs.registry import registry
from jobs.scheduler import Scheduler
from jobs.store import workers
from notifications import doorbell
from tests.jobs import kinds
from tests.jobs.ground import consistent
from tests.jobs.losing import Clock
from tests.support import eventually

__all__ = ["Bench", "register"]


class Bench:
    """A worker without its loops: what it holds, what it runs, and one round at a time."""

    def __init__(
        self, *, concurrency: int = 4, queues: tuple[str, ...] = ("test",), name: str = "bench"
    ) -> None:
        self.connection = open_connection("test worker")
        self.worker_id = register(self.connection, name=name)
        self.executor = Executor(registry=registry, concurrency=concurrency, wake=lambda: None)
        self.scheduler = Scheduler(
            worker_id=self.worker_id,
            queues=queues,
            registry=registry,
            executor=self.executor,
            concurrency=concurrency,
        )
        self.executor.start()

    def round(self) -> Any:
        """One tick that looks at the database anew."""
        self.scheduler.control()
        return self.scheduler.tick()

    def until(self, job_id: int, *states: str) -> Job:
        """Rounds until the job is in one of the states."""

        def reached() -> Job | None:
            self.round()
            job = Job.objects.get(pk=job_id)
            return job if job.state in states else None

        return eventually(reached)  # type: ignore[return-value]

    def close(self) -> None:
        kinds.GATE.set()
        self.scheduler.close()
        self.executor.stop()
        self.connection.close()


def register(connection: Any, *, name: str = "test") -> int:
    """A worker process's row; its id."""
    return in_transaction(
        connection,
        lambda cursor: workers.register(
            cursor, name=name, hostname="test", pid=1, queues=[], kinds=[], concurrency=1
        ),
    )


@pytest.fixture(scope="session", autouse=True)
def _bell_hangs_still() -> Iterator[None]:
    yield
    doorbell.close()


@pytest.fixture
def bench(transactional_db: None) -> Iterator[Bench]:
    kinds.GATE.clear()
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def bench_of(transactional_db: None) -> Iterator[Callable[..., Bench]]:
    """bench_of(concurrency=8), as often as a test needs one."""
    kinds.GATE.clear()
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def tables_agree(db: None) -> Iterator[None]:
    """They do when the test is over."""
    yield
    consistent()


@pytest.fixture
def cursor(db: None) -> Iterator[Any]:
    with django_cursor() as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rescuer(clock: Clock) -> Iterator[Rescuer]:
    made = Rescuer(on_death=lambda *_: None, clock=clock)
    yield made
    made.stop()
