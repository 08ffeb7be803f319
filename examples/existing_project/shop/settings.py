"""Settings of a project that had nothing to do with opsched before."""

from __future__ import annotations

SECRET_KEY = "an example has no secrets"  # noqa: S105 - and nobody should copy this one
USE_TZ = True
INSTALLED_APPS = [
    "jobs",  # opsched; before channels, if that is installed
    "notifications",  # opsched
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",  # opsched
    "shop",
]
# Where the server is comes from libpq's own variables, such as PGHOST and PGUSER.
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
OPSCHED = {"POLL_SECONDS": 0.5}  # opsched; every key has a default
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
