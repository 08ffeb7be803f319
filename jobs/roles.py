"""The two groups a new installation has, and what each may do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

__all__ = ["OPERATORS", "VIEWERS", "create_groups", "grant"]

OPERATORS = "Operators"
VIEWERS = "Viewers"


def create_groups(apps: Any, using: str) -> None:
    """Create both groups and give them the permissions of the jobs app. What a group had otherwise is left alone."""
    _give(apps, using, Q())


def grant(apps: Any, using: str, *models: str) -> None:
    """For a migration that adds models: the groups get what can be done with these, and no other permission."""
    _give(apps, using, Q(content_type__model__in=models))


def _give(apps: Any, using: str, chosen: Q) -> None:
    # Permissions are made by a signal after all migrations; a migration that hands them out must make them first.
    from django.contrib.auth.management import create_permissions

    config = apps.get_app_config("jobs")
    config.models_module = True  # the historical app config has none, and would be passed over
    create_permissions(config, apps=apps, verbosity=0, using=using)
    config.models_module = None
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    ours = permission_model.objects.using(using).filter(chosen, content_type__app_label="jobs")
    operators, _ = group_model.objects.using(using).get_or_create(name=OPERATORS)
    operators.permissions.add(*ours)
    viewers, _ = group_model.objects.using(using).get_or_create(name=VIEWERS)
    viewers.permissions.add(*ours.filter(Q(codename__startswith="view_")))
