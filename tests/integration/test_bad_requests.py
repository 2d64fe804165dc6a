"""Requests that are wrong, hostile or unlucky: each gets an answer in plain words, and none a 500."""

import asyncio
import logging
import uuid
from typing import Any

import httpx
import pytest

from api.services import schedules
from catalogue.api_keys import Role, new_api_key
from catalogue.engine import Catalogue
from catalogue.schedules import ScheduleStep
from tests.integration.stack import Rota

SYSTEMS = "/api/v1/synchronisation/connected-systems"
TRUE = {"stepType": "Executable", "executablePath": "/bin/true"}
NOWHERE = "00000000-0000-4000-8000-000000000000"
GUID = "must be a GUID such as b2c3d4e5-f6a7-8901-bcde-f12345678901."


def run_profile(system_id: Any, profile_id: Any) -> dict[str, Any]:
    return {"stepType": "RunProfile", "connectedSystemId": system_id, "runProfileId": profile_id}


@pytest.mark.parametrize("value", [2**31, 2**63, 10**30, str(2**31)])
async def test_ids_past_32_bits_are_refused(api: Rota, value: Any) -> None:
    for field, step in (("connectedSystemId", run_profile(value, 1)), ("runProfileId", run_profile(1, value))):
        answer = await api.http.post("/api/v1/schedules", json={"name": "n", "steps": [step]})

        assert answer.status_code == 400, answer.text
        assert answer.json()["validationErrors"] == {
            f"steps[0].{field}": [f"The field {field} must be at most 2147483647."],
        }


async def test_a_stored_id_past_32_bits_hinders_nobody(api: Rota, catalogue: Catalogue) -> None:
    system = {"name": "HR", "connectorName": "Command", "settings": {"executablePath": "/bin/true"}}
    system_id = (await api.http.post(SYSTEMS, json=system)).json()["id"]
    profiles = f"{SYSTEMS}/{system_id}/run-profiles"
    profile_id = (await api.http.post(profiles, json={"name": "Import"})).json()["id"]
    user = await api.create(run_profile(system_id, profile_id), name="user of HR")
    stored = await api.create(run_profile(system_id, profile_id), run_profile(system_id, profile_id))
    configs = [
        {"connected_system_id": 2**63, "run_profile_id": profile_id},
        {"connected_system_id": system_id, "run_profile_id": 2**31},
    ]
    async with catalogue.write() as session:
        for step, config in zip(stored["steps"], configs, strict=True):
            row = await session.get_one(ScheduleStep, uuid.UUID(step["id"]))
            row.config = config
            session.add(row)

    shown = await api.http.get(f"/api/v1/schedules/{stored['id']}")
    used = await api.http.delete(f"{profiles}/{profile_id}")
    await api.http.delete(f"/api/v1/schedules/{user['id']}")
    unused = await api.http.delete(f"{profiles}/{profile_id}")

    assert shown.status_code == 200, shown.text
    assert shown.json()["steps"][0]["connectedSystemId"] == 2**63
    assert f"connected system {2**63} does not exist yet" in shown.json()["warnings"][0]
    assert used.status_code == 409
    assert used.json()["message"].startswith("The run profile is used by the schedules 'user of HR':")
    assert unused.status_code == 204
    assert (await api.http.delete(f"{SYSTEMS}/{system_id}")).status_code == 409


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"{", "application/json"), (b"name=a", "text/plain"), (b"x" * (9 * 1024 * 1024), "application/json")],
)
async def test_who_may_not_write_is_told_so_whatever_the_body(
    api: Rota,
    catalogue: Catalogue,
    content: bytes,
    content_type: str,
) -> None:
    row, reader = new_api_key("reader", Role.READER)
    async with catalogue.write() as session:
        session.add(row)

    async with httpx.AsyncClient(base_url=api.http.base_url, headers={"Content-Type": content_type}) as http:
        nobody = await http.post("/api/v1/schedules", content=content)
        forbidden = await http.post("/api/v1/schedules?search=%00", content=content, headers={"X-API-Key": reader})

    assert (nobody.status_code, nobody.json()["code"]) == (401, "UNAUTHORISED")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "FORBIDDEN")


