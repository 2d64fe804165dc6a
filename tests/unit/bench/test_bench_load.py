import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.load import Load, LoadError, Request, put_load

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n"


class Server:
    """Answers in pieces, as a network may cut them."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.heads: list[str] = []
        self.bodies: list[str] = []
        self.under_way = 0
        self.most_under_way = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = next((line for line in head.splitlines() if line.startswith("Content-Length:")), ":0")
                self.bodies.append((await reader.readexactly(int(length.split(":")[1]))).decode())
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                self.under_way -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[int]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as running:
        yield running.sockets[0].getsockname()[1]


async def put(server: Server, request: Callable[[int], Request]) -> Load:
    async with listening(server) as port:
        return await put_load(request(port))


async def test_it_counts_whole_answers_and_asks_over_as_many_connections() -> None:
    server = Server(OK[:20], OK[20:] + b"hello ", b"world")
    load = await put(server, lambda port: Request(port, "/x?a=b", connections=3, seconds=0.3))

    assert server.most_under_way == 3
    # An answer may have been on its way at the end, one a connection.
    assert len(server.heads) - 3 <= load.requests <= len(server.heads)
    assert 2 <= load.median_ms <= load.p95_ms, "an answer takes two pauses of a millisecond at least"
    assert {head.splitlines()[0] for head in server.heads} == {"GET /x?a=b HTTP/1.1"}
    assert set(server.bodies) == {""}


async def test_every_body_has_a_number_of_its_own() -> None:
    server = Server(b"HTTP/1.1 201 Created\r\nContent-Length:2\r\n\r\n{}")
    headers = {"X-API-Key": "secret"}
    await put(
        server,
        lambda port: Request(port, "/x", '{"name": "n <number>"}', headers, 201, connections=2, seconds=0.1),
    )

    names = [json.loads(body)["name"] for body in server.bodies]
    assert len(names) == len(set(names)) > 2
    assert all("\r\nX-API-Key: secret\r\n" in head for head in server.heads)
    assert all("\r\nContent-Type: application/json\r\n" in head for head in server.heads)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops", "(?s)500.*oops"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "chunked"),
    ],
)
async def test_an_answer_that_it_cannot_count_ends_it(answer: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        await put(Server(answer), lambda port: Request(port, "/x"))


async def test_a_lost_connection_ends_it() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        with pytest.raises(LoadError, match="the connection was lost"):
            await put_load(Request(server.sockets[0].getsockname()[1], "/x"))


def test_a_request_and_its_result_travel_as_json() -> None:
    request = Request(1, "/x", "<number>", {"a": "b"}, 201, 2, 3, 4)

    assert Request.of(request.as_json()) == request
    assert Load.of('{"requests": 9, "requests_a_second": 1, "median_ms": 2, "p95_ms": 3}') == Load(9, 1, 2, 3)
