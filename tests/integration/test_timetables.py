"""Timetables over HTTP: previews, next runs, and what is refused."""

import itertools
import zoneinfo
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.support.upkeep import Upkeep
from catalogue.engine import Catalogue
from runtime.zones import use_packaged_zones
from tests.integration.stack import Rota

LONDON = {"cronExpression": "30 1 * * *", "timeZone": "Europe/London"}


async def test_a_preview_marks_the_day_of_a_clock_change(api: Rota) -> None:
    body = LONDON | {"count": 3, "from": "2027-03-27T00:00:00Z"}

    answer = await api.http.post("/api/v1/schedules/preview", json=body)

    assert answer.status_code == 200, answer.text
    preview = answer.json()
    assert preview["cronExpression"] == "30 1 * * *"
    assert "01:30" in preview["sentence"]
    assert "Europe/London" in preview["sentence"]
    # 01:30 does not exist on the 28th: it fires at the first instant after the gap.
    assert [item["time"] for item in preview["items"]] == [
        "2027-03-27T01:30:00Z",
        "2027-03-28T01:00:00Z",
        "2027-03-29T00:30:00Z",
    ]
    assert [item["localTime"] for item in preview["items"]] == [
        "2027-03-27T01:30:00Z",
        "2027-03-28T02:00:00+01:00",
        "2027-03-29T01:30:00+01:00",
    ]
    assert [item["clockChange"] for item in preview["items"]] == [None, "Clocks go forward 60 minutes at 01:00.", None]
    assert (await api.http.get("/api/v1/schedules")).json()["totalCount"] == 0


async def test_a_preview_takes_every_pattern(api: Rota) -> None:
    times = {"patternType": "SpecificTimes", "daysOfWeek": "5,1,1", "runTimes": "12:45, 09:15"}
    window = {"patternType": "Interval", "daysOfWeek": "1", "intervalValue": "50", "intervalUnit": "minutes"} | {
        "intervalWindowStart": "22:30",
        "intervalWindowEnd": "00:30",
    }

    first = (await api.http.post("/api/v1/schedules/preview", json=times | {"from": "2027-01-04T00:00:00Z"})).json()
    second = (await api.http.post("/api/v1/schedules/preview", json=window | {"from": "2027-01-04T00:00:00Z"})).json()

    assert first["cronExpression"] == "15 9 * * 1,5 | 45 12 * * 1,5"
    assert [item["time"] for item in first["items"]][:3] == [
        "2027-01-04T09:15:00Z",
        "2027-01-04T12:45:00Z",
        "2027-01-08T09:15:00Z",
    ]
    assert [item["time"] for item in second["items"]][:3] == [
        "2027-01-04T22:30:00Z",
        "2027-01-04T23:20:00Z",
        "2027-01-05T00:10:00Z",
    ]


async def test_next_runs_are_those_of_temporal(api: Rota) -> None:
    schedule = await api.create(name="n", triggerType="Cron", isEnabled=True, **LONDON)

    answer = await api.http.get(
        f"/api/v1/schedules/{schedule['id']}/next-runs",
        params={"count": 1000, "from": "2027-03-27T00:00:00+00:00"},
    )
    default = await api.http.get(f"/api/v1/schedules/{schedule['id']}/next-runs")

    items = answer.json()["items"]
    assert len(items) == 1000
    assert items[1] == "2027-03-28T01:00:00Z"
    assert default.json()["items"][0] == schedule["nextRunTime"]
    assert datetime.fromisoformat(schedule["nextRunTime"]) > datetime.now(UTC)
    await api.http.post(f"/api/v1/schedules/{schedule['id']}/disable")
    assert (await api.http.get(f"/api/v1/schedules/{schedule['id']}/next-runs")).json()["items"] == []