async def test_nobodys_body_is_not_waited_for(api: Rota) -> None:
    reader, writer = await asyncio.open_connection(api.http.base_url.host, api.http.base_url.port)
    head = "POST /api/v1/schedules HTTP/1.1\r\nHost: rota\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode())

    async with asyncio.timeout(20):
        assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("name", ["search", "sortBy", "SEARCH", "unknown"])
async def test_a_nul_in_a_query_value_is_refused_by_name(api: Rota, name: str) -> None:
    answer = await api.http.get(f"/api/v1/schedules?{name}=a%00b")

    assert answer.status_code == 400, answer.text
    [(field, messages)] = answer.json()["validationErrors"].items()
    assert field.lower() == name.lower()
    assert messages == [f"The query value {field} holds a NUL, which is no text."]


async def test_one_new_step_id_sent_by_many_at_once_is_taken_once(api: Rota) -> None:
    step = TRUE | {"id": str(uuid.uuid4())}
    answers = await asyncio.gather(
        *(api.http.post("/api/v1/schedules", json={"name": f"s{number}", "steps": [step]}) for number in range(6)),
    )

    statuses = sorted(answer.status_code for answer in answers)
    # Who comes after the first has committed sees whose the step is: a 400. Who comes before collides: a 409.
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {400, 409}
    assert (await api.http.get("/api/v1/schedules")).json()["totalCount"] == 1


