"""How the clock of a zone runs: its changes of offset from UTC, and the stretches between them.

Instants are seconds since 1970 in UTC. A label is what the wall clock shows, counted as if it were UTC.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from timetable.text import clock_text

DAY: Final = 86_400
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100
"""The years in which anything fires: those of Temporal's calendars (`minCalendarYear`, `maxCalendarYear`)."""


def _start_of(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


BEGIN: Final = _start_of(FIRST_YEAR)
"""The first instant at which anything may fire."""

END: Final = _start_of(LAST_YEAR + 1)
"""The instant from which nothing fires any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the clocks."""

    at: int
    """The first instant of the new offset."""
    before: int
    """Offset from UTC until then, in seconds, east positive."""
    after: int
    """Offset from UTC from then on."""

    @property
    def is_forward(self) -> bool:
        """Whether labels are left out; else labels come twice."""
        return self.after > self.before

    @property
    def labels(self) -> tuple[int, int]:
        """The labels left out or repeated: the first of them, and the first after them."""
        shown = (self.at + self.before, self.at + self.after)
        return min(shown), max(shown)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time of constant offset from UTC."""

    start: int
    end: int
    """The first instant after it."""
    offset: int
    """In seconds, east positive."""
    opening: Change | None
    """The change with which it begins; None where that is too long ago to matter."""


def offset_at(zone: ZoneInfo, instant: int) -> int:
    """Returns the offset from UTC at an instant, in seconds."""
    offset = datetime.fromtimestamp(instant, zone).utcoffset()
    return 0 if offset is None else offset // timedelta(seconds=1)


def changes(zone: ZoneInfo, since: int, until: int = END) -> Iterator[Change]:
    """Yields the changes of the clocks from `since` to before `until`."""
    for year in range(datetime.fromtimestamp(since, UTC).year, LAST_YEAR + 1):
        if _start_of(year) >= until:
            return
        yield from (change for change in _changes_in(zone, year) if since <= change.at < until)


@lru_cache(maxsize=8192)
def _changes_in(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    # A look a day finds every change: no zone has two within a day (in tzdata 2026f since 1990 the closest are a week apart).
    found: list[Change] = []
    start, offset = _start_of(year), offset_at(zone, _start_of(year) - 1)
    for low in range(start - 1, _start_of(year + 1) - 1, DAY):
        next_offset = offset_at(zone, low + DAY)
        if next_offset != offset:
            found.append(Change(_first_instant_of(zone, low, low + DAY, offset), offset, next_offset))
        offset = next_offset
    return tuple(found)


def _first_instant_of(zone: ZoneInfo, low: int, high: int, offset_before: int) -> int:
    """Returns the first instant whose offset is another, between `low`, which has the offset, and `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, middle) == offset_before:
            low = middle
        else:
            high = middle
    return high


def stretches(zone: ZoneInfo, since: int) -> Iterator[Stretch]:
    """Yields the stretches of constant offset, from the one that holds `since` to the end of time."""
    # A change further back than two days touches no label that the clock shows from `since` on.
    start, opening = since - 2 * DAY, None
    offset = offset_at(zone, start)
    for change in changes(zone, start + 1):
        if change.at > since:
            yield Stretch(start, change.at, offset, opening)
        start, offset, opening = change.at, change.after, change
    yield Stretch(start, END, offset, opening)


def clock_change_note(zone: ZoneInfo, instant: datetime) -> str | None:
    """Returns what the clocks do on the local day of an instant: `Clocks go forward 60 minutes at 01:00 ...`.

    Args:
        zone: The zone whose clocks are meant.
        instant: Aware.
    """
    midnight = instant.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start = int(midnight.timestamp())
    # A day on which the clocks go back may have 25 hours.
    for change in changes(zone, start, start + DAY + DAY // 24):
        at = datetime.fromtimestamp(change.at, zone)
        if datetime.fromtimestamp(change.at - 1, zone).date() == midnight.date() or at.date() == midnight.date():
            minutes = abs(change.after - change.before) // 60
            direction = "forward" if change.is_forward else "back"
            shown = clock_text((change.at + change.before) % DAY // 60)
            return f"Clocks go {direction} {minutes} minutes at {shown}."
    return None
