"""Imported once by the fork server of `isolation="process"`: Django and all handlers, so that a child costs a fork.

The server has one thread, opens no connection and runs no handler. It ends with the worker, whatever ends that: where
the system can, the kernel sees to it.
"""

from __future__ import annotations

import logging
import os
import signal

import django

from jobs.running.parentage import end_with_parent

__all__: list[str] = []


def _prepare() -> None:
    end_with_parent()
    # A service manager that stops the worker signals the whole group; children may use their time to end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return
    try:
        django.setup()
    except Exception:
        # The server must live: each child meets the same error again and can tell the worker, which this cannot.
        logging.getLogger("opsched.worker").exception("the fork server could not prepare Django")


_prepare()
