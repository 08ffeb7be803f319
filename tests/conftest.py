"""The whole suite's ground: a private PostgreSQL for each session, and no silent skips where CI is set.

The server is the embedded one, in a temporary folder, with its durable settings; each of xdist's workers has its own,
because some tests restart it. It ends with the session, also when that is killed.
"""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.db import connections

from opsched.embedded import client
from opsched.embedded.layout import Layout
from tests.emptying import Emptier

_PROGRAMS = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "nginx": ("nginx",)}


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell leaves it to what it runs in the background: the programs that tests interrupt would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if _only_controls(config):
        return
    os.environ["OPSCHED_DATA"] = tempfile.mkdtemp(prefix="opsched-test-")
    os.environ.pop("DATABASE_URL", None)
    os.environ.pop("OPSCHED_ENV", None)
    layout = _layout()
    # Django has read its settings already; connections have not been made yet.
    settings.DATABASES["default"].update(
        ENGINE="opsched.embedded.postgresql",
        EMBEDDED=layout.root,
        NAME="opsched",
        USER="opsched",
        PASSWORD="",
        HOST=str(layout.socket_folder),
        PORT="5432",
    )
    client.ensure(layout, temporary=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _only_controls(config) or "OPSCHED_DATA" not in os.environ:
        return
    client.release(_layout(), wait=20.0)
    _delete(_layout().root.parent)


def _only_controls(config: pytest.Config) -> bool:
    """Is this xdist's controller, which runs no test itself?"""
    return bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")


def _delete(folder: Path) -> None:
    # The guardian deletes its part at the same moment: whoever loses the race for a file tries again.
    deadline = time.monotonic() + 5.0
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)


def _layout() -> Layout:
    return Layout(root=Path(os.environ["OPSCHED_DATA"]) / "pg")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if not any(shutil.which(name) for name in _PROGRAMS.get(program, (program,))):
                pytest.skip(f"the program {program} is not installed")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """After migrating: from here on, tables are emptied where they were written to."""
    with pytest.MonkeyPatch.context() as patch:
        with django_db_blocker.unblock():
            Emptier(patch)
        yield


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI is set, everything that tests need has been installed, so a skip means that something is untested."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None or hasattr(session.config, "workerinput"):
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    for report in skipped:
        reporter.write_line(f"skipped, which CI forbids: {report.nodeid} ({report.longrepr[-1]})", red=True)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What tests measured, and what this run left out on purpose."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, figures in getattr(report, "user_properties", ()):
                if name == "figures":
                    terminalreporter.write_line(f"{report.nodeid}: {figures}")
    if config.getoption("markexpr") == "not faults":
        terminalreporter.write_line("the long forms of the fault tests were left out: make test-faults")


@pytest.fixture(autouse=True)
def _no_broken_connection_in_the_thread_of_async_tests(request: pytest.FixtureRequest) -> None:
    """Async tests share a thread for the ORM, and some test before may have ended its connection's session."""
    if inspect.iscoroutinefunction(request.function):
        SyncToAsync.single_thread_executor.submit(connections.close_all).result(10)
