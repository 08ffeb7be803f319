"""Strict readers for environment variables; called by `opsched/settings.py` alone, which passes the mapping in.

A value that cannot be understood ends the program with one sentence: a typo must never mean "the default".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

__all__ = ["choice", "database_from_url", "flag", "names", "whole_number"]

_FLAGS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_URL_OPTIONS = {
    "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "target_session_attrs", "application_name",
}  # fmt: skip


def flag(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    """A yes or no; anything else is refused."""
    raw = env.get(name, "").strip().lower()
    if not raw:
        return default
    if raw not in _FLAGS:
        raise ImproperlyConfigured(f"{name} is {raw!r}: use 1 or 0.")
    return _FLAGS[raw]


def choice(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """One of a few words; the first is the default."""
    raw = env.get(name, "").strip() or allowed[0]
    if raw not in allowed:
        raise ImproperlyConfigured(f"{name} is {raw!r}: use one of {', '.join(allowed)}.")
    return raw


def names(env: Mapping[str, str], name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A list separated by commas, without empty members."""
    found = [part.strip() for part in env.get(name, "").split(",") if part.strip()]
    return found or list(default)


def whole_number(env: Mapping[str, str], name: str, *, default: int) -> int:
    """A number of at least 0."""
    raw = env.get(name, "").strip()
    if not raw:
        return default
    if not raw.isascii() or not raw.isdigit():
        raise ImproperlyConfigured(f"{name} is {raw!r}: use a whole number.")
    return int(raw)


def database_from_url(url: str) -> dict[str, Any]:
    """Django's database settings for a `postgresql://` URL.

    A unix socket is named by `?host=/folder`. The URL carries a password, so no message here repeats it.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql:// (PostgreSQL 14 or later).")
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise ImproperlyConfigured(
            "DATABASE_URL must end with one database: postgresql://user@host:5432/NAME."
        )
    if parts.fragment:
        raise ImproperlyConfigured("DATABASE_URL contains '#': write it as %23 inside a password.")
    query = _query(parts.query)
    socket_folder = query.pop("host", "")
    if socket_folder and not Path(socket_folder).is_absolute():
        raise ImproperlyConfigured("DATABASE_URL's ?host= must be the absolute folder of a unix socket.")
    port = query.pop("port", "") or _port(parts)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": socket_folder or parts.hostname or "",
        "PORT": port,
        "OPTIONS": {"connect_timeout": 5, "application_name": "opsched", **query},
    }


def _query(text: str) -> dict[str, str]:
    query = dict(parse_qsl(text, keep_blank_values=True))
    unknown = sorted(set(query) - _URL_OPTIONS - {"host", "port"})
    if unknown:
        known = ", ".join(sorted(_URL_OPTIONS | {"host", "port"}))
        raise ImproperlyConfigured(f"DATABASE_URL has the unknown option {unknown[0]!r}: known are {known}.")
    return query


def _port(parts: SplitResult) -> str:
    try:
        return str(parts.port or "")
    except ValueError:
        raise ImproperlyConfigured("DATABASE_URL has a port that is not a number from 1 to 65535.") from None
