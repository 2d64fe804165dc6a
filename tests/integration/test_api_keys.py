"""API keys over HTTP: wrong ones are slowed down, valid ones never, and none is written anywhere."""

import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from catalogue.api_keys import KEY_PREFIX, Role, new_api_key
from catalogue.engine import Catalogue
from tests.integration.stack import Rota, serving

SCHEDULES = "/api/v1/schedules"
WRONG = KEY_PREFIX + "0" * 64


async def test_a_key_is_told_from_those_that_begin_alike(api: Rota, api_key: str, catalogue: Catalogue) -> None:
    revoked, revoked_secret = new_api_key("revoked", Role.ADMINISTRATOR)
    revoked.revoked = datetime.now(UTC) - timedelta(minutes=1)
    alike, _ = new_api_key("alike", Role.ADMINISTRATOR)
    alike.key_prefix = api_key[:12]
    async with catalogue.write() as session:
        session.add_all([revoked, alike])

    almost = api_key[:-1] + ("0" if api_key[-1] != "0" else "1")
    for key in (
        almost,
        api_key.upper(),
        api_key[:12],
        api_key + "0",
        "jim_ak_" + "0" * 64,
        revoked_secret,
        "*",
        "ключ",
    ):
        answer = await api.http.get(SCHEDULES, headers={b"X-API-Key": key.encode()})
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORISED")
    assert (await api.http.get(SCHEDULES, headers={"x-api-key": api_key})).status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_failed_keys_are_limited_and_valid_ones_are_not(
    api: Rota, api_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong, valid = {"X-API-Key": WRONG}, {"X-API-Key": api_key}
    async with httpx.AsyncClient(base_url=api.http.base_url) as http:
        statuses = [(await http.get(SCHEDULES, headers=wrong)).status_code for _ in range(30)]
        refused = await http.post(f"{SCHEDULES}?search=canary", headers=wrong, content=b"{")
        others = [
            await http.get(SCHEDULES, headers=valid),
            await http.post(SCHEDULES, headers=valid, json={"name": "n"}),
            await http.get("/api/v1/health", headers=wrong),
            await http.get("/openapi.json", headers=wrong),
            await http.get(SCHEDULES),
        ]
        still = await http.get("/api/v1/userinfo", headers=wrong)

    assert statuses == [401] * 30
    assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_REQUESTS")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json().keys() == {"code", "message", "details", "validationErrors", "timestamp"}
    assert [answer.status_code for answer in others] == [200, 201, 200, 200, 401]
    assert still.status_code == 429
    rota_lines = [record.getMessage() for record in caplog.records if record.name.startswith(("api", "catalogue"))]
    for secret in (WRONG, api_key, "canary"):
        assert secret not in "\n".join(rota_lines)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_userinfo_has_the_fields_of_jim(api: Rota) -> None:
    assert (await api.http.get("/api/v1/userinfo")).json() == {
        "authorised": True,
        "isAdministrator": True,
        "name": "tests",
        "authMethod": "ApiKey",
        "metaverseObjectId": None,
        "roles": ["Administrator"],
        "message": None,
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_limit_can_be_taken_away(api: Rota) -> None:
    settings = api.settings.model_copy(update={"failed_keys_per_minute": 0})
    async with serving(settings, api.temporal) as url, httpx.AsyncClient(base_url=url) as http:
        statuses = {(await http.get(SCHEDULES, headers={"X-API-Key": WRONG})).status_code for _ in range(40)}

    assert statuses == {401}
