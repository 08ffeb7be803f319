"""Bytes of a body to a JSON object, strictly: what PostgreSQL cannot hold or two programs read differently is refused.

Nothing is parsed before its size is known. Refused: more than the limit, other than UTF-8, duplicate keys, NaN and
infinities, numbers too long to read back, NUL and lone surrogates, nesting beyond the parser's stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser

from jobs.api.problems import BodyTooLarge
from jobs.payloads import named_twice

__all__ = ["MAX_BODY_BYTES", "StrictJSONParser", "read_object"]

MAX_BODY_BYTES = 8 * 1024 * 1024
# Python refuses to read integers of more than 4300 digits, also when they come back from the database.
_MAX_DIGITS = 1000
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_HEAD = 100


class StrictJSONParser(BaseParser):
    """See the module."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The body has more than {MAX_BODY_BYTES:,} bytes.")
        return read_object(body)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises ParseError or ValidationError (DRF's), with the place."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: byte {error.start} is wrong.") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except json.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise ParseError("The body is nested too deep.") from None
    if not isinstance(value, dict):
        raise ParseError("The body must be a JSON object.")
    if _SUSPECT.search(text):
        _refuse_unstorable(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ParseError(f"The key {named_twice(pairs)} stands twice in one object.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is no JSON number.")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ParseError(f"A number has {len(digits):,} digits; at most {_MAX_DIGITS:,} are allowed.")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ParseError(f"The number {digits[:_HEAD]} is out of range.")
    return value


def _refuse_unstorable(value: Any) -> None:
    for path, text in _texts(value, ""):
        if "\x00" in text:
            raise ValidationError({path: ["has a NUL character, which PostgreSQL cannot store"]})
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise ValidationError({path: ["has a lone surrogate, which is no valid Unicode text"]})


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text with its path, keys included. A stack of its own: the parser allows deeper nesting than generators."""
    stack = [(path, value)]
    while stack:
        where, item = stack.pop()
        if isinstance(item, str):
            yield where, item
        elif isinstance(item, dict):
            for key, inner in item.items():
                yield where or "body", key
                stack.append((f"{where}.{key}" if where else key, inner))
        elif isinstance(item, list):
            stack.extend((f"{where}[{index}]", inner) for index, inner in enumerate(item))
