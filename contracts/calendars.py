"""When a schedule fires, in the shapes that Temporal's Schedules take: calendars and single instants."""

from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator


class Range(BaseModel):
    """Whole numbers from `start` to `end`, both included, every `step`."""

    model_config = ConfigDict(frozen=True)

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"range ends ({self.end}) before it starts ({self.start})")
        return self


class Calendar(BaseModel):
    """The minutes at which every field matches, as one Temporal calendar says it.

    Fires at second 0. Day of month and day of week must both match.
    """

    model_config = ConfigDict(frozen=True)

    minute: tuple[Range, ...]
    """Minutes of the hour, 0-59."""
    hour: tuple[Range, ...]
    """Hours of the day, 0-23."""
    day_of_month: tuple[Range, ...] = (Range(start=1, end=31),)
    """Days of the month, 1-31."""
    month: tuple[Range, ...] = (Range(start=1, end=12),)
    """Months, 1-12."""
    day_of_week: tuple[Range, ...] = (Range(start=0, end=6),)
    """Days of the week, 0-6, 0 is Sunday."""
    year: tuple[Range, ...] = ()
    """Years, 2000-2100; empty means every year."""
    comment: str = Field(default="", max_length=200)
    """What an operator reads beside the calendar in the Web UI; at most 200 bytes."""


class CalendarSet(BaseModel):
    """Everything that one Temporal Schedule needs to fire at exactly the times of a timetable."""

    model_config = ConfigDict(frozen=True)

    time_zone: str
    """IANA name of the zone in which the calendars are read."""
    calendars: tuple[Calendar, ...]
    instants: tuple[AwareDatetime, ...] = ()
    """Exact instants, ascending, at which it fires as well: those around changes of the clocks."""
    valid_until: AwareDatetime | None = None
    """The instant up to which the set is exact; None where it is exact for ever (to 2100, where Temporal's calendars end)."""
