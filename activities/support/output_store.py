"""What steps print, stored in the catalogue while they run: the beginning and the end of it, memory bounded.

It is stored as well as can be: that the catalogue cannot be written is no fault of the step. What is kept in memory until
then is bounded, and what the record keeps anyway, the tail, is not stored twice.
"""

import asyncio
import logging
import threading
from collections import deque
from itertools import islice
from typing import Final
from uuid import UUID

from catalogue.engine import Catalogue
from catalogue.output import OutputChange, store_output
from contracts.execution import OUTPUT_TAIL_BYTES

_STORE_SECONDS: Final = 1.0
"""How often what was printed meanwhile is stored: one transaction for all the steps of a worker."""

_LIVE_BYTES: Final = 256 * 1024
"""Stored of one attempt at a time once it has printed more than is kept: who prints more in a second is not read live."""

_CLOSE_SECONDS: Final = 3.0
"""Given to the last write of an attempt. Only a catalogue that is away needs longer, and nobody waits for that."""

_CLOSE_BYTES: Final = 8 * 1024 * 1024
"""About as much is stored in one such write: of attempts that end at the same time, one by one would take too long."""

_logger = logging.getLogger(__name__)


class OutputStore:
    """Stores what the steps of this worker print."""

    def __init__(self, catalogue: Catalogue, limit: int) -> None:
        """Keeps at most `limit` bytes of each attempt, half of them from its beginning and half from its end."""
        self._catalogue = catalogue
        self._half = limit // 2
        self._together = max(_CLOSE_BYTES // limit, 1)
        self._open: set[KeptOutput] = set()
        self._storing: asyncio.Task[None] | None = None
        self._last: dict[KeptOutput, asyncio.Future[str | None]] = {}
        """Whose last write is due, and who waits for what came of it."""
        self._closing: asyncio.Task[None] | None = None
        # One write at a time: what an attempt has stored is known only when the write has ended.
        self._turn = asyncio.Lock()
        self._is_failing = False

    def open(self, step_id: UUID, attempt: int) -> "KeptOutput":
        """Begins to keep what an attempt prints; `close` ends it."""
        kept = KeptOutput(step_id, attempt, self._half)
        self._open.add(kept)
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store_until_all_are_closed())
        return kept

    async def close(self, kept: "KeptOutput", *, tail_is_recorded: bool) -> str | None:
        """Stores the rest of what an attempt has printed.

        Args:
            kept: What `open` gave.
            tail_is_recorded: Whether the record takes the last 64 KiB; they are not stored here then.

        Returns:
            None; or, where it could not be stored, what went wrong.
        """
        self._open.discard(kept)
        if not kept.has_unstored(OUTPUT_TAIL_BYTES if tail_is_recorded else 0) and not kept.has_gap:
            return None
        told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._last[kept] = told
        if self._closing is None or self._closing.done():
            self._closing = asyncio.create_task(self._store_the_last())
        return await told

    async def _store_the_last(self) -> None:
        while self._last:
            outputs = list(islice(self._last, self._together))
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    problem = await self._store(outputs, is_last=True)
            except TimeoutError:
                problem = f"no answer within {_CLOSE_SECONDS:.0f} s"
                # Those that have waited meanwhile would wait as long, one after another.
                outputs = list(self._last)
            except Exception as error:
                # Whoever waits is told, whatever it is: the next one may fare better.
                _logger.exception("the rest of what steps print cannot be stored")
                problem = type(error).__name__
            for kept in outputs:
                told = self._last.pop(kept)
                if not told.done():
                    told.set_result(problem)

    async def _store_until_all_are_closed(self) -> None:
        while self._open:
            await asyncio.sleep(_STORE_SECONDS)  # what comes meanwhile is stored together
            if changed := [kept for kept in self._open if kept.has_unstored()]:
                await self._store(changed)

    async def _store(self, outputs: list["KeptOutput"], *, is_last: bool = False) -> str | None:
        """Writes what is new; returns what went wrong."""
        async with self._turn:
            changes = [kept.change(is_last=is_last) for kept in outputs]
            for kept in outputs:
                kept.is_unsure = True
            try:
                await self._catalogue.write_short(lambda connection: store_output(connection, changes))
            except Exception as error:  # noqa: BLE001 - whatever it is, the step goes on
                if not self._is_failing:
                    # The first line alone: what follows is the statement, with what was printed.
                    _logger.warning("what steps print cannot be stored: %s", str(error).split("\n", 1)[0])
                self._is_failing = True
                return type(error).__name__
            self._is_failing = False
            for kept, change in zip(outputs, changes, strict=True):
                kept.stored(change)
            return None