async def test_a_defect_is_logged_once_and_keeps_the_connection(
    api: Rota,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(schedules, "show_schedules", fail)

    failed = await api.http.get("/api/v1/schedules")
    after = await api.http.get("/api/v1/schedule-executions")

    assert (failed.status_code, failed.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "defect" not in failed.text
    assert failed.headers["x-request-id"] in failed.json()["details"]
    assert after.status_code == 200
    places = [answer.extensions["network_stream"].get_extra_info("client_addr") for answer in (failed, after)]
    assert places[0] == places[1]
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


@pytest.mark.parametrize(
    ("change", "message", "fields"),
    [
        (
            {"triggerType": "Cron"},
            "Cron expression is required for scheduled triggers",
            {"daysOfWeek", "runTimes"},
        ),
        (
            {"triggerType": "Cron", "patternType": "Interval"},
            "Cron expression is required for scheduled triggers",
            {"daysOfWeek", "intervalValue", "intervalUnit", "intervalWindowStart", "intervalWindowEnd"},
        ),
        ({"timeZone": "Mars/Base"}, "'Mars/Base' is not a known time zone", {"timeZone"}),
        (
            {"triggerType": "Cron", "daysOfWeek": "1"},
            "Required for the pattern SpecificTimes: give the times of day",
            {"runTimes"},
        ),
    ],
)
async def test_the_cron_message_stands_where_nothing_says_when(
    api: Rota,
    change: dict[str, Any],
    message: str,
    fields: set[str],
) -> None:
    schedule = await api.create(TRUE)

    answer = await api.http.put(f"/api/v1/schedules/{schedule['id']}", json=change)

    assert answer.status_code == 400, answer.text
    error = answer.json()
    assert set(error["validationErrors"]) == fields
    assert message in error["message"]
    assert ("Cron expression" in error["message"]) == ("Cron expression" in message)


@pytest.mark.parametrize(
    ("content", "field", "says"),
    [
        ('{"name": "n", "triggerType": null}', "triggerType", "must be one of Cron, Manual."),
        ('{"name": "n", "patternType": null}', "patternType", "must be one of SpecificTimes, Interval, Custom."),
        ('{"name": "n", "isEnabled": null}', "isEnabled", "must be true or false."),
        ('{"name": "n", "isEnabled": "yes"}', "isEnabled", "must be true or false."),
        ('{"name": null}', "name", "must be a string."),
        ('{"name": 5}', "name", "must be a string."),
        ('{"name": "n", "steps": null}', "steps", "must be an array."),
        ('{"name": "n", "steps": {}}', "steps", "must be an array."),
        ('{"name": "n", "steps": [null]}', "steps[0]", "must be an object."),
        ('{"name": "n", "steps": [[]]}', "steps[0]", "must be an object."),
        ('{"name": "n", "steps": [{"id": "nope"}]}', "steps[0].id", GUID),
        ('{"name": "n", "steps": [{"executionMode": null}]}', "steps[0].executionMode", "must be one of Sequential"),
        ('{"name": "n", "steps": [{"stepIndex": "--5"}]}', "steps[0].stepIndex", "must be a whole number."),
        ('{"name": "n", "steps": [{"stepIndex": "٣"}]}', "steps[0].stepIndex", "must be a whole number."),
        ('{"name": "n", "steps": [{"stepIndex": "-5"}]}', "steps[0].stepIndex", "must be at least 0."),
        ('{"name": "n", "steps": [{"stepIndex": 1.5}]}', "steps[0].stepIndex", "must be a whole number."),
        ('{"name": "n", "steps": [{"stepIndex": 1e400}]}', "steps[0].stepIndex", "must be a whole number."),
        (
            '{"name": "n", "steps": [{"connectedSystemId": "x"}]}',
            "steps[0].connectedSystemId",
            "must be a whole number.",
        ),
        ('{"name": "n", "startAt": "2027-03-28"}', "startAt", "must be a time with its offset such as 2027"),
        ('{"name": "n", "startAt": "0001-01-01T00:00:00+01:00"}', "startAt", "must be a time with its offset"),
        ('{"name": "n", "endAt": "9999-12-31T23:59:59-01:00"}', "endAt", "must be a time with its offset"),
        ('{"name": "n", "steps": [{"workerPool": ""}]}', "steps[0].workerPool", "must match the pattern ^[A-Za-z0-9]["),
    ],
)
async def test_messages_speak_of_json(api: Rota, content: str, field: str, says: str) -> None:
    answer = await api.http.post(
        "/api/v1/schedules", content=content.encode(), headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 400, answer.text
    [message] = answer.json()["validationErrors"][field]
    label = field.rsplit(".", 1)[-1]
    assert message.startswith(f"The field {label} {says}")
    assert answer.json()["message"] == message


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("schedules?page=abc", "page", "must be a whole number."),
        ("schedules?sortDescending=maybe", "sortDescending", "must be true or false."),
        ("schedule-executions?scheduleId=abc", "scheduleId", GUID),
        ("schedule-executions?status=Bogus", "status[0]", "must be one of Queued"),
        (f"schedules/{NOWHERE}/next-runs?FROM=monday", "from", "must be a time with its offset such as 2027"),
        (f"schedules/{NOWHERE}/next-runs?from=2027-03-28T01:00:00", "from", "must be a time with its offset"),
        (f"schedules/{NOWHERE}/next-runs?from=1700000000", "from", "must be a time with its offset"),
        (f"schedules/{NOWHERE}/next-runs?from=0001-01-01T00:00:00%2B14:00", "from", "must be a time with its offset"),
    ],
)
async def test_messages_on_queries_are_as_plain(api: Rota, query: str, field: str, says: str) -> None:
    answer = await api.http.get(f"/api/v1/{query}")

    assert answer.status_code == 400, answer.text
    [message] = answer.json()["validationErrors"][field]
    assert message.startswith(f"The field {field} {says}")


@pytest.mark.parametrize("content", [b"[]", b"null", b'""', b""])
async def test_a_body_that_is_no_object_names_no_field(api: Rota, content: bytes) -> None:
    for method, path in (("POST", "/api/v1/schedules"), ("POST", SYSTEMS), ("POST", "/api/v1/schedules/preview")):
        answer = await api.http.request(method, path, content=content, headers={"Content-Type": "application/json"})

        assert answer.status_code == 400
        assert answer.json()["message"] == "The body must be a JSON object."
        assert answer.json()["validationErrors"] is None


@pytest.mark.parametrize("page", [10_000_001, 10**17, 2**63, 10**30])
@pytest.mark.parametrize("resource", ["schedules", "schedule-executions", "synchronisation/connected-systems"])
async def test_past_the_end_is_empty_however_far(api: Rota, resource: str, page: int) -> None:
    await api.create(TRUE)
    await api.http.post(SYSTEMS, json={"name": "s", "connectorName": "Command", "settings": {"executablePath": "/x"}})

    answer = await api.http.get(f"/api/v1/{resource}", params={"page": page, "pageSize": 100})

    assert answer.status_code == 200, answer.text
    assert answer.json()["items"] == []
    assert answer.json()["totalCount"] == (0 if resource == "schedule-executions" else 1)
    assert answer.json()["hasNextPage"] is False
