"""opsched as two apps in somebody else's Django project, as the README shows it: no `opsched` package, no top-level
templates of ours, only what a wheel would bring.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from psycopg import sql

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

ROOT = Path(__file__).parents[2]

SETTINGS = """
import os
SECRET_KEY = "only for this test"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [
    "jobs", "notifications", "daphne",
    "unfold", "unfold.contrib.filters", "unfold.contrib.forms",
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.postgres", "django.contrib.staticfiles",
    "channels", "rest_framework", "rest_framework.authtoken", "django_filters", "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
    "context_processors": ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
                           "django.contrib.messages.context_processors.messages"]}}]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["SHOP_NAME"],
             "HOST": os.environ["SHOP_HOST"], "USER": os.environ["SHOP_USER"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "shop.urls"
STATIC_URL = "static/"
USE_TZ = True
OPSCHED = {"LEASE_SECONDS": 6}
LOGGING = {"version": 1, "disable_existing_loggers": False, "handlers": {"c": {"class": "logging.StreamHandler"}},
           "loggers": {"opsched": {"handlers": ["c"], "level": "INFO"}}}
"""

URLS = """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [
    path("admin/operations/", include("jobs.operations.urls")),
    path("admin/", admin.site.urls),
    path("notifications/", include("notifications.urls")),
    path("api/v1/", include("jobs.api.urls")),
]
"""

HANDLERS = """
import jobs

@jobs.job("shop.greet")
def greet(ctx, payload):
    return f"hello {payload['name']}"
"""

STORY = """
import os, signal, subprocess, sys, time
import django
django.setup()
import jobs
from django.contrib.auth import get_user_model
from django.test import Client
from jobs.models import Job

root = get_user_model().objects.create_superuser("root", password="x")
submitted = jobs.submit("shop.greet", {"name": "Ada"})
worker = subprocess.Popen([sys.executable, "manage.py", "runworker"])
deadline = time.monotonic() + 30
while (job := Job.objects.get(pk=submitted.id)).state != "completed":
    assert worker.poll() is None and time.monotonic() < deadline, job.state
    time.sleep(0.05)
worker.send_signal(signal.SIGTERM)
assert worker.wait(20) == 0
assert job.result == "hello Ada", job.result
client = Client()
client.force_login(root)
for address in ("/admin/", "/admin/operations/", "/admin/jobs/job/", f"/admin/jobs/job/{job.pk}/change/",
                "/admin/jobs/deadletter/", "/admin/jobs/schedule/", "/api/v1/jobs", f"/api/v1/jobs/{job.pk}"):
    answer = client.get(address, follow=True)
    assert answer.status_code == 200, (address, answer.status_code, answer.content[:500])
    print("ok", address)
"""


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """An empty database of its own on the session's server."""
    settings = connection.settings_dict
    address = {"host": settings["HOST"], "user": settings["USER"], "dbname": "postgres"}
    name = f"{settings['NAME']}_shop"
    with psycopg.connect(**address, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield {"SHOP_NAME": name, "SHOP_HOST": settings["HOST"], "SHOP_USER": settings["USER"]}
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_two_apps_work_in_an_existing_project(tmp_path: Path, database: dict[str, str]) -> None:
    for app in ("jobs", "notifications"):
        shutil.copytree(ROOT / app, tmp_path / app, ignore=shutil.ignore_patterns("__pycache__"))
    shop = tmp_path / "shop"
    shop.mkdir()
    for name, text in {
        "__init__.py": "",
        "settings.py": SETTINGS,
        "urls.py": URLS,
        "handlers.py": HANDLERS,
    }.items():
        (shop / name).write_text(text)
    (tmp_path / "story.py").write_text(STORY)
    (tmp_path / "manage.py").write_text(
        "import sys\nfrom django.core import management\nmanagement.execute_from_command_line(sys.argv)\n"
    )
    environment = {
        **os.environ,
        **database,
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PYTHONPATH": str(tmp_path),
    }
    for words in (["manage.py", "check"], ["manage.py", "migrate", "-v", "0"], ["story.py"]):
        ran = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert ran.returncode == 0, f"{words}: {ran.stdout}\n{ran.stderr}"
