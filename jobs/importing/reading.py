"""From a file to a JSON document: plain or gzip (told by its first bytes), bounded, strict.

A small file can unpack to something huge, so unpacking stops at a bound. Errors carry line and column, as far as the
file is text at all.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import IO, Any, NoReturn

from jobs.importing.errors import WorkflowFileError

__all__ = ["MAX_BYTES", "read_document"]

MAX_BYTES = 128 * 1024 * 1024
"""Of the unpacked text. The most tasks one submission takes need a tenth of it."""

_GZIP = b"\x1f\x8b"
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<constant>NaN|-?Infinity)')


class _ConstantFound(ValueError):
    """NaN or Infinity, which Python's parser would take."""


def read_document(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """The JSON document in `path`. Raises WorkflowFileError."""
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            data = _unpack(file, max_bytes) if packed else _bounded(file, max_bytes)
    except OSError as error:
        raise WorkflowFileError("", f"the file cannot be read ({error.strerror or error})") from None
    named_gzip = path.suffix == ".gz" and not packed
    return _parse(_decode(data), hint=" (and it is not gzip, in spite of its name)" if named_gzip else "")


def _unpack(file: IO[bytes], max_bytes: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            return _bounded(unpacked, max_bytes)
    except EOFError:
        raise WorkflowFileError("", "the gzip data ends in the middle: the file is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise WorkflowFileError("", f"the gzip data is damaged ({error})") from None


def _bounded(file: IO[bytes] | gzip.GzipFile, max_bytes: int) -> bytes:
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise WorkflowFileError("", f"holds more than {max_bytes // (1024 * 1024)} MB of text")
    return data


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WorkflowFileError(f"line {line}", f"byte {error.start} is not UTF-8") from None


def _parse(text: str, *, hint: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise WorkflowFileError(place, f"not JSON: {error.msg}{hint}") from None
    except _ConstantFound as error:
        raise WorkflowFileError(_place_of_constant(text), f"not JSON: {error} is no number") from None
    except RecursionError:
        raise WorkflowFileError("", "is nested too deep to be a workflow") from None
    except ValueError as error:
        # A number of thousands of digits, which Python refuses to convert.
        raise WorkflowFileError("", f"not usable JSON: {error}") from None


def _refuse_constant(word: str) -> NoReturn:
    raise _ConstantFound(word)


def _place_of_constant(text: str) -> str:
    for match in _STRING_OR_CONSTANT.finditer(text):
        if match["constant"]:
            start = match.start()
            line_start = text.rfind("\n", 0, start) + 1
            return f"line {text.count(chr(10), 0, start) + 1}, column {start - line_start + 1}"
    return ""
