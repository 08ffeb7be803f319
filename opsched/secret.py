"""The secret key of an installation that was given none: made once, kept in the data folder, readable by its owner.

Two processes may start at the same moment; both end with the same key.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

__all__ = ["kept_secret"]


def kept_secret(path: Path) -> str:
    """The key in `path`, made there when the file does not exist."""
    try:
        if not path.exists():
            _make(path)
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {path.parent} cannot be used ({error.strerror}): make it writable for this user, "
            "free some space, or set OPSCHED_DATA to another folder."
        ) from error
    if len(key) < 50:
        raise ImproperlyConfigured(
            f"{path} holds no usable key: delete it (everybody is logged out) and start again."
        )
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails when another process was first: then its key is the key
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
