"""The five fields of a cron expression: from text to a `WallCalendar`.

Minute, hour, day of month, month, day of week; each a list of values, names, ranges (`22-2` and `fri-mon` wrap) and
steps. `L` is the last day of the month, `fri#2` the second Friday, `L5` the last one; `?` is `*` in the day fields;
`@hourly` and its like. Seconds are refused: slots are minutes. As in cron, when both day fields are restricted one of
them is enough; when one contains `*` both must match.

croniter expands the fields, after a grammar has bounded the text and put right what it reads differently from cron:
"5-5" (to croniter, every minute), "22-2/3" (22 and 2), `*/100`, `*,1`, and `R`, which is random.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from croniter import croniter

from jobs.core.errors import InvalidValue
from jobs.core.suggestion import did_you_mean, nearest
from jobs.core.wall_calendar import LAST, WallCalendar

__all__ = ["InvalidCron", "expand_fields", "split_fields"]

_MAX_LENGTH = 200
_CHARACTERS = re.compile(r"[0-9A-Za-z*/,#?@ \t-]*", re.ASCII)
_ITEM = re.compile(r"(?:\*|([a-z]+|[0-9]{1,4})(?:-([a-z]+|[0-9]{1,4}))?)(?:/([0-9]{1,4}))?", re.ASCII)

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class InvalidCron(InvalidValue):
    """The text is no cron expression of ours. `reason` names the part."""

    def __init__(self, reason: str) -> None:
        super().__init__("cron", reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What one of the five fields may hold."""

    label: str
    low: int
    high: int
    size: int  # how many different values there are
    names: Mapping[str, int]
    special: re.Pattern[str]  # items that are neither value, range nor step
    is_day: bool = False  # may be "?"


_SUNDAY = 7
_NOTHING = re.compile(r"(?!)")
_FIELDS = (
    _Field(label="minute", low=0, high=59, size=60, names={}, special=_NOTHING),
    _Field(label="hour", low=0, high=23, size=24, names={}, special=_NOTHING),
    _Field(label="day of month", low=1, high=31, size=31, names={}, special=re.compile("l"), is_day=True),
    _Field(
        label="month",
        low=1,
        high=12,
        size=12,
        names={name: number for number, name in enumerate(_MONTHS, 1)},
        special=_NOTHING,
    ),
    _Field(
        label="day of week",
        low=0,
        high=_SUNDAY,  # which is 0 too
        size=7,
        names={name: number for number, name in enumerate(_WEEKDAYS)},
        special=re.compile(rf"(?:[0-7]|{'|'.join(_WEEKDAYS)})#[1-5]|l[0-7]"),
        is_day=True,
    ),
)


def split_fields(text: str) -> list[str]:
    """The five fields of `text`, lower case, aliases and `?` replaced. Raises `InvalidCron`."""
    if len(text) > _MAX_LENGTH:
        raise InvalidCron(f"has more than {_MAX_LENGTH} characters")
    if not _CHARACTERS.fullmatch(text):
        raise InvalidCron("may hold letters, digits, spaces and * / , - # ? only")
    words = text.lower().split()
    if len(words) == 1 and words[0].startswith("@"):
        words = _alias(words[0]).split()
    if len(words) != len(_FIELDS):
        raise InvalidCron(
            f"has {len(words)} fields; it needs 5 (minute, hour, day of month, month, day of week; no seconds)"
        )
    return ["*" if word == "?" and field.is_day else word for field, word in zip(_FIELDS, words, strict=True)]


def expand_fields(words: Sequence[str]) -> WallCalendar:
    """The calendar that the five fields of `split_fields` describe. Raises `InvalidCron`."""
    clean = [_checked(field, word) for field, word in zip(_FIELDS, words, strict=True)]
    expanded, numbered = croniter.expand(" ".join(clean))
    minutes, hours, days, months, weekdays = (
        _values(field, values) for field, values in zip(_FIELDS, expanded, strict=True)
    )
    return WallCalendar(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        last_day="l" in expanded[2],
        months=frozenset(months),
        weekdays=frozenset(weekdays - numbered.keys()),
        numbered=frozenset(
            (day, LAST if number == "l" else number)
            for day, numbers in numbered.items()
            for number in numbers
        ),
        either="*" not in words[2] and "*" not in words[4],
    )


def _alias(word: str) -> str:
    try:
        return _ALIASES[word]
    except KeyError:
        hint = did_you_mean(nearest(word, _ALIASES))
        raise InvalidCron(f"{word!r} is none of {', '.join(_ALIASES)}{hint}") from None


def _values(field: _Field, expanded: Sequence[Any]) -> set[int]:
    if expanded == ["*"]:
        return set(range(field.low, field.low + field.size))
    return {value for value in expanded if value != "l"}


def _checked(field: _Field, word: str) -> str:
    """The field as croniter reads it rightly."""
    items = word.split(",")
    if len(items) > 1 and "*" in items:
        raise _wrong(field, word, "a list cannot contain '*'")
    special = [bool(field.special.fullmatch(item)) for item in items]
    if "#" in word or (field.names and any(special)):
        if not all(special):
            raise _wrong(field, word, "numbered weekdays (mon#2, L5) cannot be mixed with others")
        return word
    return ",".join(item if known else _item(field, item) for item, known in zip(items, special, strict=True))


def _item(field: _Field, item: str) -> str:
    """One value, range or step, checked and spelled so that croniter cannot misread it."""
    match = _ITEM.fullmatch(item)
    if match is None:
        raise _wrong(field, item, "must be a value, a range or a step such as */5")
    first, second, step = match.groups()
    if step is not None and not 1 <= int(step) <= field.size:
        raise _wrong(field, item, f"a step must be 1 to {field.size}")
    if first is None:
        return item
    suffix = f"/{step}" if step else ""
    low = _number(field, first)
    if second is None:
        return f"{_sunday_is_0(field, low)}{suffix}"
    high = _number(field, second)
    if low > high:  # only as the end of a range is Sunday a 7
        low, high = _sunday_is_0(field, low), _sunday_is_0(field, high)
    if low == high:
        return str(low)
    if low > high and step:
        raise _wrong(field, item, "a range that wraps cannot have a step")
    return f"{low}-{high}{suffix}"


def _sunday_is_0(field: _Field, number: int) -> int:
    return 0 if field.high == number == _SUNDAY else number


def _number(field: _Field, word: str) -> int:
    if word.isdigit():
        number = int(word)
    elif word in field.names:
        number = field.names[word]
    else:
        raise _wrong(field, word, f"is not a value{did_you_mean(nearest(word, field.names))}")
    if not field.low <= number <= field.high:
        raise _wrong(field, word, f"must be {field.low} to {field.high}")
    return number


def _wrong(field: _Field, part: str, reason: str) -> InvalidCron:
    return InvalidCron(f"{field.label} {part!r}: {reason}")
