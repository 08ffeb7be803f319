"""Who opens a stream: the Authorization header's token, or the session that Channels put into the scope."""

from __future__ import annotations

from typing import Any

from notifications.access import Caller, user_of_token
from notifications.threads import in_thread

__all__ = ["caller_of"]


async def caller_of(scope: dict[str, Any]) -> Caller | None:
    """The logged-in client, or None. A wrong token is not made up for by a session."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            return await in_thread(user_of_token, key.strip()) if scheme.lower() == "token" else None
    user = scope.get("user")
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    session = scope.get("session")
    return Caller(user=user, session_key=None if session is None else session.session_key)
