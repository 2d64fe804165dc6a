"""What a real Temporal server fires for a calendar set, against the times of the timetable and those of the oracle."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec, ScheduleState
from temporalio.testing import WorkflowEnvironment

from runtime.schedule_spec import schedule_spec
from tests.unit.timetable.examples import examples, parse
from tests.unit.timetable.oracle import DAY, oracle
from timetable import PatternType, Timetable, TimetableFields

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAGE = 1000
"""The server lists no more times a call."""

ZONES = [
    "UTC",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Asia/Kathmandu",  # no changes
    "Africa/Casablanca",  # Ramadan
    "Pacific/Apia",
    "America/Santiago",  # midnight left out
    "America/Havana",  # midnight left out, and repeated
    "Antarctica/Troll",  # two hours
]


async def fired(client: Client, spec: ScheduleSpec, windows: list[tuple[datetime, datetime]]) -> list[datetime]:
    """Returns the times in the windows, each after its start and up to its end, at which the server would fire."""
    schedule_id = str(uuid4())
    action = ScheduleActionStartWorkflow("unused", id=schedule_id, task_queue="unused")
    handle = await client.create_schedule(schedule_id, Schedule(action, spec, state=ScheduleState(paused=True)))
    found: list[datetime] = []
    for start, end in windows:
        since = start
        while True:
            request = ListScheduleMatchingTimesRequest(namespace=client.namespace, schedule_id=schedule_id)
            request.start_time.FromDatetime(since)
            request.end_time.FromDatetime(end)
            answer = await client.workflow_service.list_schedule_matching_times(request)
            found += [time.ToDatetime(UTC) for time in answer.start_time]
            if len(answer.start_time) < PAGE:
                break
            since = found[-1]
    await handle.delete()
    return found


def cron(text: str, zone: str, end_at: datetime | None = None) -> TimetableFields:
    return TimetableFields(pattern_type=PatternType.CUSTOM, cron_expression=text, time_zone=zone, end_at=end_at)


def around_changes(zone: str, now: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Returns the days around each change of the clocks, and some days where nothing changes."""
    local = ZoneInfo(zone)
    days = [now + n * DAY for n in range((until - now).days)]
    changing = [day for day in days if day.astimezone(local).utcoffset() != (day + DAY).astimezone(local).utcoffset()]
    return [(day - DAY, day + 2 * DAY) for day in [*changing, now + 40 * DAY, now + 466 * DAY]]


async def assert_fires_exactly(
    client: Client, fields: TimetableFields, windows: list[tuple[datetime, datetime]], now: datetime = NOW
) -> None:
    calendars = Timetable.parse(fields).calendars(now)
    expected = [
        time
        for start, end in windows
        for time in Timetable.parse(replace(fields, end_at=end)).next_times(start, 10_000)
        if calendars.valid_until is None or time < calendars.valid_until
    ]
    assert await fired(client, schedule_spec(calendars), windows) == expected, fields


@pytest.mark.parametrize("zone", ZONES)
async def test_the_server_fires_exactly_around_every_change_of_the_clocks(
    zone: str, dev_server: WorkflowEnvironment
) -> None:
    windows = around_changes(zone, NOW, NOW + 5 * 365 * DAY)
    for text in ["0 0 * * *", "30 1 * * *", "30 2 * * 0", "0 6 * * 0", "0 6 * * 6", "*/30 0-3 * * *", "*/5 * * * *"]:
        await assert_fires_exactly(dev_server.client, cron(text, zone), windows)


@settings(max_examples=80, deadline=None)
@given(example=examples())
async def test_rota_the_server_and_the_oracle_agree(
    dev_server: WorkflowEnvironment, example: tuple[TimetableFields, datetime, datetime]
) -> None:
    fields, after, until = example
    expected = oracle(fields, after, until)
    timetable = parse(fields)
    if timetable is None:
        assert expected == []
        return
    assert list(takewhile(lambda time: time <= until, timetable.next_times(after, len(expected) + 1))) == expected
    assert await fired(dev_server.client, schedule_spec(timetable.calendars(after)), [(after, until)]) == expected
    assert timetable.sentence.startswith(("At ", "Every ", "Minutes "))


def test_the_oracle_of_what_never_fires_comes_to_an_end() -> None:
    assert oracle(cron("0 0 30 2 *", "UTC"), NOW, NOW + 40 * DAY) == []


async def test_the_server_fires_exactly_for_all_of_five_years(dev_server: WorkflowEnvironment) -> None:
    whole = [(NOW, NOW + 5 * 365 * DAY)]
    for text in [
        "30 1 * * *",
        "0 0 L * *",
        "0 3 * * MON#1",
        "0 1 1,15 * 5L",
        "0 6 * 1-3 1-5 | 45 1 * * 0",
        "0 2 29 2 *",
    ]:
        await assert_fires_exactly(dev_server.client, cron(text, "Europe/London"), whole)


async def test_what_is_exact_for_ever_is_so_to_the_end(dev_server: WorkflowEnvironment) -> None:
    for text, zone in [("0 6 L * *", "America/New_York"), ("0 */6 * * 5L", "UTC"), ("0 0 29 2 *", "Asia/Kathmandu")]:
        fields = cron(text, zone)
        assert Timetable.parse(fields).calendars(NOW).valid_until is None
        await assert_fires_exactly(dev_server.client, fields, [(NOW, datetime(2110, 1, 1, tzinfo=UTC))])


async def test_a_day_that_does_not_exist(dev_server: WorkflowEnvironment) -> None:
    now = datetime(2010, 6, 1, tzinfo=UTC)
    windows = around_changes("Pacific/Apia", now, now + 5 * 365 * DAY)
    for text in ["0 6 * * *", "0 6 * * 5", "*/15 * * * *", "0 6 30 * *", "0 */2 * * 4"]:
        await assert_fires_exactly(dev_server.client, cron(text, "Pacific/Apia"), windows, now)


async def test_start_and_end_are_kept_to_the_microsecond(dev_server: WorkflowEnvironment) -> None:
    start = datetime(2027, 3, 1, 6, 0, 0, 1, tzinfo=UTC)
    end = datetime(2027, 3, 4, 5, 59, 59, 999_999, tzinfo=UTC)
    timetable = Timetable.parse(replace(cron("0 6 * * *", "UTC", end), start_at=start))
    spec = schedule_spec(timetable.calendars(NOW), start_at=start, end_at=end)
    times = await fired(dev_server.client, spec, [(NOW, NOW + 365 * DAY)])
    assert times == timetable.next_times(NOW, 100) == [datetime(2027, 3, day, 6, tzinfo=UTC) for day in (2, 3)]
