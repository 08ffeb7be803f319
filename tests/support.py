"""What tests of every kind share: waiting for a fact without sleeping for a guess."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from notifications.ticker import Ticker

__all__ = ["child_environment", "eventually", "leading"]

T = TypeVar("T")


def eventually(fact: Callable[[], T], *, timeout: float = 10.0, interval: float = 0.02) -> T:
    """Call `fact` until it returns something true and return that; AssertionErrors inside it mean "not yet"."""
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        value: T | None = None
        try:
            value = fact()
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {fact}, last {value!r}") from failure
        time.sleep(interval)


def leading(ticker: Ticker) -> Ticker:
    """When it leads: the server may still be ending the session of the ticker before it."""
    eventually(lambda: ticker.tick().leads)
    return ticker


def child_environment(**more: str) -> dict[str, str]:
    """For a sub-process (`manage.py runworker`) that must work on this test session's own database."""
    from django.db import connection

    settings = connection.settings_dict
    url = f"postgresql://{settings['USER']}@/{settings['NAME']}?host={settings['HOST']}"
    return {**os.environ, "DATABASE_URL": url, **more}
