"""The payload of `http.request`: what may be asked, checked the same way at submission and before each run.

Refuses here what would make the request mean two things to two parsers (user info, backslashes, control
characters, headers that frame the message). Says nothing about addresses: a name is judged when it is
resolved, at run time.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

__all__ = ["HttpRequestPayload", "Target"]

# The ports the Fetch standard forbids to browsers: they speak other line protocols (SMTP, IRC, SIP, …) that
# can be made to act on an HTTP request. Every other port is open: webhooks live on 8080, 8443 and the like,
# and what is protected is the network (by address), which a list of ports cannot do.
# fmt: off
_BAD_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
))
_FRAMING = frozenset((
    "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
))
# fmt: on
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_.])?\Z|[0-9a-f:.]{2,45}\Z", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]{0,4096}\Z")
_RANGE = re.compile(r"([1-5])xx\Z|([1-5]\d\d)(?:-([1-5]\d\d))?\Z")

Status = Annotated[int, Field(ge=200, le=599)]
StatusRange = Annotated[str, StringConstraints(max_length=7)]


class Target:
    """A URL taken apart once, so that the host that is judged is the host that is connected to."""

    __slots__ = ("host", "path", "port", "scheme")

    def __init__(self, url: str) -> None:
        parts = _split(url)
        self.scheme: str = parts.scheme
        self.host: str = _ascii_host(parts.hostname or "")
        self.port: int = _port(parts)
        self.path: str = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What errors and logs may say: paths and queries of webhooks are often the secret itself."""
        return f"{self.scheme}://{self.host_header}"


class HttpRequestPayload(BaseModel):
    """One HTTP request. `expect` holds what counts as success: codes (204), classes ("2xx"), ranges ("200-299")."""

    # hide_input: pydantic's messages quote the value, and here that would be a header with a password in it.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    url: Annotated[str, StringConstraints(min_length=8, max_length=4096)]
    headers: Annotated[dict[str, str], Field(max_length=50)] = {}
    json_: Any = Field(default=None, alias="json")
    body: str | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    expect: Annotated[list[Status | StatusRange], Field(min_length=1, max_length=20)] | None = None
    max_response_bytes: Annotated[int, Field(ge=0, le=131_072)] = 65_536

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, method: object) -> object:
        return method.upper() if isinstance(method, str) else method

    @field_validator("url")
    @classmethod
    def _sound_url(cls, url: str) -> str:
        Target(url)
        return url

    @field_validator("headers")
    @classmethod
    def _sound_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        seen: set[str] = set()
        for name, value in headers.items():
            _check_header(name, value)
            if name.lower() in seen:
                raise ValueError(f"header {name} is given twice")
            seen.add(name.lower())
        return headers

    @field_validator("body")
    @classmethod
    def _sound_text(cls, body: str | None) -> str | None:
        (body or "").encode()  # a lone surrogate is no text; UnicodeEncodeError is a ValueError
        return body

    @field_validator("expect")
    @classmethod
    def _sound_ranges(cls, expect: list[int | str] | None) -> list[int | str] | None:
        for entry in expect or ():
            _span(entry)
        return expect

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and "json_" in self.model_fields_set:
            raise ValueError("give json or body, not both")
        self.content()  # refused now rather than at run: lone surrogates, NaN
        return self

    @property
    def target(self) -> Target:
        return Target(self.url)

    def content(self) -> tuple[bytes | None, str | None]:
        """The bytes to send and their default content type; (None, None) without a body."""
        if "json_" in self.model_fields_set:
            return json.dumps(self.json_, allow_nan=False, ensure_ascii=False).encode(), "application/json"
        if self.body is not None:
            return self.body.encode(), "text/plain; charset=utf-8"
        return None, None

    def expects(self, status: int) -> bool:
        """True when the answer is a success. By default 2xx, and 3xx too: a redirect is an answer, never followed."""
        if self.expect is None:
            return HTTPStatus.OK <= status < HTTPStatus.BAD_REQUEST
        return any(low <= status <= high for low, high in map(_span, self.expect))


def _split(url: str) -> SplitResult:
    # urlsplit drops tabs and newlines and lets backslashes through; others read them differently. Refuse, do
    # not guess.
    if not url.isascii():
        raise ValueError("must be ASCII: percent-encode the path, write the host in its xn-- form")
    if re.search(r"[\x00-\x20\x7f\\<>\"^`{|}]", url):
        raise ValueError(
            'must not have spaces, control characters or any of \\ < > " ^ ` { | }: percent-encode them'
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must not carry a user name or password: send an Authorization header")
    return parts


def _ascii_host(host: str) -> str:
    if not _HOST.match(host) or ".." in host:
        raise ValueError("has no valid host")
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has no valid port") from None
    if port in _BAD_PORTS:
        raise ValueError(f"port {port} belongs to another protocol and is refused")
    return port or {"http": 80, "https": 443}[parts.scheme]


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.match(name):
        raise ValueError("a header name has characters that are not allowed, or is empty or too long")
    if name.lower() in _FRAMING or name.lower().startswith("proxy-"):
        raise ValueError(f"header {name} is set by the connection and cannot be given")
    if not _VALUE.match(value):
        raise ValueError(
            f"the value of header {name} has control or non-latin-1 characters, or is over 4096 long"
        )


def _span(entry: int | str) -> tuple[int, int]:
    if isinstance(entry, int):
        return entry, entry
    found = _RANGE.match(entry.lower())
    if not found:
        raise ValueError(f'{entry!r} is no status: write 204, "2xx" or "200-299"')
    if found[1]:
        return int(found[1]) * 100, int(found[1]) * 100 + 99
    low, high = int(found[2]), int(found[3] or found[2])
    if low > high:
        raise ValueError(f"{entry!r} runs backwards")
    return low, high
