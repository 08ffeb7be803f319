"""The shape of OPSCHED["EVENTS"]: defaults, bounds, and a refusal with a suggestion for keys that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["EventSettings", "event_settings"]


class EventSettings(BaseModel):
    """Settings of the event log and of live delivery. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    PING_SECONDS: float = Field(
        default=30, ge=1, le=300, description="Between two signs of life on a quiet stream."
    )
    RETRY_MS: int = Field(
        default=2000, ge=100, le=60_000, description="How long a browser waits to reconnect."
    )
    BUFFER_BYTES: int = Field(
        default=786_432, ge=65_536, le=1_048_576, description="Waiting for one slow client."
    )
    STALL_SECONDS: float = Field(
        default=10, gt=0, le=15, description="A client that takes nothing is cut off."
    )
    RECHECK_SECONDS: float = Field(
        default=2, gt=0, le=4, description="Between two looks at who may still listen."
    )
    POLL_SECONDS: float = Field(default=1, gt=0, le=1, description="When no doorbell rings.")
    DATABASE_SECONDS: float = Field(
        default=8, ge=0.2, le=60, description="A database that is silent for so long counts as away."
    )
    MAX_TOPICS: int = Field(default=50, ge=1, le=50, description="Of one connection.")
    MAX_CONNECTIONS_PER_USER: int = Field(default=200, ge=1, description="In one process.")
    REPLAY_ROWS: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Read for one resume, else reset."
    )
    FRAME_BYTES: int = Field(
        default=16_384, ge=1024, le=1_048_576, description="One WebSocket frame from a client."
    )
    FRAMES_PER_SECOND: float = Field(default=10, gt=0, description="From one WebSocket, averaged.")
    RETENTION_HOURS: float = Field(default=168, gt=0, description="Events are kept at least as long.")

    @model_validator(mode="before")
    @classmethod
    def _suggest(cls, raw: Any) -> Any:
        for key in raw if isinstance(raw, Mapping) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key).upper(), cls.model_fields, n=1)
                hint = f' Did you mean "{near[0]}"?' if near else ""
                raise ValueError(f'OPSCHED["EVENTS"] has no key "{key}".{hint}')
        return raw


_validated: list[tuple[object, EventSettings]] = []
_NONE: dict[str, Any] = {}


def event_settings() -> EventSettings:
    """The validated settings. Validated once per settings dict, so a test's override is seen."""
    raw = getattr(settings, "OPSCHED", {}).get("EVENTS", _NONE)
    if not _validated or _validated[0][0] is not raw:
        _validated[:] = [(raw, EventSettings.model_validate(raw))]
    return _validated[0][1]
