"""Request ids: the client's own where it can stand in a log, in every answer and every line."""

import logging

import httpx
import pytest
from fastapi import FastAPI

from api.errors import install_error_handlers
from api.request_ids import install_request_ids, mark_log_lines
from runtime.logs import configure_logging

logger = logging.getLogger("tests.request_ids")


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)
    install_request_ids(app)

    @app.get("/told")
    async def tell() -> None:
        logger.warning("told")

    @app.get("/broken")
    async def fail() -> None:
        raise ValueError("broken")

    return app


async def ask(app: FastAPI, path: str, request_id: str | None = None) -> httpx.Response:
    headers = {} if request_id is None else {b"X-Request-ID": request_id.encode()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rota") as http:
        return await http.get(path, headers=headers)


@pytest.mark.parametrize("sent", ["42", "0f8fad5b-d9cb-469f-a165-70867728950e", "a.b_c:d/e+f=@1", "x" * 128])
async def test_a_clients_id_comes_back(app: FastAPI, sent: str) -> None:
    for path in ("/told", "/nowhere", "/broken"):
        assert (await ask(app, path, sent)).headers.get_list("x-request-id") == [sent]


@pytest.mark.parametrize("sent", [None, "", "two words", "x" * 129, "semi;colon", "[forged] line", "é"])
async def test_any_other_request_gets_an_id_of_its_own(app: FastAPI, sent: str | None) -> None:
    first, second = [(await ask(app, "/told", sent)).headers["x-request-id"] for _ in range(2)]

    assert len(first) == len(second) == 32
    assert first != second


async def test_a_defect_names_the_id_under_which_the_log_says_more(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ask(app, "/broken?password=hunter2", "42")

    assert answer.json()["details"] == "The log of the API says more, under the request id 42."
    assert "GET /broken failed" in caplog.text
    assert "hunter2" not in caplog.text


async def test_every_line_of_a_request_has_its_id(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_logging()
    logger.warning("before the API is there")
    mark_log_lines()

    await ask(app, "/told", "42")
    await ask(app, "/broken", "43")

    lines = [line for line in capsys.readouterr().err.splitlines() if " WARNING " in line or " ERROR " in line]
    assert [line.partition(" ")[2] for line in lines] == [
        "WARNING tests.request_ids: before the API is there",
        "WARNING tests.request_ids [42]: told",
        "ERROR api.errors [43]: GET /broken failed",
    ]
