"""The figures of `/metrics`: this process, and what the database knows of queues and workers.

Read from the narrow tables of what waits, never from the table of all jobs, and at most every five seconds however
often and by how many scrapers it is asked. A database that is away is a figure (`opsched_database_up 0`), not an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from django.db import DatabaseError, connection
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["DatabaseFigures", "registry"]

_FRESH_SECONDS = 5.0

# The job table is reached by primary key for the first of each queue only.
_OLDEST = (
    "SELECT queue.name, extract(epoch FROM clock_timestamp() - job.ready_at)::float8 FROM jobs_queue queue"
    " JOIN jobs_job job ON job.id = jobs_first_ready(queue.name) WHERE job.ready_at IS NOT NULL"
)
_GAUGES = (
    (
        "opsched_jobs_available",
        "Jobs that could start now.",
        ("queue",),
        "SELECT queue, count(*) FROM jobs_ready GROUP BY queue",
    ),
    (
        "opsched_jobs_waiting_for_time",
        "Jobs whose time has not come: scheduled, or retryable after a failure.",
        ("state",),
        "SELECT state, count(*) FROM jobs_scheduled GROUP BY state",
    ),
    (
        "opsched_dead_letters",
        "Jobs that wait for an operator.",
        ("queue",),
        "SELECT queue, count(*) FROM jobs_deadletter GROUP BY queue",
    ),
    (
        "opsched_workers",
        "Worker processes.",
        ("state",),
        "SELECT state, count(*) FROM jobs_workerprocess WHERE state IN ('live', 'draining') GROUP BY state",
    ),
    (
        "opsched_lost_running",
        "Places of living workers that handlers of jobs which they have lost still hold.",
        (),
        "SELECT coalesce(sum(lost_running), 0) FROM jobs_workerprocess WHERE state IN ('live', 'draining')",
    ),
    (
        "opsched_oldest_available_seconds",
        "How long the first job of the queue has been available.",
        ("queue",),
        _OLDEST,
    ),
    (
        "opsched_database_connections",
        "Connections to this database.",
        (),
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
    ),
    (
        "opsched_database_bytes",
        "Size of the database on disk.",
        (),
        "SELECT pg_database_size(current_database())",
    ),
)
_WORKER_COUNTERS = (
    "SELECT worker.id::text, counter.key, counter.value::text::float8 FROM jobs_workerprocess worker"
    " CROSS JOIN LATERAL jsonb_each(worker.stats) counter"
    " WHERE worker.state IN ('live', 'draining') AND jsonb_typeof(counter.value) = 'number'"
    # The same counters by queue (`completed:mail`) are for the operations page.
    " AND strpos(counter.key, ':') = 0"
)


class DatabaseFigures(Collector):
    """Reads when it is asked and the last reading is old."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._read_at = float("-inf")
        self._metrics: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing: asked at import, when no database may be touched."""
        return []

    def collect(self) -> Iterable[Metric]:
        with self._mutex:
            if time.monotonic() - self._read_at > _FRESH_SECONDS:
                self._metrics = self._read()
                self._read_at = time.monotonic()
            return self._metrics

    def _read(self) -> list[Metric]:
        up = GaugeMetricFamily("opsched_database_up", "1 when the database answered the last reading.")
        try:
            metrics = [*(_gauge(*spec) for spec in _GAUGES), _worker_counters()]
        except DatabaseError:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *metrics]


def _rows(sql: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _gauge(name: str, text: str, labels: tuple[str, ...], sql: str) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=labels)
    for *values, figure in _rows(sql):
        metric.add_metric([str(value) for value in values], float(str(figure)))
    return metric


def _worker_counters() -> Metric:
    metric = CounterMetricFamily(
        "opsched_worker", "What each living worker has done since its start.", labels=("worker", "what")
    )
    for worker, what, value in _rows(_WORKER_COUNTERS):
        metric.add_metric([str(worker), str(what)], float(str(value)))
    return metric


registry = CollectorRegistry(auto_describe=False)
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)
GCCollector(registry=registry)
registry.register(DatabaseFigures())
