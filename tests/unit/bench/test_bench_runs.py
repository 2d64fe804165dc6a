import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import httpx
import pytest
from temporalio.client import Client

from bench import runs
from bench.http import HttpError
from bench.runs import BenchError, RotaClient, Schedule

SCHEDULE = Schedule("7", "n", 1)
STARTED = f'{{"executionId": "{UUID(int=1)}"}}'
SHOWN = '{"status": "Complete", "errorMessage": null, "steps": [{"status": "Completed", "outputTail": "said"}]}'


def answer(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def ended() -> None:
    return


async def never() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def rota(
    to_post: bytes, to_get: bytes = answer("200 OK", SHOWN), result: Callable[[], Awaitable[None]] = ended
) -> AsyncIterator[RotaClient]:
    """A client of an API that gives these answers, and of a Temporal whose workflows end as `result` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(to_post if head.startswith(b"POST") else to_get)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": "k"}) as http:
            temporal = SimpleNamespace(get_workflow_handle=lambda _: SimpleNamespace(result=result))
            yield RotaClient(http, cast("Client", temporal))


async def test_a_run_is_timed_and_checked() -> None:
    async with rota(answer("202 Accepted", STARTED)) as client:
        timed = await client.run(SCHEDULE)
        assert await client.run_at_once([SCHEDULE] * 3) > 0

    assert timed.output == "said"
    assert timed.workflow_id == f"n/run/{UUID(int=1)}"
    assert timed.total_ms >= timed.start_ms > 0


async def test_a_record_that_lost_a_step_is_no_run() -> None:
    longer = Schedule("7", "n", 2)
    async with rota(answer("202 Accepted", STARTED)) as client:
        with pytest.raises(BenchError, match=rf"^execution {UUID(int=1)} has 1 steps in place of 2$"):
            await client.run(longer)
        with pytest.raises(BenchError, match="has 1 steps in place of 2"):
            await client.run_at_once([SCHEDULE, longer])


async def test_a_refused_start_says_what_was_answered() -> None:
    async with rota(answer("503 Service Unavailable", "away")) as client:
        with pytest.raises(BenchError, match=r"^POST /api/v1/schedules/7/run: 503 away$"):
            await client.run(SCHEDULE)


async def test_a_start_without_an_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_ANSWER_SECONDS", 0.05)
    async with rota(b"") as client:
        with pytest.raises(BenchError, match=r"^POST /api/v1/schedules/7/run: no answer within 0\.05 s$"):
            await client.run_at_once([SCHEDULE])


async def test_an_api_that_is_gone_is_named() -> None:
    async with rota(b"") as client:
        pass
    with pytest.raises(HttpError, match="no connection to port"):
        await client.run(SCHEDULE)


async def test_an_end_that_the_server_lost_word_of_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_ASK_AGAIN_SECONDS", 0.02)
    asked = 0

    async def lost_twice() -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            await never()

    async with rota(answer("202 Accepted", STARTED), result=lost_twice) as client:
        await client.run(SCHEDULE)

    assert asked == 3


async def test_a_run_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_ASK_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(runs, "_RUN_SECONDS", 0.1)
    async with rota(answer("202 Accepted", STARTED), result=never) as client:
        with pytest.raises(BenchError, match=r"^a run did not end within 0\.1 s$"):
            await client.run(SCHEDULE)
