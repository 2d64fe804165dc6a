"""Load as `wrk` makes it: `python -m bench.load` asks again and again over connections that stay open.

Each connection sends a request, reads the answer, and sends the next: so many are under way at any time.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Final, Self

from bench.http import Connection, HttpError, connected
from bench.report import Summary

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


async def _ask_again_and_again(
    connection: Connection, request: Request, numbers: "count[int]", taken: list[tuple[float, float]]
) -> None:
    """Sends one request after another; notes when each answer came, and how many seconds after its request."""
    method = "GET" if request.body is None else "POST"
    while True:
        body = request.body and request.body.replace("<number>", str(next(numbers)))
        sent = time.perf_counter()
        status, answer = await connection.ask(method, request.path, body)
        came = time.perf_counter()
        if status != request.status:
            raise LoadError(f"{status}: {answer[:1000].decode(errors='replace')}")
        taken.append((came, came - sent))


async def put_load(request: Request) -> Load:
    """Asks for some seconds.

    Raises:
        LoadError: An answer had another status, or there is no connection any more.
    """
    # Another number than that of any process before this one.
    numbers = count(time.time_ns())
    answers: list[tuple[float, float]] = []
    taken: list[float] = []
    try:
        async with AsyncExitStack() as stack:
            asking = set[asyncio.Task[None]]()
            for _ in range(request.connections):
                connection = await stack.enter_async_context(connected(request.port, request.headers))
                asking.add(asyncio.create_task(_ask_again_and_again(connection, request, numbers, answers)))
            for task in asking:
                stack.callback(task.cancel)
            begin = time.perf_counter() + request.warm_up_seconds
            ended, _ = await asyncio.wait(asking, timeout=request.warm_up_seconds, return_when=asyncio.FIRST_COMPLETED)
            while not taken and not ended and time.perf_counter() - begin < _PATIENCE_SECONDS:
                ended, _ = await asyncio.wait(asking, timeout=request.seconds, return_when=asyncio.FIRST_COMPLETED)
                end = time.perf_counter()
                taken = [seconds for came, seconds in answers if came >= begin]
            for task in ended:
                task.result()
    except HttpError as error:
        raise LoadError(str(error)) from None
    if not taken:
        raise LoadError(f"{request.path}: no answer within {_PATIENCE_SECONDS} s")
    summary = Summary.of(taken)
    return Load(len(taken), len(taken) / (end - begin), summary.median * 1000, summary.p95 * 1000)


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(asyncio.run(put_load(Request.of(sys.argv[1]))))))
    except LoadError as failure:
        sys.exit(str(failure))
