"""When a schedule fires: patterns and cron expressions as exact times, text and Temporal calendars. No I/O, no clock."""

from timetable.clock import clock_change_note
from timetable.fields import IntervalUnit, PatternType, TimetableError, TimetableFields
from timetable.timetable import Timetable

__all__ = [
    "IntervalUnit",
    "PatternType",
    "Timetable",
    "TimetableError",
    "TimetableFields",
    "clock_change_note",
]
