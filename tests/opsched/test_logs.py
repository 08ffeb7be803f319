"""The log keeps tracebacks of crashes and drops those of refusals."""

from __future__ import annotations

import logging

import pytest

from opsched.logs import NoTracebackOfRefusals


@pytest.mark.parametrize(("status", "kept"), [(403, False), (400, False), (500, True), (None, True)])
def test_only_crashes_keep_their_traceback(status: int | None, kept: bool) -> None:
    crash = (PermissionError, PermissionError(), None)
    record = logging.LogRecord("django.request", logging.WARNING, "", 0, "Forbidden", None, crash)
    if status is not None:
        record.status_code = status
    assert NoTracebackOfRefusals().filter(record)
    assert (record.exc_info is not None) is kept
