"""The fingerprint of an error: the same for the same class raised in the same function, whatever the message is about.

Numbers, ids, hashes, addresses and quoted words are left out, also of the file's path, so that neither another order
nor another release of the same code makes another group of dead letters. Pure.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["fingerprint"]

_PLACE = re.compile(r'File "(?P<file>[^"]+)", line \d+, in (?P<name>\S+)')
_VARIABLE = re.compile(
    r"""
      0x[0-9a-fA-F]+                                     # a place in memory
    | [\w.+-]{1,64}@[\w.-]+                              # somebody's address
    | \b(?:[0-9a-fA-F]{0,4}:){2,}[0-9a-fA-F]{0,4}\b      # a machine's, or a time
    | \b(?=[\w-]{0,100}\d)[\w-]{8,}                      # ids, hashes: long words with a digit
    | \d+
    | '[^']*' | "[^"]*"
    """,
    re.VERBOSE,
)
# What follows is not looked at: it tells no more, and the expression shall not have a long text to chew on.
_LOOKED_AT = 1_000


def fingerprint(error_class: str, message: str, frames: str) -> str:
    """32 hex digits. `frames`: the traceback as text, or empty."""
    places = _PLACE.findall(frames)
    file, name = places[-1] if places else ("", "")
    where = f"{_plain(file)}|{name}" if places else ""
    text = "\n".join((error_class, where, _plain(message[:_LOOKED_AT])[:500]))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _plain(text: str) -> str:
    return _VARIABLE.sub("?", text)
