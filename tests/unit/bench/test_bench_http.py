import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.http import HttpError, connected


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serves one answer after another, then hangs up; yields the port, and what was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


async def test_one_connection_takes_one_request_after_another() -> None:
    created = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
    async with (
        answering(created, b"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n") as (port, asked),
        connected(port, {"X-API-Key": "k"}) as connection,
    ):
        assert await connection.ask("POST", "/x") == (201, b"{}")
        assert await connection.ask("GET", "/y") == (404, b"")

    host = b"Host: 127.0.0.1:%d" % port
    assert asked == [
        b"POST /x HTTP/1.1\r\n" + host + b"\r\nX-API-Key: k\r\nContent-Length: 0\r\n\r\n",
        b"GET /y HTTP/1.1\r\n" + host + b"\r\nX-API-Key: k\r\n\r\n",
    ]


async def test_a_lost_connection_is_said_at_the_request_and_at_the_next() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n") as (port, _), connected(port, {}) as connection:
        for _ in range(2):
            with pytest.raises(HttpError, match="the connection was lost"):
                await connection.ask("GET", "/x")


async def test_an_answer_without_a_length_cannot_be_read() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with answering(chunked) as (port, _), connected(port, {}) as connection:
        with pytest.raises(HttpError, match="chunked"):
            await connection.ask("GET", "/x")
