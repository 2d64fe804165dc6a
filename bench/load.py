"""Load as `wrk` makes it: `python -m bench.load` asks again and again over connections that stay open.

Each connection sends a request, reads the answer, and sends the next: so many are under way at any time. It speaks just
as much HTTP as that takes, so that it is not what limits the rate: a client library takes ten times the CPU.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Final, Self

from bench.report import Summary

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"
_PATIENCE_SECONDS: Final = 60
"""A machine that is busy otherwise may give no answer in the time that is asked for."""


class LoadError(Exception):
    """An answer was not what it must be; the message shows it."""


@dataclass(frozen=True)
class Request:
    """What is asked for, and for how long."""

    port: int
    """On 127.0.0.1."""
    path: str
    body: str | None = None
    """JSON to POST, `<number>` in it is another number each time; None to GET."""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    """What every answer must have."""
    connections: int = 1
    seconds: float = 1.0
    """More where there was no answer at all."""
    warm_up_seconds: float = 0.0
    """Before; what is answered then does not count."""

    def as_json(self) -> str:
        """Returns it as the process takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Self:
        """Reads what `as_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Load:
    """What came of it."""

    requests: int
    """Whole answers that came in the time that counts."""
    requests_a_second: float
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, text: str) -> Self:
        """Reads what the process printed."""
        return cls(**json.loads(text))


class _Connection(asyncio.Protocol):
    """Sends one request after another, and notes how long each answer took."""

    def __init__(self, request: Request, numbers: "count[int]", failed: asyncio.Future[None]) -> None:
        self.answers: list[tuple[float, float]] = []
        """When each came, and how many seconds after its request."""
        self._sent = 0.0
        self._request = request
        self._numbers = numbers
        self._failed = failed
        self._expected = b"HTTP/1.1 %d " % request.status
        self._received = b""
        lines = [
            f"{'GET' if request.body is None else 'POST'} {request.path} HTTP/1.1",
            f"Host: 127.0.0.1:{request.port}",
        ]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if request.body is not None:
            lines += ["Content-Type: application/json"]
        self._head = "\r\n".join(lines).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP connection has
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        if self._request.body is None:
            self._transport.write(self._head + _HEAD_END)
            return
        body = self._request.body.replace("<number>", str(next(self._numbers))).encode()
        self._transport.write(b"%s%s %d%s%s" % (self._head, b"\r\nContent-Length:", len(body), _HEAD_END, body))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_size = self._received.find(_HEAD_END)
        if head_size < 0:
            return
        head = self._received[:head_size].lower() + b"\r\n"
        at = head.find(_LENGTH)
        if not self._received.startswith(self._expected) or at < 0:
            self._fail(self._received[:1000].decode(errors="replace"))
            return
        at += len(_LENGTH)
        if len(self._received) < head_size + len(_HEAD_END) + int(head[at : head.index(b"\r", at)]):
            return
        self._received = b""
        came = time.perf_counter()
        self.answers.append((came, came - self._sent))
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection was lost: {error or 'closed by the server'}")

    def close(self) -> None:
        self._transport.abort()

    def _fail(self, message: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(LoadError(message))


async def put_load(request: Request) -> Load:
    """Asks for some seconds.

    Raises:
        LoadError: An answer had another status, or a connection was lost.
        OSError: Nothing listens.
    """
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    # Another number than that of any process before this one.
    numbers = count(time.time_ns())
    connections = []
    for _ in range(request.connections):
        _, connection = await loop.create_connection(
            lambda: _Connection(request, numbers, failed), "127.0.0.1", request.port
        )
        connections.append(connection)
    begin = time.perf_counter() + request.warm_up_seconds
    taken: list[float] = []
    await asyncio.wait({failed}, timeout=request.warm_up_seconds)
    while not taken and not failed.done() and time.perf_counter() - begin < _PATIENCE_SECONDS:
        await asyncio.wait({failed}, timeout=request.seconds)
        end = time.perf_counter()
        taken = [seconds for connection in connections for came, seconds in connection.answers if came >= begin]
    if failed.done():
        failed.result()
    failed.cancel()
    for connection in connections:
        connection.close()
    if not taken:
        raise LoadError(f"{request.path}: no answer within {_PATIENCE_SECONDS} s")
    summary = Summary.of(taken)
    return Load(len(taken), len(taken) / (end - begin), summary.median * 1000, summary.p95 * 1000)


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(asyncio.run(put_load(Request.of(sys.argv[1]))))))
    except (LoadError, OSError) as failure:
        sys.exit(str(failure))
