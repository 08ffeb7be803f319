"""The `OPSCHED` setting, validated once into a frozen object; nothing else reads it.

Unknown keys are refused with a suggestion. `manage.py check` reports what is wrong (see `checks.py`); code that runs
gets a `ConfigurationError`.
"""

from __future__ import annotations

import difflib
import ipaddress
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from jobs.errors import ConfigurationError

__all__ = ["CommandSpec", "JobsSettings", "get", "problems"]


class CommandSpec(BaseModel):
    """One program that `command.run` may start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    argv: list[str] = Field(
        min_length=1, description="Program and fixed arguments; the first is an absolute path."
    )
    max_args: int = Field(0, ge=0, le=1000, description="How many further arguments a job may add.")
    allow_options: bool = Field(default=False, description="May these further arguments begin with a dash?")
    timeout: float = Field(60.0, gt=0, description="Seconds; a job may ask for less, not more.")
    cwd: str | None = None

    @field_validator("argv")
    @classmethod
    def _names_a_file(cls, argv: list[str]) -> list[str]:
        # A bare name would be looked up along PATH, which differs from process to process.
        if argv[0][:1] != "/":
            raise ValueError(f'the program must be an absolute path, not "{argv[0]}"')
        return argv


class JobsSettings(BaseModel):
    """All keys of `OPSCHED` with their defaults. Times are seconds, sizes bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    HANDLER_MODULES: tuple[str, ...] = ()
    HEARTBEAT_SECONDS: float = Field(1.0, gt=0, le=60)
    LEASE_SECONDS: float = Field(5.0, gt=0, le=3600)
    POLL_SECONDS: float = Field(1.0, gt=0, le=60)
    MAX_PAYLOAD_BYTES: int = Field(256 * 1024, ge=1024, le=16 * 1024 * 1024)
    MAX_PAYLOAD_DEPTH: int = Field(32, ge=1, le=200)
    MAX_RESULT_BYTES: int = Field(256 * 1024, ge=1024, le=16 * 1024 * 1024)
    MAX_BULK: int = Field(10_000, ge=1, le=100_000)
    MAX_LOG_LINES: int = Field(1_000, ge=1, le=100_000)
    PREPARE_STATEMENTS: bool = Field(default=True, description="Off behind PgBouncer in transaction mode.")
    CLAIM_BATCH: int = Field(500, ge=1, le=5_000)
    PREFETCH_SECONDS: float = Field(0.1, ge=0, le=10)
    KILL_GRACE_SECONDS: float = Field(5.0, ge=0, le=3600)
    MAX_LOSSES: int = Field(3, ge=0, le=1_000)
    MAX_ABANDONED: int = Field(8, ge=0, le=10_000)
    PROCESS_MAX_JOBS: int = Field(100, ge=1, le=1_000_000)
    DRAIN_SECONDS: float = Field(30.0, ge=0, le=3600)
    RETENTION_SECONDS: float = Field(7 * 86400.0, gt=0)
    IDEMPOTENCY_SECONDS: float = Field(86_400.0, gt=0, le=30 * 86_400.0)
    EFFECT_RETENTION_SECONDS: float = Field(30 * 86400.0, gt=0)
    HTTP_ALLOW_NETWORKS: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    COMMANDS: dict[str, CommandSpec] = Field(default_factory=dict)
    CALL_COMMANDS: tuple[str, ...] = ()
    EVENTS: dict[str, Any] = Field(default_factory=dict)


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), list(JobsSettings.model_fields), n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            lines.append(f"OPSCHED[{path}]: unknown key.{hint}")
        else:
            lines.append(f"OPSCHED[{path}]: {item['msg']}")
    return lines


def problems() -> list[str]:
    """One sentence for each thing wrong with the setting; empty when it is fine."""
    try:
        checked = JobsSettings.model_validate(getattr(settings, "OPSCHED", {}))
    except ValidationError as error:
        return _explain(error)
    if checked.LEASE_SECONDS < 2 * checked.HEARTBEAT_SECONDS:
        return [
            "OPSCHED[LEASE_SECONDS]: must be at least twice HEARTBEAT_SECONDS, or live workers look dead."
        ]
    return []


@lru_cache(maxsize=1)
def get() -> JobsSettings:
    """The validated settings of this process. Raises ConfigurationError with every problem in it."""
    found = problems()
    if found:
        raise ConfigurationError(" ".join(found))
    return JobsSettings.model_validate(getattr(settings, "OPSCHED", {}))


def _forget(*, setting: str, **_: object) -> None:
    if setting == "OPSCHED":
        get.cache_clear()


setting_changed.connect(_forget, dispatch_uid="jobs.conf")
