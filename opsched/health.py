"""Is it alive (`/healthz`), can it work (`/readyz`), and the figures (`/metrics`).

`/healthz` asks nobody: a process that answers must not be restarted because a database is away. `/readyz` names each
thing it looked at. None of them tells payloads, settings or addresses.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from opsched.metrics import registry

__all__ = ["alive", "figures", "ready"]

# The ticker shows a sign of life every two seconds when nothing happens; this allows for a handover and a pause.
_LONGEST_TICKER_SILENCE = 15.0


@require_safe
@never_cache
def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """200 when every check passes, else 503; `checks` has each one's finding and milliseconds."""
    checks = {}
    for name, look in _CHECKS.items():
        began = time.monotonic()
        try:
            finding = look()
        except DatabaseError as error:
            # The first line only: the driver adds addresses and statements below it.
            finding = f"the database refuses: {type(error).__name__}"
        checks[name] = {
            "ok": not finding,
            "finding": finding,
            "ms": round((time.monotonic() - began) * 1000, 1),
        }
    good = all(check["ok"] for check in checks.values())
    return JsonResponse(
        {"status": "ok" if good else "unavailable", "checks": checks}, status=200 if good else 503
    )


@require_safe
@never_cache
def figures(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, for this machine itself or for holders of OPSCHED_METRICS_TOKEN."""
    if not _may_read_figures(request):
        return HttpResponse(
            "Send the token of OPSCHED_METRICS_TOKEN as a bearer token.\n",
            status=403,
            content_type="text/plain",
        )
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        (standby,) = cursor.fetchone()
    return "the database is a read-only standby" if standby else ""


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not waiting:
        return ""
    return f"{len(waiting)} migrations are not applied, the first is {waiting[0][0]}: run manage.py migrate"


def _ticker() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - ticked_at)::float8 FROM notifications_epoch"
        )
        row = cursor.fetchone()
    if row is None:
        return "the event log has not begun: no worker or web process ticks"
    (age,) = row
    return "" if age < _LONGEST_TICKER_SILENCE else f"the event log's ticker has been silent for {age:.0f} s"


_CHECKS: dict[str, Callable[[], str]] = {"database": _database, "migrations": _migrations, "ticker": _ticker}


def _may_read_figures(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    # A proxy on this machine also comes from here, but says for whom.
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
