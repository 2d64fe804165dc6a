"""Followers of what steps print while they run."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from catalogue.engine import Catalogue
from catalogue.executions import step_states
from catalogue.output import Piece, read_output_after

_logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
"""How often the catalogue is asked for what followed steps have printed: once for all of them."""

_SILENCE_SECONDS: Final = 15.0
"""After so long a silence a follower gets a sign of life; proxies cut connections after a minute or so."""

_WAITING_BYTES: Final = 1024 * 1024
"""Kept in memory for a follower that reads slowly; more is read from the catalogue again when it is ready."""


class Follower:
    """What one client has not been sent yet of a step that it follows."""

    def __init__(self, only: int | None) -> None:
        """Follows one attempt, or all."""
        self.only = only
        self.is_over = False
        """Whether nothing more will be printed."""
        self.is_behind = False
        """Whether pieces were dropped because the client reads slowly; they are to be read from the catalogue."""
        self._pieces: list[Piece] = []
        self._changed = asyncio.Event()

    async def next_pieces(self) -> list[Piece]:
        """Waits for the next pieces; empty after a while of silence, or where it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS):
                await self._changed.wait()
        self._changed.clear()
        pieces, self._pieces = self._pieces, []
        return pieces

    def take(self, pieces: Sequence[Piece], *, is_over: bool) -> None:
        """Takes what the catalogue has now."""
        self._pieces += pieces
        if sum(len(piece.data) for piece in self._pieces) > _WAITING_BYTES:
            self._pieces, self.is_behind = [], True
        self.is_over = self.is_over or is_over
        if pieces or is_over:
            self._changed.set()


class OutputFeed:
    """Looks for what followed steps print: one look for all who follow, none where nobody does."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Looks into this catalogue."""
        self._catalogue = catalogue
        self._followers: dict[UUID, set[Follower]] = {}
        self._known: dict[UUID, tuple[int, int]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.is_ending = False
        """Whether the API stops: nobody is followed any more."""

    @contextmanager
    def follow(self, step_id: UUID, *, only: int | None) -> Iterator[Follower]:
        """Gives a follower that is told of everything that is stored from now on."""
        follower = Follower(only)
        follower.is_over = self.is_ending
        self._followers.setdefault(step_id, set()).add(follower)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_until_nobody_follows())
        try:
            yield follower
        finally:
            self._followers[step_id].discard(follower)
            if not self._followers[step_id]:
                del self._followers[step_id]
                self._known.pop(step_id, None)

    async def close(self) -> None:
        """Lets every follower go, and looks no more."""
        self.end()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    def end(self) -> None:
        """Lets every follower go: the API stops."""
        self.is_ending = True
        for followers in self._followers.values():
            for follower in followers:
                follower.take([], is_over=True)

    async def _look_until_nobody_follows(self) -> None:
        while self._followers:
            await asyncio.sleep(_LOOK_SECONDS)  # workers write to the database, which calls nobody back
            try:
                await self._look()
            except (SQLAlchemyError, OSError) as error:
                _logger.warning("what followed steps print cannot be read now: %s", str(error).split("\n", 1)[0])

    async def _look(self) -> None:
        known = {step_id: self._known.get(step_id, (0, 0)) for step_id in self._followers}
        async with self._catalogue.read() as session:
            states = await step_states(session, known)
            pieces = await read_output_after(session, known)
        for step_id, followers in self._followers.items():
            new = pieces.get(step_id, [])
            if new:
                self._known[step_id] = (new[-1].attempt, new[-1].start)
            state = states.get(step_id)
            for follower in followers:
                ended = state is None or state.status.is_terminal or (follower.only or math.inf) <= state.ended_attempts
                follower.take(new, is_over=step_id in known and ended)
