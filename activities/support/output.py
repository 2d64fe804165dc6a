"""What a step prints: taken as it comes, the tail kept, memory bounded."""

from typing import Literal

from contracts.execution import OUTPUT_TAIL_BYTES

Stream = Literal["stdout", "stderr"]


class OutputTail:
    """Keeps the last bytes of what a step prints, both streams in the order in which they came."""

    def __init__(self, limit: int = OUTPUT_TAIL_BYTES) -> None:
        """Keeps at most `limit` bytes of UTF-8."""
        self._limit = limit
        self._kept = bytearray()

    def feed(self, data: bytes, stream: Stream = "stdout") -> None:  # noqa: ARG002
        """Takes the next bytes of a stream."""
        self._kept += data
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    def text(self) -> str:
        """Returns the tail, bytes that are not UTF-8 replaced."""
        return self._kept[-self._limit :].decode(errors="replace")
