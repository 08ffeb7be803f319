"""Who calls: a token first, so that a refusal is a 401 that says how to log in; else the session, with CSRF.

Keys that no store could hold are refused here, because the database would refuse them with an error.
"""

from __future__ import annotations

import re
from typing import Any

from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

__all__ = ["PrintableSession", "PrintableToken"]

_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class PrintableToken(TokenAuthentication):
    """`Authorization: Token <key>`."""

    def authenticate_credentials(self, key: str) -> Any:
        if not _KEY.fullmatch(key):
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(key)


class PrintableSession(SessionAuthentication):
    """Django's session. A cookie may hold an escaped NUL, on which PostgreSQL would fail."""

    def authenticate(self, request: Request) -> Any:
        key = request._request.session.session_key  # noqa: SLF001 - DRF's own name for Django's request
        if key is not None and not _KEY.fullmatch(key):
            return None
        return super().authenticate(request)
