"""As much HTTP as the bench's own requests take.

So that the client is not what is measured: a client library takes ten times the CPU, of the two cores that what is
measured runs on.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


class HttpError(Exception):
    """There is no connection, or an answer cannot be read; the message says why."""


class Connection(asyncio.Protocol):
    """One that stays open, for one request after another."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        """Takes a port on 127.0.0.1, and what is sent with every request."""
        self._headers = "".join(
            f"\r\n{name}: {value}" for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items()
        )
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Sends a request, with a body of JSON if there is one; returns status and body of the answer.

        Raises:
            HttpError: The connection was lost, or the answer does not say how long it is.
        """
        content = b"" if body is None else body.encode()
        kind = "" if body is None else "\r\nContent-Type: application/json"
        length = "" if method == "GET" else f"\r\nContent-Length: {len(content)}"
        head = f"{method} {path} HTTP/1.1{self._headers}{kind}{length}".encode()
        if self._transport.is_closing():
            raise HttpError("the connection was lost")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head + _HEAD_END + content)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Is asyncio's."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP connection has
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Is asyncio's."""
        self._received += data
        head_size = self._received.find(_HEAD_END)
        if head_size < 0:
            return
        head = self._received[:head_size].lower() + b"\r\n"
        at = head.find(_LENGTH)
        if at < 0:
            self._fail(self._received[:1000].decode(errors="replace"))
            return
        at += len(_LENGTH)
        begin = head_size + len(_HEAD_END)
        missing = begin + int(head[at : head.index(b"\r", at)]) - len(self._received)
        if missing > 0:
            return
        if missing < 0:
            self._fail("an answer is longer than it says")
            return
        answer = int(head.split(b" ", 2)[1]), self._received[begin:]
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Is asyncio's."""
        self._fail(f"the connection was lost: {error or 'closed by the server'}")

    def _fail(self, message: str) -> None:
        self._transport.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(HttpError(message))


@asynccontextmanager
async def connected(port: int, headers: Mapping[str, str]) -> AsyncIterator[Connection]:
    """Opens a connection to a port on 127.0.0.1 and closes it at the end; `headers` go with every request.

    Raises:
        HttpError: Nothing listens.
    """
    try:
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(port, headers), "127.0.0.1", port
        )
    except OSError as error:
        raise HttpError(f"no connection to port {port}: {error.strerror or error}") from None
    try:
        yield connection
    finally:
        transport.abort()
