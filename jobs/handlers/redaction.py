"""What of an HTTP exchange may be kept: secrets are taken out when a thing is written, not when it is shown.

Used by `http.request` for its result, its log lines and its errors. Request headers are secret unless their
name is known to be harmless (a webhook's shared secret can have any name); response headers are judged by
name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

__all__ = ["REDACTED", "kept_headers", "scrub", "secrets_of"]

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"cookie|auth|token|secret|passw|credential|session|signature|api-?key|private|csrf|jwt|saml",
    re.IGNORECASE,
)
_HARMLESS = frozenset(
    (
        *(
            "accept",
            "accept-charset",
            "accept-encoding",
            "accept-language",
            "cache-control",
            "content-encoding",
        ),
        *(
            "content-language",
            "content-type",
            "date",
            "from",
            "if-match",
            "if-modified-since",
            "if-none-match",
        ),
        *("if-unmodified-since", "origin", "prefer", "range", "referer", "user-agent"),
    )
)
_MAX_HEADERS = 40
_MAX_VALUE = 500
_SHORTEST_SECRET = 6  # shorter values ("1", "true") would blank out half of an innocent body


def secrets_of(headers: Mapping[str, str]) -> tuple[bytes, ...]:
    """What of a request's headers must not come back in a result or an error; longest first."""
    found: set[str] = set()
    for name, value in headers.items():
        if name.lower() not in _HARMLESS:
            found.update((value.strip(), *value.split()[1:]))  # "Bearer abc": the whole and the "abc"
    return tuple(
        sorted(
            (text.encode("latin-1", "replace") for text in found if len(text) >= _SHORTEST_SECRET),
            key=len,
            reverse=True,
        )
    )


def scrub(body: bytes, secrets: Iterable[bytes]) -> bytes:
    """`body` without the secrets: a service that echoes the request would put them into the database."""
    for secret in secrets:
        body = body.replace(secret, REDACTED.encode())
    return body


def kept_headers(headers: Iterable[tuple[str, str]], secrets: Iterable[bytes]) -> dict[str, str]:
    """Response headers fit to be stored: lower-case, bounded, secrets redacted, repeated ones joined."""
    kept: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.lower()[:100].encode("ascii", "replace").decode()
        if name not in kept and len(kept) >= _MAX_HEADERS:
            continue
        value = _kept_value(name, raw_value, secrets)
        kept[name] = f"{kept[name]}, {value}"[:_MAX_VALUE] if name in kept else value[:_MAX_VALUE]
    return kept


def _kept_value(name: str, value: str, secrets: Iterable[bytes]) -> str:
    if _SECRET_NAME.search(name):
        return REDACTED
    if name in ("location", "content-location", "refresh", "link"):
        value = _without_query(value)
    clean = scrub(value.encode("latin-1", "replace"), secrets).decode("latin-1")
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in clean)


def _without_query(url: str) -> str:
    """A redirect's target without what often carries codes and tokens: user name, query, fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return REDACTED
    netloc = parts.netloc.rpartition("@")[2]
    bare = parts._replace(netloc=netloc, query="", fragment="").geturl()
    return f"{bare}?{REDACTED}" if parts.query or parts.fragment else bare
