"""What a submission says about its duplicates: the key, how long it is held, and what to do when another job holds it.

A key belongs to a kind: the same text under two kinds is two keys. How long it is held is decided by the job that has
it, what happens to a duplicate by the duplicate. Pure: no database; `jobs/store/uniqueness.py` is where keys meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any

from jobs.core.suggestion import did_you_mean, nearest
from jobs.errors import InvalidSubmission
from jobs.payloads import check_seconds, check_text

__all__ = ["LONGEST_WINDOW", "MAX_KEY", "POLICIES", "SCOPES", "Existing", "Unique"]

SCOPES = ("unfinished", "window", "forever")
POLICIES = ("return", "replace", "refuse")
MAX_KEY = 200
LONGEST_WINDOW = 10 * 365 * 86400.0
_FIELD = "unique_key"


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique key with its rules. Raises InvalidSubmission when it is built.

    scope: how long the job holds the key: `unfinished` (until it has ended), `window` (`seconds` from its submission),
    `forever`; left out: `window` where there are seconds, else `unfinished`. policy: when another job holds the key:
    `return` that job, `replace` its payload if it still waits, `refuse`.
    """

    key: str
    _: KW_ONLY
    scope: str = ""
    seconds: float | None = None
    policy: str = "return"

    def __post_init__(self) -> None:
        check_text(self.key, field=_FIELD, max_length=MAX_KEY)
        scope = self.scope
        if scope in ("", None):
            scope = "unfinished" if self.seconds is None else "window"
        object.__setattr__(self, "scope", _one_of(scope, SCOPES, "scope"))
        _one_of(self.policy, POLICIES, "policy")
        if self.seconds is not None:
            if scope != "window":
                raise InvalidSubmission(f"{_FIELD}.seconds", f'goes with the scope "window", not "{scope}"')
            seconds = check_seconds(self.seconds, field=f"{_FIELD}.seconds", high=LONGEST_WINDOW)
            object.__setattr__(self, "seconds", seconds)
        elif scope == "window":
            raise InvalidSubmission(f"{_FIELD}.seconds", "is missing: how long is the window?")

    @classmethod
    def read(cls, value: Any, *, at: str = "") -> Unique:
        """From a text, a mapping (as JSON has it) or a Unique. `at`: prefix of the field in errors."""
        try:
            if isinstance(value, Unique):
                return value
            if isinstance(value, Mapping):
                return cls(**_known(value))
            return cls(value)
        except InvalidSubmission as error:
            raise InvalidSubmission(f"{at}{error.field}", error.reason) from None

    def to_dict(self) -> dict[str, Any]:
        """As the options of the job keep it."""
        told = {"key": self.key, "scope": self.scope, "policy": self.policy}
        return told if self.seconds is None else {**told, "seconds": self.seconds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """What is known of the job that a duplicate met. `result`: of a completed one. `replaced`: has the new payload."""

    result: Any = None
    finished_at: datetime | None = None
    replaced: bool = False


def _known(value: Mapping[str, Any]) -> dict[str, Any]:
    names = ("key", "scope", "seconds", "policy")
    for name in value:
        if name not in names:
            hint = did_you_mean(nearest(str(name), names))
            raise InvalidSubmission(f"{_FIELD}.{str(name)[:100]}", f"there is no such field{hint}")
    if "key" not in value:
        raise InvalidSubmission(f"{_FIELD}.key", "is missing")
    return {name: given for name, given in value.items() if given is not None or name == "key"}


def _one_of(word: Any, words: tuple[str, ...], name: str) -> str:
    if not isinstance(word, str) or word not in words:
        near = did_you_mean(nearest(word, words)) if isinstance(word, str) else ""
        raise InvalidSubmission(f"{_FIELD}.{name}", f"must be one of {', '.join(words)}{near}")
    return word
