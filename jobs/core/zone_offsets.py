"""The stretches of time in which a zone keeps one UTC offset.

Place in the flow: `cron` walks these stretches, so that a gap or a fold of the wall clock is a border between two of
them and nothing inside one needs care. The standard library has no list of transitions, so they are found by comparing
offsets day by day: in the whole zone database no two changes of offset are less than six days apart (a test looks).
Instants are naive datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

__all__ = ["Stretch", "offset_at", "stretches"]

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """From where the one before ended up to `until`, with one offset."""

    until: datetime  # exclusive
    offset: timedelta  # wall clock minus UTC
    then: timedelta  # the offset that begins at `until`; often the same, since a stretch also ends with its year


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Wall clock minus UTC at an instant."""
    wall = instant.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    return wall - instant


def stretches(zone: ZoneInfo, begin: datetime) -> Iterator[Stretch]:
    """The stretches from `begin` on, without end."""
    year = begin.year
    while True:
        yield from (stretch for stretch in _of_year(zone, year) if stretch.until > begin)
        year += 1


@lru_cache(maxsize=2_048)
def _of_year(zone: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    at = datetime(year, 1, 1)  # noqa: DTZ001  # naive UTC, see the module
    end = at.replace(year=year + 1)
    offset = offset_at(zone, at)
    while at < end:
        then = offset_at(zone, at + _DAY)
        if then != offset:
            found.append(Stretch(until=_first_with(zone, then, at, at + _DAY), offset=offset, then=then))
        at, offset = at + _DAY, then
    return (*found, Stretch(until=end, offset=offset, then=offset))


def _first_with(zone: ZoneInfo, offset: timedelta, before: datetime, after: datetime) -> datetime:
    """The second in `before < instant <= after` from which on the zone has `offset`."""
    while after - before > _SECOND:
        middle = before + (after - before) // 2 // _SECOND * _SECOND
        if offset_at(zone, middle) == offset:
            after = middle
        else:
            before = middle
    return after
