"""A double of JIM's REST API: a real HTTP server on loopback, with faults that a test switches on.

Written from facts about a running JIM, not from what would suit its clients: wrong paths answer a page, lists of
activities are oldest first, a valid key is refused while the database is down, a cancelled run reads `InProgress` again.
What JIM keeps (`JimDouble.state`) survives a restart. The facts leave open which fields an item of a list of activities
has: here it has the plain ones of an activity.
"""

import asyncio
import json
import math
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Final, Self, cast
from urllib.parse import parse_qs
from uuid import UUID

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from tests.jim.routes import Answer, Request, error, route
from tests.jim.state import Key, State

_TICK_SECONDS: Final = 0.005
_BASE: Final = "/api/v1"
_CODES: Final = {429: "TOO_MANY_REQUESTS", 503: "SERVICE_UNAVAILABLE"}

STRANGERS_A_MINUTE: Final = 30
"""Requests without a key that JIM takes, from one address in a minute."""


@dataclass
class Fault:
    """Something that goes wrong with the next requests of a kind."""

    method: str
    path: str
    """Expression for the whole path below `/api/v1`, in lower case."""
    times: float = 1
    """How many requests it spoils; `math.inf` for all, until this is 0."""
    status: int | None = None
    """Answered instead, with JIM's body for an error."""
    retry_after: int | None = None
    lost: bool = False
    """The connection closes without an answer."""
    delay: float = 0
    """Seconds that the answer takes."""
    acted: bool = False
    """Whether the request is carried out, though its answer is spoilt; so it is where there is only a delay."""


