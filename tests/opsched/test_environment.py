"""Environment variables are understood or refused; a typo never means the default, a password never shows."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from opsched import environment
from opsched.secret import kept_secret
from tests.opsched.conftest import ROOT


def test_a_url_becomes_django_settings() -> None:
    found = environment.database_from_url("postgresql://al%40ce:p%23w@db.example:6543/jo%62s?sslmode=require")
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]) == (
        "al@ce", "p#w", "db.example", "6543", "jobs",
    )  # fmt: skip
    assert found["OPTIONS"]["sslmode"] == "require"


def test_a_url_may_name_a_socket() -> None:
    found = environment.database_from_url("postgresql://opsched@/jobs?host=/run/postgresql")
    assert (found["HOST"], found["PORT"]) == ("/run/postgresql", "")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hush@h/db", "must begin with postgresql://"),
        ("db.example/jobs", "must begin with postgresql://"),
        ("postgresql://u:hush@h", "must end with one database"),
        ("postgresql://u:hush@h/a/b", "must end with one database"),
        ("postgresql://u:hush@h:99999/db", "port that is not a number"),
        ("postgresql://u:hush@h:abc/db", "port that is not a number"),
        ("postgresql://u:hush@h/db?sslmod=require", "unknown option 'sslmod'"),
        ("postgresql://u:hu#sh@h/db", "DATABASE_URL"),
        ("postgresql://u:hush@h/db?host=run", "absolute folder"),
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said) as caught:
        environment.database_from_url(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(("raw", "value"), [("1", True), ("no", False), ("", True), ("TRUE", True)])
def test_flags(raw: str, value: bool) -> None:
    assert environment.flag({"X": raw}, "X", default=True) is value


def test_what_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="X is 'maybe': use 1 or 0"):
        environment.flag({"X": "maybe"}, "X", default=False)


def test_the_secret_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret_key"
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(kept_secret(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(found[0]) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_a_broken_secret_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short")
    with pytest.raises(ImproperlyConfigured, match="delete it"):
        kept_secret(tmp_path / "secret_key")


def manage(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSCHED", "DATABASE"))}
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings_of(tmp_path: Path, **variables: str) -> dict[str, Any]:
    """What a fresh process makes of these variables."""
    names = ("DEBUG", "ALLOWED_HOSTS", "SESSION_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS")
    code = f"from opsched import settings; import json; print(json.dumps([getattr(settings, n) for n in {names}]))"
    done = manage("shell", "--no-imports", "-c", code, OPSCHED_DATA=str(tmp_path), **variables)
    assert done.returncode == 0, done.stderr
    return dict(zip(names, json.loads(done.stdout.splitlines()[-1]), strict=True))


def test_local_is_http_on_this_machine_without_debug(tmp_path: Path) -> None:
    found = settings_of(tmp_path)
    assert found["DEBUG"] is False
    assert found["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert found["SESSION_COOKIE_SECURE"] is False
    assert not (tmp_path / "pg").exists(), "reading settings must not start a database"


def test_production_is_https_with_named_hosts(tmp_path: Path) -> None:
    found = settings_of(tmp_path, OPSCHED_ENV="production", OPSCHED_HOSTS="ops.example.org, ops2.example.org")
    assert found["ALLOWED_HOSTS"] == ["ops.example.org", "ops2.example.org"]
    assert found["SESSION_COOKIE_SECURE"] is found["SECURE_SSL_REDIRECT"] is True
    assert found["SECURE_HSTS_SECONDS"] > 0


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OPSCHED_ENV": "prod"}, "OPSCHED_ENV is 'prod': use one of local, production."),
        ({"OPSCHED_ENV": "production"}, "OPSCHED_HOSTS must name the hosts"),
        (
            {"OPSCHED_ENV": "production", "OPSCHED_HOSTS": "a.example", "OPSCHED_DEBUG": "1"},
            "unset it in production",
        ),
        ({"DATABASE_URL": "mysql://h/db"}, "must begin with postgresql://"),
    ],
)
def test_a_wrong_environment_ends_in_one_sentence(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    done = manage("migrate", "--plan", OPSCHED_DATA=str(tmp_path), **variables)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_an_unreachable_database_ends_in_one_sentence(tmp_path: Path) -> None:
    url = "postgresql://u:hush@127.0.0.1:1/db"
    done = manage("migrate", "--plan", OPSCHED_DATA=str(tmp_path), DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("The database at 127.0.0.1:1 cannot be reached (")
    assert "correct DATABASE_URL" in done.stderr
    assert "hush" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_an_unusable_data_folder_ends_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = manage("migrate", "--plan", OPSCHED_DATA=str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "OPSCHED_DATA" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
