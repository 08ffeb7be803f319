"""The jobs app: when Django is ready, handlers are found. No query, thread or connection here."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["JobsConfig"]


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Background work"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Imported here because handlers import models, which exist only now.
        from jobs import checks, live, registry  # noqa: F401

        live.register()
        registry.autodiscover()