class KeptOutput:
    """What one attempt prints, as far as it is kept and not yet stored."""

    def __init__(self, step_id: UUID, attempt: int, half: int) -> None:
        """Keeps the first `half` bytes until they are stored, and the last `half` of what comes after them."""
        self._step_id = step_id
        self._attempt = attempt
        self._half = half
        self.total = 0
        self.is_unsure = False
        """Whether a write has failed, and may have been done nevertheless."""
        self._head = bytearray()
        self._head_start = 0
        self._tail = bytearray()
        self._tail_stored = half
        """Up to where the end is stored."""
        self._tail_pieces: deque[tuple[int, int]] = deque()
        """Start and end of each of its stored pieces."""
        self._gap_end = 0
        """Where the last gap between them ends."""
        # Steps may print from threads of their own.
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        """Takes what is printed next."""
        with self._lock:
            room = max(self._half - self.total, 0)
            self.total += len(data)
            self._head += data[:room]
            if len(data) > room:
                self._tail += data[room:]
                if len(self._tail) > 2 * self._half:
                    del self._tail[: -self._half]

    def has_unstored(self, more_than: int = 0) -> bool:
        """Whether more bytes than this were printed since the last write."""
        return len(self._head) + max(self.total - self._tail_stored, 0) > more_than

    @property
    def has_gap(self) -> bool:
        """Whether something is missing in the middle of what is stored of the end."""
        return self._gap_end > self._kept_from

    @property
    def _kept_from(self) -> int:
        """Where the end begins that is kept."""
        return max(self.total - self._half, self._half)

    def change(self, *, is_last: bool) -> OutputChange:
        """Returns what there is to write; nothing is taken for stored before `stored` is told so."""
        with self._lock:
            pieces = [(self._head_start, bytes(self._head))] if self._head else []
            removed: list[int] = []
            removed_from = (self._head_start if self._head else self._tail_stored) if self.is_unsure else None
            if is_last and self.has_gap:
                # The end is written anew, whole.
                removed_from = self._half if removed_from is None else min(self._half, removed_from)
                pieces.append(self._last_bytes(self.total - self._kept_from))
            elif self.total > self._tail_stored:
                limit = self._half if is_last else min(_LIVE_BYTES, self._half)
                pieces.append(self._last_bytes(min(self.total - self._tail_stored, limit)))
                removed = [start for start, end in self._tail_pieces if end <= self._kept_from]
            return OutputChange(self._step_id, self._attempt, pieces, removed, removed_from)

    def _last_bytes(self, size: int) -> tuple[int, bytes]:
        return self.total - size, bytes(self._tail[-size:])

    def stored(self, change: OutputChange) -> None:
        """Takes note that a change was written."""
        with self._lock:
            self.is_unsure = False
            for start, data in change.pieces:
                if start < self._half:
                    del self._head[: len(data)]
                    self._head_start += len(data)
                    continue
                if start > self._tail_stored:
                    self._gap_end = start
                self._tail_stored = start + len(data)
                self._tail_pieces.append((start, self._tail_stored))
            for _ in change.removed:
                self._tail_pieces.popleft()
