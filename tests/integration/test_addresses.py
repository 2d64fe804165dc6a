"""Addresses and methods: read as JIM reads them, and answered in the one shape where they name nothing."""

import itertools
import uuid
from typing import Any

import httpx
import pytest

from tests.integration.stack import Rota

# Nothing here differs by database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SCHEDULES = "/api/v1/schedules"
ERROR = {"code", "message", "details", "validationErrors", "timestamp"}


async def test_paths_are_read_in_any_letter_case_with_a_slash_or_without(api: Rota) -> None:
    schedule = await api.create(name="n")
    plain = f"{SCHEDULES}/{schedule['id']}"

    for path in (
        f"{plain}/",
        plain.upper(),
        f"{SCHEDULES}/{uuid.UUID(schedule['id']).hex}",
        f"/Api/V1/Schedules/{schedule['id'].upper()}/",
    ):
        answer = await api.http.get(path)
        assert (answer.status_code, answer.json()) == (200, schedule)
    assert (await api.http.post(f"{plain}/Enable/")).json()["isEnabled"] is True
    assert (await api.http.post(f"{SCHEDULES.title()}/", json={"name": "m"})).status_code == 201


async def test_query_names_are_matched_in_any_letter_case(api: Rota) -> None:
    for name in ("alpha", "beta"):
        await api.create(name=name)

    page = await api.http.get(f"{SCHEDULES}?PAGESIZE=1&Page=2&SORTBY=name&sortdescending=True&unknown=1")
    executions = await api.http.get(
        f"/api/v1/schedule-executions?SCHEDULEID={uuid.uuid4()}&Status=failed&STATUS=Queued"
    )

    assert (page.json()["page"], page.json()["items"][0]["name"]) == (2, "alpha")
    assert executions.json()["totalCount"] == 0
    wrong = await api.http.get(f"{SCHEDULES}?PAGE=one")
    assert set(wrong.json()["validationErrors"]) == {"page"}


async def test_what_names_nothing_is_a_404(api: Rota) -> None:
    paths = [
        *("/", "/nope", "/api/v1", "/api/v2/schedules", "/api/v1/schedule"),
        *(f"{SCHEDULES}/nope", f"{SCHEDULES}/1", f"{SCHEDULES}/nope/run", f"{SCHEDULES}/%00", f"{SCHEDULES}/%0A"),
        f"{SCHEDULES}/{{{uuid.uuid4()}}}",
        f"{SCHEDULES}/{uuid.uuid4()}/steps",
        "/api/v1/schedule-executions/nope",
        # Python reads no number of more than 4,300 digits.
        f"/api/v1/synchronisation/connected-systems/{'9' * 5000}/run-profiles",
        f"{SCHEDULES}/{uuid.uuid4()}/change-history/{'1' * 19}",
    ]
    for method, path in itertools.product(("GET", "POST", "DELETE"), paths):
        answer = await api.http.request(method, path)

        assert answer.status_code == 404, f"{method} {path}"
        assert answer.json().keys() == ERROR
        assert answer.json()["code"] == "NOT_FOUND"
        assert answer.json()["message"].startswith("Not found: /")


async def test_what_cannot_be_done_there_is_a_405_that_says_what_can(api: Rota) -> None:
    for method, path, allowed in (
        ("PATCH", SCHEDULES, {"GET", "HEAD", "POST"}),
        ("DELETE", f"{SCHEDULES}/", {"GET", "HEAD", "POST"}),
        ("OPTIONS", f"{SCHEDULES}/{uuid.uuid4()}", {"GET", "HEAD", "PUT", "DELETE"}),
        ("POST", f"{SCHEDULES}/{uuid.uuid4()}", {"GET", "HEAD", "PUT", "DELETE"}),
        ("GET", f"{SCHEDULES}/{uuid.uuid4()}/run", {"POST"}),
        ("GET", f"{SCHEDULES}/preview", {"POST"}),
        ("TRACE", "/api/v1/schedule-executions/active", {"GET", "HEAD"}),
        ("BREW", "/api/v1/health", {"GET", "HEAD"}),
        ("POST", "/openapi.json", {"GET", "HEAD"}),
    ):
        answer = await api.http.request(method, path)

        assert answer.status_code == 405, f"{method} {path}"
        assert set(answer.headers["allow"].split(", ")) == allowed
        assert answer.json().keys() == ERROR
        assert answer.json()["code"] == "METHOD_NOT_ALLOWED"


async def test_head_answers_as_get_does_without_a_body(api: Rota) -> None:
    schedule = await api.create(name="n")

    for path in (SCHEDULES, f"{SCHEDULES}/{schedule['id']}", "/api/v1/health", f"{SCHEDULES}/{uuid.uuid4()}"):
        got, head = await api.http.get(path), await api.http.head(path)

        assert head.status_code == got.status_code
        assert head.headers["content-length"] == str(len(got.content))
        assert head.content == b""
    async with httpx.AsyncClient(base_url=api.http.base_url) as nobody:
        assert (await nobody.head(SCHEDULES)).status_code == 401


async def test_bodies_are_told_by_their_headers(api: Rota) -> None:
    path = f"{SCHEDULES}/{(await api.create(name='n'))['id']}"
    cases: list[tuple[dict[str, str], bytes, int]] = [
        ({}, b"{}", 415),
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": "application/xml"}, b"{}", 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"{}", 415),
        ({"Content-Type": "application/json; charset=latin-1"}, b"{}", 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"\x1f\x8b", 415),
        ({"Content-Type": "application/json"}, "{}".encode("utf-16"), 415),
        ({"Content-Type": "application/json"}, '{"name": "é"}'.encode("latin-1"), 400),
        ({"Content-Type": "text/json"}, b"\xef\xbb\xbf{}", 200),
        ({"Content-Type": 'APPLICATION/JSON; charset="UTF-8"', "Content-Encoding": "identity"}, b"{}", 200),
    ]
    for headers, content, status in cases:
        answer = await api.http.put(path, content=content, headers=headers)

        assert answer.status_code == status, answer.text
        if status == 415:
            assert answer.json().keys() == ERROR
            assert answer.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_action_routes_ignore_bodies(api: Rota) -> None:
    path = f"{SCHEDULES}/{(await api.create(name='n'))['id']}"
    bodies: list[dict[str, Any]] = [
        {},
        {"content": b"{["},
        {"content": b"<x/>", "headers": {"Content-Type": "text/xml"}},
    ]

    for action, body in itertools.product(("enable", "disable"), bodies):
        assert (await api.http.post(f"{path}/{action}", **body)).status_code == 200
    assert (await api.http.request("DELETE", path, **bodies[2])).status_code == 204
