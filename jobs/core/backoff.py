"""How long to wait before the next try: pure arithmetic on the number of the attempt.

Place in the flow: an outcome `Retry` without a time of its own asks the job's backoff. All are frozen values, refused
when built wrong, stored as JSON with `to_dict` and read back with `from_dict`. Promise: for every attempt, however
large, `delay` is finite and `0 <= delay <= cap`. It must not draw from a global random source: the caller passes one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from jobs.core.errors import InvalidValue
from jobs.core.suggestion import did_you_mean, nearest

__all__ = ["MAX_DELAY_S", "Backoff", "Exponential", "Fixed", "Jitter", "Linear"]

Jitter: TypeAlias = Literal["full", "equal", "none"]

# A year. Longer than anyone waits for a retry, and far from where timestamps overflow.
MAX_DELAY_S = 366 * 86_400.0
_MAX_FACTOR = 1_000.0
# Attempts above this wait like this one: it keeps the arithmetic in floats.
_MAX_ATTEMPT = 10**9


def _checked(field: str, value: object, *, low: float, high: float, open_low: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(field, f"must be a number, not {type(value).__name__}")
    # Written so that NaN fails too.
    if not (low < value <= high or (value == low and not open_low)):
        above = "more than" if open_low else "at least"
        raise InvalidValue(field, f"must be {above} {low:g} and at most {high:g}, not {value!r}")


def _check_seconds(field: str, value: object) -> None:
    _checked(field, value, low=0, high=MAX_DELAY_S, open_low=True)


def _check_jitter(value: object) -> None:
    if value not in get_args(Jitter):
        raise InvalidValue("jitter", f"must be one of {', '.join(get_args(Jitter))}, not {value!r}")


class Backoff(ABC):
    """One of `Exponential`, `Linear` and `Fixed`: what they have in common."""

    __slots__ = ()
    kind: ClassVar[str]
    jitter: Jitter

    def delay(self, attempt: int, rng: Random) -> float:
        """Seconds to wait after try number `attempt` (the first is 1) has failed. Raises `InvalidValue` below 1."""
        if attempt < 1:
            raise InvalidValue("attempt", f"must be at least 1, not {attempt!r}")
        longest = self._longest(min(attempt, _MAX_ATTEMPT) - 1)
        if self.jitter == "full":
            return longest * rng.random()
        if self.jitter == "equal":
            return longest * (0.5 + 0.5 * rng.random())
        return longest

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` turns into an equal value: `{"type": "exponential", "base": …}`."""
        return {"type": self.kind} | {field: getattr(self, field) for field in _options(type(self))}

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> Backoff:
        """Build a backoff from what `to_dict` gave. Raises `InvalidValue` on a wrong type, key or value."""
        options = dict(stored)
        kind = str(options.pop("type", None))
        cls = _KINDS.get(kind)
        if cls is None:
            hint = did_you_mean(nearest(kind, _KINDS))
            raise InvalidValue("type", f"must be one of {', '.join(_KINDS)}, not {kind!r}{hint}")
        known = _options(cls)
        for key in options:
            if key not in known:
                raise InvalidValue(
                    str(key), f"is not an option of {kind}{did_you_mean(nearest(str(key), known))}"
                )
        try:
            return cls(**options)
        except TypeError:
            raise InvalidValue(
                kind, f"needs {', '.join(known)}, has {', '.join(options) or 'nothing'}"
            ) from None

    @abstractmethod
    def _longest(self, retries: int) -> float:
        """The delay before jitter, after `retries` earlier retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential(Backoff):
    """`base * factor ** (attempt - 1)`, at most `cap`. Full jitter keeps a crowd from coming back at once."""

    kind: ClassVar[str] = "exponential"

    base: float = 2.0  # seconds before the second try
    factor: float = 2.0  # 1 to 1000
    cap: float = 3_600.0  # seconds; never waits longer
    jitter: Jitter = "full"  # full: 0 to d; equal: d/2 to d; none: d

    def __post_init__(self) -> None:
        _check_seconds("base", self.base)
        _checked("factor", self.factor, low=1, high=_MAX_FACTOR)
        _check_seconds("cap", self.cap)
        _check_jitter(self.jitter)

    def _longest(self, retries: int) -> float:
        # Compared as logarithms, because factor ** 10_000 does not fit a float.
        if math.log(self.base) + retries * math.log(self.factor) >= math.log(self.cap):
            return float(self.cap)
        return float(min(self.cap, self.base * self.factor**retries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Backoff):
    """`base + step * (attempt - 1)`, at most `cap`."""

    kind: ClassVar[str] = "linear"

    base: float = 10.0  # seconds before the second try
    step: float = 10.0  # seconds more for each further one
    cap: float = 3_600.0  # seconds; never waits longer
    jitter: Jitter = "none"

    def __post_init__(self) -> None:
        _check_seconds("base", self.base)
        _check_seconds("step", self.step)
        _check_seconds("cap", self.cap)
        _check_jitter(self.jitter)

    def _longest(self, retries: int) -> float:
        return float(min(self.cap, self.base + self.step * retries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed(Backoff):
    """Always the same wait."""

    kind: ClassVar[str] = "fixed"

    seconds: float
    jitter: Jitter = "none"

    def __post_init__(self) -> None:
        _check_seconds("seconds", self.seconds)
        _check_jitter(self.jitter)

    def _longest(self, _retries: int) -> float:
        return float(self.seconds)


_KINDS: dict[str, type[Backoff]] = {cls.kind: cls for cls in (Exponential, Linear, Fixed)}


def _options(cls: type[Backoff]) -> list[str]:
    return [field.name for field in fields(cls)]  # type: ignore[arg-type]  # every kind is a dataclass
