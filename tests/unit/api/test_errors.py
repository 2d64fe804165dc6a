"""Errors: databases that are away, collisions and defects answer in the one shape."""

import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.errors import ValidationFailed, install_error_handlers

SECRET = "hunter2"


async def answer_to(error: Exception) -> httpx.Response:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    # An exception that leaves the application would be raised here.
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rota") as http:
        return await http.get("/")


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT", {}, Exception(SECRET)),
        InterfaceError("SELECT", {}, Exception(SECRET)),
        PoolTimeoutError(f"QueuePool limit reached {SECRET}"),
        DBAPIError("SELECT", {}, Exception(SECRET), connection_invalidated=True),
    ],
)
async def test_a_database_that_is_away_is_a_503(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    answer = await answer_to(error)

    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert SECRET not in answer.text + caplog.text


async def test_a_collision_is_a_409() -> None:
    answer = await answer_to(IntegrityError("INSERT", {}, Exception(SECRET)))

    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "error", [ValueError("broken"), RuntimeError("broken"), DataError("x", {}, Exception("broken"))]
)
async def test_a_defect_is_one_500_and_one_line_of_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    answer = await answer_to(error)

    assert answer.status_code == 500
    assert set(answer.json()) == {"code", "message", "details", "validationErrors", "timestamp"}
    assert "broken" not in answer.text
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_a_defect_after_the_answer_began_breaks_it_off() -> None:
    app = FastAPI()
    install_error_handlers(app)

    async def parts() -> AsyncIterator[str]:
        yield "begun"
        raise ValueError("broken")

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(parts())

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rota") as http:
        with pytest.raises(ValueError, match="broken"):
            await http.get("/")


async def test_of_very_many_wrong_fields_the_first_are_listed_and_the_others_counted() -> None:
    fields = {f"steps[{number}].stepType": ["is wrong"] for number in range(1250)}

    body = (await answer_to(ValidationFailed.of_fields(fields))).json()

    assert list(body["validationErrors"]) == list(fields)[:100]
    assert body["details"] == "1,150 more fields are wrong."
    body = (await answer_to(ValidationFailed.of_fields({"name": ["is wrong"]}))).json()
    assert (body["validationErrors"], body["details"]) == ({"name": ["is wrong"]}, None)
