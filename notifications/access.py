"""Who a client is, what it may hear, and whether that still holds: logout, deactivation and lost permissions.

The check of all connections of a process costs one query for users and their permissions, one for sessions and one for
tokens, whatever their number. Topics are authorised again when a user's fingerprint changed, and now and then anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.contrib.auth.models import Permission
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from notifications import topics as topic_registry
from notifications.connections import Identity
from notifications.errors import Forbidden

__all__ = ["Caller", "Holding", "admit", "recheck", "reload", "user_of_token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A logged-in client."""

    user: Any
    session_key: str | None = None
    token_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a connection holds at the moment of a check."""

    identity: Identity
    topics: frozenset[str]


def user_of_token(key: str) -> Caller | None:
    """The active user of a REST token."""
    if not apps.is_installed("rest_framework.authtoken"):
        return None
    tokens = apps.get_model("authtoken", "Token").objects.select_related("user")
    token = tokens.filter(key=key, user__is_active=True).first()
    return None if token is None else Caller(user=token.user, token_key=token.key)


def admit(caller: Caller, topics: Iterable[str]) -> Identity:
    """Check the topics and take the fingerprint that later checks compare with. Raises Forbidden."""
    # First the fingerprint: what is lost between the two is then noticed by the next check.
    seen = _fingerprints([caller.user.pk]).get(caller.user.pk, ())
    topic_registry.authorise(caller.user, topics)
    return Identity(
        user_id=caller.user.pk, fingerprint=seen, session_key=caller.session_key, token_key=caller.token_key
    )


def reload(caller: Caller) -> Caller:
    """The caller with a user as the database knows it now, and no cached permissions."""
    fresh = get_user_model()._default_manager.filter(pk=caller.user.pk, is_active=True).first()
    if fresh is None:
        raise Forbidden("any")
    return replace(caller, user=fresh)


def recheck(holdings: Sequence[Holding], *, everything: bool = False) -> list[Identity | None]:
    """For each holding its identity as of now, or None when the connection must be closed."""
    identities = [holding.identity for holding in holdings]
    users = _fingerprints({identity.user_id for identity in identities})
    sessions = _live_sessions({i.session_key for i in identities if i.session_key})
    tokens = _live_tokens({i.token_key for i in identities if i.token_key})
    return [_still(holding, users, sessions, tokens, everything=everything) for holding in holdings]


def _still(
    holding: Holding,
    users: dict[Any, tuple[Any, ...]],
    sessions: set[str],
    tokens: set[str],
    *,
    everything: bool,
) -> Identity | None:
    identity = holding.identity
    now = users.get(identity.user_id)
    if now is None:
        return None
    if identity.session_key is not None and identity.session_key not in sessions:
        return None
    if identity.token_key is not None and identity.token_key not in tokens:
        return None
    changed = now != identity.fingerprint
    if (changed or everything) and not _may_still(holding):
        return None
    return replace(identity, fingerprint=now) if changed else identity


def _may_still(holding: Holding) -> bool:
    """With a freshly loaded user, whose permissions are not cached."""
    user = (
        get_user_model()._default_manager.filter(pk=holding.identity.user_id).first()
    )  # Django's public name for it
    key = holding.identity.session_key
    if user is None or (key is not None and not _same_password(user, key)):
        return False
    try:
        topic_registry.authorise(user, holding.topics)
    except Forbidden:
        return False
    return True


def _fingerprints(user_ids: Iterable[Any]) -> dict[Any, tuple[Any, ...]]:
    """State and permissions of the active ones of these users, in one query."""
    model = get_user_model()
    present = {field.name for field in model._meta.get_fields()}
    columns: list[Any] = [
        name for name in ("is_active", "is_staff", "is_superuser", "password") if name in present
    ]
    found = model._default_manager.filter(pk__in=list(user_ids))  # Django's public name for it
    if "is_active" in present:
        found = found.filter(is_active=True)
    if {"groups", "user_permissions"} <= present:
        own = Permission.objects.filter(user=OuterRef("pk")).order_by("pk").values("pk")
        by_group = Permission.objects.filter(group__user=OuterRef("pk")).order_by("pk").values("pk")
        found = found.annotate(own_=ArraySubquery(own), by_group_=ArraySubquery(by_group))
        columns += ["own_", "by_group_"]
    rows = found.values_list("pk", *columns)
    return {pk: tuple(tuple(v) if isinstance(v, list) else v for v in rest) for pk, *rest in rows}


def _live_sessions(keys: set[str]) -> set[str]:
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if hasattr(store, "get_model_class"):
        live = store.get_model_class().objects.filter(pk__in=keys, expire_date__gt=timezone.now())
        return set(live.values_list("pk", flat=True)) if keys else set()
    if settings.SESSION_ENGINE.endswith("signed_cookies"):
        return keys  # nothing to look at: notifications.W001
    return {key for key in keys if store(key).exists(key)}


def _live_tokens(keys: set[str]) -> set[str]:
    if not keys:
        return set()
    live = apps.get_model("authtoken", "Token").objects.filter(key__in=keys)
    return set(live.values_list("key", flat=True))


def _same_password(user: Any, session_key: str) -> bool:
    """A changed password ends the sessions that were opened with the old one."""
    store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    return constant_time_compare(store.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())