@pytest.mark.parametrize(
    "query", [{"count": 0}, {"count": 1001}, {"from": "yesterday"}, {"from": "2027-01-01T00:00:00"}]
)
async def test_next_runs_refuses_what_it_cannot_answer(api: Rota, query: dict[str, Any]) -> None:
    schedule = await api.create(name="n", triggerType="Cron", isEnabled=True, **LONDON)

    answer = await api.http.get(f"/api/v1/schedules/{schedule['id']}/next-runs", params=query)

    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["validationErrors"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "instant",
    ["0001-01-01T00:00:00Z", "0999-12-31T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1999-12-31T23:59:59.5+00:00"],
)
async def test_the_first_and_the_last_of_times_are_times_too(
    api: Rota, catalogue: Catalogue, client: Client, task_queue: str, instant: str
) -> None:
    body = {"triggerType": "Cron", "isEnabled": True, "cronExpression": "0 6 * * *", "timeZone": "Europe/London"}
    schedules = [await api.create(**{field: instant}, **body) for field in ("startAt", "endAt")]
    is_past = instant < "2000"
    expected = ["2000-01-01T06:00:00Z"] if is_past else []

    path = f"/api/v1/schedules/{(await api.create(**body))['id']}/next-runs"
    next_runs = await api.http.get(path, params={"from": instant, "count": 1})
    preview = await api.http.post("/api/v1/schedules/preview", json=body | {"from": instant, "count": 1})

    assert next_runs.json()["items"] == expected
    assert [item["time"] for item in preview.json()["items"]] == expected
    assert [schedule["nextRunTime"] is not None for schedule in schedules] == [is_past, not is_past]
    for schedule in schedules:
        assert (await api.http.put(f"/api/v1/schedules/{schedule['id']}", json=schedule)).status_code == 200
    kept = await ActivityEnvironment().run(Upkeep(catalogue, client, task_queue).keep_triggers)
    assert (kept.checked, kept.repaired) == (3, 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1800000000"])
async def test_what_is_no_time_in_utc_is_refused(api: Rota, instant: str) -> None:
    schedule = await api.create(triggerType="Cron", **LONDON)
    path = f"/api/v1/schedules/{schedule['id']}"

    answers = [
        ("startAt", await api.http.put(path, json={"startAt": instant})),
        ("endAt", await api.http.post("/api/v1/schedules", json={"name": "m", "endAt": instant})),
        ("from", await api.http.get(f"{path}/next-runs", params={"from": instant})),
        ("from", await api.http.post("/api/v1/schedules/preview", json=LONDON | {"from": instant})),
    ]

    for field, answer in answers:
        assert answer.status_code == 400, answer.text
        assert answer.json()["validationErrors"].keys() == {field}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cronExpression": "0 0 30 2 *"}, "cronExpression"),
        ({"cronExpression": "every day"}, "cronExpression"),
        ({"cronExpression": "0 0 0 * * *"}, "cronExpression"),
        ({"cronExpression": "0 0 * * *", "timeZone": "Mars/Base"}, "timeZone"),
        ({"patternType": "SpecificTimes", "daysOfWeek": "7", "runTimes": "06:00"}, "daysOfWeek"),
        ({"patternType": "SpecificTimes", "daysOfWeek": "1"}, "runTimes"),
        ({"patternType": "Interval", "daysOfWeek": "1"}, "intervalValue"),
        ({"cronExpression": "0 0 * * *", "startAt": "2027-01-02T00:00:00Z", "endAt": "2027-01-01T00:00:00Z"}, "endAt"),
        ({"cronExpression": "0 0 * * *", "catchUpWindowSeconds": 9}, "catchUpWindowSeconds"),
        ({"cronExpression": "0 0 * * *", "overlapPolicy": "CancelOther"}, "overlapPolicy"),
    ],
)
async def test_a_timetable_that_cannot_be_is_a_400_that_names_the_field(
    api: Rota, fields: dict[str, Any], field: str
) -> None:
    answer = await api.http.post("/api/v1/schedules", json={"name": "n", "triggerType": "Cron"} | fields)

    assert answer.status_code == 400, answer.text
    assert field in answer.json()["validationErrors"]
    assert (await api.http.get("/api/v1/schedules")).json()["totalCount"] == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_zone_that_the_server_does_not_know_is_refused_by_name(
    api: Rota, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Mars").mkdir()
    (tmp_path / "Mars" / "Base").write_bytes((files("tzdata") / "zoneinfo" / "Europe" / "London").read_bytes())
    monkeypatch.setattr("timetable.fields._zone_names", lambda: frozenset({"UTC", "Mars/Base"}))
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    body = {"name": "n", "triggerType": "Cron", "cronExpression": "30 1 * * *", "timeZone": "Mars/Base"}

    answer = await api.http.post("/api/v1/schedules", json=body)
    use_packaged_zones()

    assert answer.status_code == 400, answer.text
    [message] = answer.json()["validationErrors"]["timeZone"]
    assert "Mars/Base" in message
    assert (await api.http.get("/api/v1/schedules")).json()["totalCount"] == 0


async def test_what_jim_reads_otherwise_is_accepted_with_a_warning(api: Rota) -> None:
    schedule = await api.create(name="n", triggerType="Cron", cronExpression="0 22-6 1-7 * 1", isEnabled=True)

    assert len(schedule["warnings"]) >= 2
    assert all("JIM" in warning for warning in schedule["warnings"])


async def test_a_cron_expression_without_pattern_fields_is_custom(api: Rota) -> None:
    schedule = await api.create(name="n", triggerType="Cron", patternType="Interval", cronExpression="5 4 * * *")
    assert (schedule["patternType"], schedule["cronExpression"]) == ("Custom", "5 4 * * *")
    path = f"/api/v1/schedules/{schedule['id']}"

    pattern = await api.http.put(path, json={"patternType": "SpecificTimes", "daysOfWeek": "1", "runTimes": "06:00"})
    same = await api.http.put(path, json={"cronExpression": pattern.json()["cronExpression"]})
    other = await api.http.put(path, json={"cronExpression": "0 7 * * *"})

    assert (pattern.json()["patternType"], pattern.json()["cronExpression"]) == ("SpecificTimes", "0 6 * * 1")
    assert same.json()["patternType"] == "SpecificTimes"
    assert (other.json()["patternType"], other.json()["cronExpression"]) == ("Custom", "0 7 * * *")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_cron_expression_with_a_part_of_a_pattern_is_refused(api: Rota) -> None:
    # What is stored would complete every one of them: the request itself is judged.
    whole = {"daysOfWeek": "1", "runTimes": "06:00", "intervalValue": 5, "intervalUnit": "Minutes"}
    window = {"intervalWindowStart": "08:00", "intervalWindowEnd": "09:00"}
    schedule = await api.create(name="n", triggerType="Cron", isEnabled=False, **whole, **window)
    path = f"/api/v1/schedules/{schedule['id']}"
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"daysOfWeek": "1"}, {"runTimes"}),
        ({"runTimes": "06:00", "daysOfWeek": " "}, {"daysOfWeek"}),
        ({"patternType": "SpecificTimes", "daysOfWeek": None, "runTimes": "06:00"}, {"daysOfWeek"}),
        (
            {"patternType": "Interval", "daysOfWeek": "1", "intervalValue": 5},
            {"intervalUnit", "intervalWindowStart", "intervalWindowEnd"},
        ),
    ]
    for (fields, missing), cron in itertools.product(cases, ("1 1 * * *", schedule["cronExpression"])):
        body = fields | {"cronExpression": cron}
        changed = await api.http.put(path, json=body)
        created = await api.http.post("/api/v1/schedules", json=body | {"name": "m", "triggerType": "Cron"})
        preview = await api.http.post("/api/v1/schedules/preview", json=body)

        for answer in (changed, created, preview):
            assert answer.status_code == 400, answer.text
            assert set(answer.json()["validationErrors"]) == missing
            assert "send cronExpression without any of them" in answer.text
    assert (await api.http.get(path)).json() == schedule
    manual = {"cronExpression": "1 1 * * *", "triggerType": "Manual", "daysOfWeek": "1"}
    assert (await api.http.put(path, json=manual)).status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_cron_text_of_a_manual_schedule_says_what_its_pattern_says(api: Rota) -> None:
    schedule = await api.create(name="n", triggerType="Cron", daysOfWeek="1", runTimes="06:00")
    path = f"/api/v1/schedules/{schedule['id']}"

    async def text_after(**change: Any) -> Any:
        return (await api.http.put(path, json=change)).json()["cronExpression"]

    assert await text_after(triggerType="Manual") == "0 6 * * 1"
    assert await text_after(runTimes="9:00") == "0 9 * * 1"
    assert await text_after(runTimes=None) is None
    assert await text_after(cronExpression="5 5 1 * 1") == "5 5 1 * 1"
    assert await text_after(patternType="SpecificTimes", runTimes="07:00") == "0 7 * * 1"
    shown = (await api.http.get(path)).json()
    assert (shown["triggerType"], shown["runTimes"], shown["warnings"]) == ("Manual", "07:00", [])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_timetable_that_never_fires_is_a_warning(api: Rota) -> None:
    schedule = await api.create(name="n", cronExpression="0 6 * * *", isEnabled=True)
    assert [said for said in schedule["warnings"] if "triggerType is Manual" in said] == schedule["warnings"] != []
    path = f"/api/v1/schedules/{schedule['id']}"

    async def said_of(**change: Any) -> Any:
        return (await api.http.put(path, json=change)).json()["warnings"]

    assert len(await said_of(cronExpression="0 7 * * *")) == 1
    assert await said_of(description="x") == []
    assert await said_of(triggerType="Cron") == []
    assert await said_of(cronExpression="0 8 * * *") == []
