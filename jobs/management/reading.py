"""Texts of the command line as values: ids, times, payloads, unique keys. What takes them decides what they may be.

Raises InvalidSubmission, which the commands answer with exit code 2; `whole_id` is for argparse and raises its error.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs import conf
from jobs.errors import InvalidSubmission
from jobs.payloads import named_twice
from jobs.unique import Unique

__all__ = ["deadline", "payload", "refuse_other_than_utf8", "time", "unique", "whole_id"]

_MAX_ID = 2**63 - 1
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def whole_id(text: str) -> int:
    """An id PostgreSQL can look for: beyond a bigint it would refuse the statement."""
    if (
        len(text) > len(str(_MAX_ID))
        or not text.isascii()
        or not text.isdecimal()
        or not 0 < int(text) <= _MAX_ID
    ):
        raise ArgumentTypeError(f"{text[:40]!r} is no id")
    return int(text)


def payload(given: str) -> Any:
    """The payload as JSON. Its size, depth and shape are checked where every payload is."""
    text = given
    if given == "-":
        if sys.stdin is None:  # closed by whoever started us
            raise InvalidSubmission("payload", "there is no standard input to read it from")
        # Four times the limit leaves room for white space and escapes; more is not worth reading.
        most = 4 * conf.get().MAX_PAYLOAD_BYTES
        data = sys.stdin.buffer.read(most + 1)
        if len(data) > most:
            raise InvalidSubmission("payload", f"has more than {most:,} bytes")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidSubmission("payload", f"is not UTF-8 (byte {error.start})") from None
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        reason = f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise InvalidSubmission("payload", reason) from None
    except RecursionError:
        raise InvalidSubmission("payload", "is nested too deep") from None
    except ValueError as error:
        raise InvalidSubmission("payload", f"is not usable JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidSubmission("payload", f"has the key {named_twice(pairs)} twice in one object")
    return found


def refuse_other_than_utf8(options: Mapping[str, Any]) -> None:
    """Bytes that are none come from Python as lone surrogates, which can neither be stored nor printed."""
    for name, value in options.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and _SURROGATE.search(text):
                raise InvalidSubmission(name, "is not UTF-8")


def unique(options: dict[str, Any]) -> Unique | None:
    given = {name: options[f"unique_{name}"] for name in ("key", "scope", "seconds", "policy")}
    if all(value is None for value in given.values()):
        return None
    if given["key"] is None:
        raise InvalidSubmission("--unique-key", "is missing")
    return Unique.read(given)


def time(text: str, option: str = "--at") -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSubmission(option, f"{text!r} is no date with time and zone in ISO 8601") from None


def deadline(text: str) -> datetime | float:
    try:
        return float(text)
    except ValueError:
        return time(text, "--deadline")
