"""The two apps inside a project that is not ours (examples/existing_project), as its README tells it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.crash.harness import ROOT, Program
from tests.support import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PROJECT = ROOT / "examples" / "existing_project"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """shop("migrate") runs a command of the example, on a database of its own on the session's server."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE shop")
    settings = connection.settings_dict
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("OPSCHED_", "DJANGO_"))
    }
    environment |= {"PGHOST": str(settings["HOST"]), "PGUSER": settings["USER"], "PYTHONPATH": str(ROOT)}
    started: list[Program] = []

    def run(*words: str) -> Program:
        log = tmp_path / f"log-{len(started)}.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *words], cwd=PROJECT, env=environment, stdout=out, stderr=out
            )
        started.append(Program(process, log))
        return started[-1]

    yield run
    for program in started:
        if program.process.poll() is None:
            program.kill()
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE shop WITH (FORCE)")


def answer(program: Program) -> str:
    assert program.end(timeout=40) == 0, program.text
    return program.text


def test_the_apps_work_in_somebody_elses_project(shop: Callable[..., Program]) -> None:
    answer(shop("check"))
    answer(shop("migrate", "-v0"))
    assert "No changes detected" in answer(shop("makemigrations", "--check", "--dry-run"))
    worker = shop("runworker").ready()
    job = answer(shop("jobs", "submit", "shop.invoice", "--payload", '{"order": 7}')).strip()

    def told() -> bool:
        return bool(json.loads(answer(shop("jobs", "list", "--json", "--state", "completed"))))

    eventually(told, timeout=20)
    shown = json.loads(answer(shop("jobs", "show", job, "--json")))
    assert (shown["state"], shown["queue"], shown["result"]) == ("completed", "shop", {"invoice": 1})
    worker.send(signal.SIGTERM)
    assert worker.end() == 0, worker.text
