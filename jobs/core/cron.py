"""Cron expressions in a time zone: which instants are the slots of a schedule?

Place in the flow: a schedule is checked here when it is saved, and asked for its next slot. Promises: parsing and
searching are bounded whatever the text; slots are instants in UTC, strictly increasing; an expression that names no day
that exists is refused. The text is explained in `cron_fields`. It must not read a clock.

Changes of offset, as Vixie cron has them. An expression with a fixed hour and minute ("30 2 * * *") keeps its promise
to the day: times that the clocks skip run once together, at the first moment after the gap; a time that comes twice
runs the first time. One with `*`, or every value, in the minute or the hour field ("*/15 * * * *", "0 * * * *") follows
elapsed time: it runs whenever the wall clock shows a matching minute, both times in a fold, not for what was skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from jobs.core.cron_fields import InvalidCron, expand_fields, split_fields
from jobs.core.errors import InvalidValue
from jobs.core.suggestion import did_you_mean, nearest
from jobs.core.wall_calendar import WallCalendar
from jobs.core.zone_offsets import Stretch, stretches

__all__ = ["CronExpression", "InvalidCron", "NeverFires", "UnknownZone"]

_YEARS = range(1900, 9_900)
# 29 February on a given weekday can be 40 years away (a Sunday: from 2088 to 2128); nothing is further.
_HORIZON = timedelta(days=41 * 366)
# More than any change of offset (24 hours, where the date line moved) and any offset (15 hours) together.
_MARGIN = timedelta(days=3)
_SOME_DAY = datetime(2000, 1, 1)  # noqa: DTZ001  # a wall-clock date: it has no zone
_MINUTE = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)


class NeverFires(InvalidCron):
    """The expression names no moment that exists, such as 30 February."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} never fires")


class UnknownZone(InvalidValue):
    """The time zone is not in the zone database. `suggestion` is the nearest name, or None."""

    def __init__(self, name: str, suggestion: str | None) -> None:
        super().__init__("timezone", f"{name[:80]!r} is not a known time zone{did_you_mean(suggestion)}")
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class CronExpression:
    """A parsed expression; make one with `parse`. Equal when text and time zone are."""

    text: str
    timezone: str
    follows_elapsed_time: bool = field(compare=False)  # False: keeps its promise to the day, see the module
    calendar: WallCalendar = field(compare=False, repr=False)
    zone: ZoneInfo = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, timezone: str) -> CronExpression:
        """Read five fields or an alias, and the name of a zone such as "Europe/Berlin".

        Raises `InvalidCron`, `NeverFires` or `UnknownZone`, all of them `InvalidValue` with `field` and `reason`.
        """
        zone = _zone(timezone)
        fields = split_fields(text)
        calendar = expand_fields(fields)
        if calendar.first_from(_SOME_DAY, _SOME_DAY + _HORIZON) is None:
            raise NeverFires(text)
        return cls(
            text=text,
            timezone=timezone,
            follows_elapsed_time="*" in fields[0] + fields[1] or calendar.every_minute_or_hour,
            calendar=calendar,
            zone=zone,
        )

    def __str__(self) -> str:
        return f"{self.text} ({self.timezone})"

    def next_after(self, instant: datetime) -> datetime:
        """The first slot later than `instant` (aware, any zone), in UTC.

        Raises `NeverFires` when there is none within 41 years, `InvalidValue` for a naive time or a year out of range.
        """
        for slot in self._slots(instant):
            return slot
        raise NeverFires(self.text)

    def slots_between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """The first `limit` slots in `start < slot <= end`, in UTC, ascending. Raises as `next_after` does, but empty
        is no error."""
        _utc(end, "end")
        found: list[datetime] = []
        for slot in islice(self._slots(start), max(limit, 0)):
            if slot > end:
                break
            found.append(slot)
        return found

    def _slots(self, after: datetime) -> Iterator[datetime]:
        return (slot.replace(tzinfo=UTC) for slot in self._walk(_utc(after, "instant")))

    def _walk(self, after: datetime) -> Iterator[datetime]:
        """Slots later than `after`, one stretch of constant offset after the other. Naive datetimes are in UTC."""
        # Two margins early, so that a fold before `after` is seen and its repeated times are known to have run.
        match = self.calendar.first_from(after - _MARGIN, after + _HORIZON)
        begin = max(after, match or after) - 2 * _MARGIN
        told = begin - _MARGIN
        running = stretches(self.zone, begin)
        while begin <= after + _HORIZON:
            stretch = next(running)
            wall = max(begin, after + _TICK) + stretch.offset
            for slot in self._matches(wall if self.follows_elapsed_time else max(wall, told), stretch):
                yield slot
                after = slot
            if self._catches_up(stretch) and stretch.until > after:
                yield stretch.until
                after = stretch.until
            told = max(told, stretch.until + stretch.offset)
            begin = stretch.until

    def _matches(self, wall: datetime, stretch: Stretch) -> Iterator[datetime]:
        """The matching minutes from `wall` to the end of a stretch."""
        end = stretch.until + stretch.offset
        while (match := self.calendar.first_from(wall, end)) is not None:
            yield match - stretch.offset
            wall = match + _MINUTE

    def _catches_up(self, stretch: Stretch) -> bool:
        """Whether the gap at the end of a stretch, if there is one, swallows a time that must not be missed."""
        if self.follows_elapsed_time:
            return False
        return (
            self.calendar.first_from(stretch.until + stretch.offset, stretch.until + stretch.then) is not None
        )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown; no name at all; a folder of zones
        raise UnknownZone(name, nearest(name, _zone_names())) from None


@lru_cache(maxsize=1)
def _zone_names() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def _utc(instant: datetime, name: str) -> datetime:
    if instant.utcoffset() is None:
        raise InvalidValue(name, "must have a time zone")
    if instant.year not in _YEARS:
        raise InvalidValue(name, f"must be between the years {_YEARS[0]} and {_YEARS[-1]}")
    return instant.astimezone(UTC).replace(tzinfo=None)