class _SlidingWindow:
    """JIM's limit for a known key: so many requests in a minute, which slides by ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque()

    def wait(self, limit: int) -> int:
        """Counts a request; returns 0, or the seconds until there is room for one."""
        now = time.monotonic()
        while self._seen and self._seen[0] <= now // 10 - 6:
            self._seen.popleft()
        if len(self._seen) < limit:
            self._seen.append(now // 10)
            return 0
        return max(1, math.ceil((self._seen[0] + 6) * 10 - now))


class JimDouble:
    """A JIM with one API key; in its context it runs, its server in a thread of its own."""

    def __init__(self) -> None:
        self._port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.reset()

    def reset(self) -> None:
        """Makes it a JIM that was just installed: tests may share a server."""
        self.state = State()
        self.key = self.state.add_key("jim_ak_" + "0123456789abcdef" * 4)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        """Method and path (below `/api/v1`, in lower case) of every request that arrived, oldest first."""
        self.requests_a_minute = 300
        """What JIM allows a key by default."""
        self._windows: dict[UUID, _SlidingWindow] = {}
        self._strangers = (-math.inf, 0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the server listens; the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts JIM: its API, and its worker, which first fails what the one before had left unfinished."""
        # Said to be TCP, as asyncio turns Nagle's algorithm off for such alone: 40 ms an answer.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self._port))
        listening.listen()
        self._port = listening.getsockname()[1]
        self.state.abandon()
        # The time in the answers is this JIM's own.
        config = uvicorn.Config(
            self._app, interface="asgi3", lifespan="off", ws="none", log_config=None, date_header=False
        )
        self._server = server = uvicorn.Server(config)

        async def serve() -> None:
            worker = asyncio.create_task(self._work())
            await server.serve(sockets=[listening])
            worker.cancel()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), name="jim", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops JIM as a crash would: who waits for an answer gets none, what ran stays unfinished."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join()
            self._server = self._thread = None

    def restart(self) -> None:
        """Stops and starts JIM: what ran is abandoned, what was queued runs."""
        self.stop()
        self.start()

    def fail(self, method: str, path: str, **fault: Any) -> Fault:
        """Spoils the next requests of a kind; see `Fault`."""
        self.faults.append(Fault(method, path, **fault))
        return self.faults[-1]

    def count(self, method: str, path: str) -> int:
        """Returns how many requests of a kind have arrived; the path is an expression as in `Fault`."""
        return sum(method == seen and bool(re.fullmatch(path, where)) for seen, where in list(self.requests))

    async def _work(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            self.state.work(now - last)
            last = now

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        method, path = scope["method"], scope["path"].lower().rstrip("/").removeprefix(_BASE)
        self.requests.append((method, path))
        fault = next((fault for fault in self.faults if self._spoils(fault, method, path)), None)
        if fault is None:
            answer = self._answer(scope, method, path)
        else:
            fault.times -= 1
            spoilt = fault.lost or fault.status is not None
            answer = self._answer(scope, method, path) if fault.acted or not spoilt else Answer(500)
            await asyncio.sleep(fault.delay)
            if fault.lost:
                # There is no word in ASGI for it: the connection that this answer belongs to is let go of.
                cast("Any", send).__self__.transport.abort()
                return
            if fault.status is not None:
                answer = Answer(
                    fault.status,
                    error(self.state, _CODES.get(fault.status, "INTERNAL_ERROR"), "An unexpected error occurred."),
                    {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)},
                )
        for message in self._messages(answer):
            await send(message)

    @staticmethod
    def _spoils(fault: Fault, method: str, path: str) -> bool:
        return fault.times > 0 and fault.method == method and re.fullmatch(fault.path, path) is not None

    def _messages(self, answer: Answer) -> Iterable[Message]:
        kind, body = "application/json; charset=utf-8", b""
        if isinstance(answer.body, str):
            kind, body = "text/html; charset=utf-8", answer.body.encode()
        elif answer.body is not None:
            body = json.dumps(answer.body, separators=(",", ":")).encode()
        headers = {
            "content-type": kind,
            "content-length": str(len(body)),
            "date": format_datetime(self.state.now(), usegmt=True),
            "api-supported-versions": "1.0",
        } | answer.headers
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        yield {"type": "http.response.start", "status": answer.status, "headers": lines}
        yield {"type": "http.response.body", "body": body}

    def _answer(self, scope: Scope, method: str, path: str) -> Answer:
        found = route(method, path) if scope["path"].lower().startswith(_BASE) else None
        if found is None:
            # JIM's pages take whatever is no route: no wrong path is a 404, no wrong method a 405.
            return Answer(200, "<!DOCTYPE html><html></html>") if method in {"GET", "HEAD"} else Answer(400)
        handler, match = found
        try:
            key = None
            if not path.startswith("/health"):
                key = self._authenticated(scope)
                if not key.is_administrator and path != "/userinfo":
                    return Answer(403)
            query: dict[str, list[str]] = {}
            for name, values in parse_qs(scope["query_string"].decode(), keep_blank_values=True).items():
                query.setdefault(name.lower(), []).extend(values)
            return handler(Request(self.state, query, key, match))
        except Answer as answer:
            return answer

    def _authenticated(self, scope: Scope) -> Key:
        secret = dict(scope["headers"]).get(b"x-api-key", b"").decode().strip()
        key = next((key for key in self.state.keys if key.secret == secret), None)
        # Keys are looked up in the database: without it none is known.
        if key is None or not self.state.database_is_up:
            since, count = self._strangers
            if time.monotonic() - since >= 60:
                since, count = time.monotonic(), 0
            self._strangers = (since, count + 1)
            if count >= STRANGERS_A_MINUTE:
                raise self._too_many(math.ceil(since + 60 - time.monotonic()))
            raise Answer(401, {"error": "Unauthorized", "message": "Authentication required"})
        if wait := self._windows.setdefault(key.id, _SlidingWindow()).wait(self.requests_a_minute):
            raise self._too_many(wait)
        return key

    def _too_many(self, wait: int) -> Answer:
        body = error(self.state, _CODES[429], "Too many requests. Please try again later.")
        return Answer(429, body, {"Retry-After": str(wait)})
