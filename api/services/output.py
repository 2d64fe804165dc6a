"""What steps printed, as text: what is stored of it, or followed while they run."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.context import Context
from api.errors import NotFound
from api.services.feed import Follower
from api.services.live import Known, live_execution, steps_begun_last, take_up
from catalogue.executions import Execution, StepRecord, get_execution, get_step_record
from catalogue.output import Piece, read_output, stored_attempts
from catalogue.retention import is_output_removed
from contracts.execution import StepAttempt, no_catalogue

SIGN_OF_LIFE: Final = b"\0"
"""What no output contains, as a NUL is replaced where it is taken: clients drop it, and terminals show nothing."""


class OutputText:
    """Puts together the pieces of what a step printed, and says where something is missing."""

    def __init__(self) -> None:
        """Begins an empty text."""
        self._attempt = 0
        self._end = 0
        self._is_at_line_start = True
        self._said: set[str] = set()
        self.is_empty = True
        """Whether nothing that a step printed is in it."""

    @property
    def attempt(self) -> int:
        """Number of the attempt that has begun; 0 before the first."""
        return self._attempt

    def begin_attempt(self, number: int, *, with_header: bool) -> bytes:
        """Returns what stands before an attempt; nothing where it has begun already."""
        if number <= self._attempt:
            return b""
        self._attempt, self._end = number, 0
        return self.say(f"attempt {number}") if with_header else b""

    def say(self, line: str) -> bytes:
        """Returns a line of Rota's own."""
        said = f"{'' if self._is_at_line_start else chr(10)}[Rota: {line}]\n".encode()
        self._is_at_line_start = True
        return said

    def say_once(self, line: str) -> bytes:
        """Returns a line of Rota's own, unless it was said before."""
        if line in self._said:
            return b""
        self._said.add(line)
        return self.say(line)

    def add(self, start: int, data: bytes) -> bytes:
        """Returns what a piece of the attempt adds to what stood before."""
        missing = self.missing(start)
        data = data[max(self._end - start, 0) :]
        if not data:
            return missing
        self._end = max(self._end, start) + len(data)
        self._is_at_line_start = data.endswith(b"\n")
        self.is_empty = False
        return missing + data

    def missing(self, total: int) -> bytes:
        """Returns a line that says how much is missing of so many bytes."""
        left_out = total - self._end
        if left_out <= 0:
            return b""
        self._end = total
        return self.say(f"{left_out:,} bytes are left out here")


@dataclass(frozen=True)
class _Step:
    """A step's record, and which of its attempts are asked for."""

    execution: Execution
    record: StepRecord
    history: dict[int, StepAttempt]
    numbers: Sequence[int]
    only: int | None
    is_removed: bool
    """Whether the output was removed because of its age."""

    @property
    def output_id(self) -> UUID:
        return self.record.output_of or self.record.id

    @property
    def last(self) -> int:
        return self.numbers[-1]

    @property
    def has_headers(self) -> bool:
        return self.only is None and (self.record.max_attempts > 1 or len(self.numbers) > 1)

    @property
    def wanted(self) -> Sequence[int]:
        return self.numbers if self.only is None else [self.only]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be printed of what is asked for."""
        return self.record.status.is_terminal or (self.only is not None and self.only in self.history)

    def rest(self, number: int, pieces: Sequence[Piece]) -> list[tuple[int, bytes]]:
        """Returns the pieces of an attempt and where they start, the tail that the record keeps among them."""
        rest = [(piece.start, piece.data) for piece in pieces]
        tail = self.record.output_tail.encode()
        if tail and number == self.last and self.record.status.is_terminal:
            rest.append((max(self.record.output_bytes - len(tail), 0), tail))
        return rest

    def total(self, number: int) -> int:
        """Returns how many bytes an attempt printed, as far as is known."""
        known = self.history[number].output_bytes if number in self.history else 0
        return max(known, self.record.output_bytes) if number == self.last else known

    def note(self, number: int) -> str | None:
        """Returns why not all of an attempt's output is kept."""
        known = self.history[number].output_note if number in self.history else None
        return known or (self.record.output_note if number == self.last else None)


async def _read_records(session: AsyncSession, execution_id: UUID, step_id: UUID) -> tuple[Execution, StepRecord]:
    execution = await get_execution(session, execution_id)
    if execution is None:
        raise NotFound(f"Schedule execution not found: {execution_id}")
    record = await get_step_record(session, execution_id, step_id)
    if record is None:
        raise NotFound(f"Step not found in execution {execution_id}: {step_id}")
    return execution, record


async def _find_step(context: Context, execution_id: UUID, step_id: UUID, only: int | None) -> _Step:
    async with context.catalogue.read() as session:
        execution, record = await _read_records(session, execution_id, step_id)
    known: Known = {}
    if not (record.status.is_terminal or execution.status.is_terminal):
        # One that has just ended shows so: then its tail, which is not written yet, is to be seen too.
        known = (await steps_begun_last(context.temporal, execution.workflow_id, {record.id})).known
        # Read again: what the history says no more, as the workflow has continued as new meanwhile, is written.
        async with context.catalogue.read() as session:
            execution, record = await _read_records(session, execution_id, step_id)
    async with context.catalogue.read() as session:
        stored = await stored_attempts(session, record.output_of or record.id)
        is_removed = await is_output_removed(session, execution)
    take_up(record, known)
    attempts = [StepAttempt.model_validate(attempt) for attempt in record.attempt_history or []]
    history = {attempt.number: attempt for attempt in attempts}
    # One that runs is the one after those that have ended; a record without a history tells of the last one itself.
    running = 0 if record.status.is_terminal else len(history) + 1
    numbers = sorted({running or max(history, default=record.attempts or 1), *history, *stored})
    if only is not None and only not in numbers:
        raise NotFound(f"Step {step_id} has no attempt {only}; its last one is attempt {numbers[-1]}.")
    return _Step(execution, record, history, numbers, only, is_removed)


async def show_output(
    context: Context, execution_id: UUID, step_id: UUID, *, attempt: int | None, follow: bool
) -> AsyncIterator[bytes]:
    """Returns what a step has printed so far, as far as it is kept; and what it goes on to print, until it has ended.

    Args:
        context: What routes work with.
        execution_id: The execution.
        step_id: The record of one of its steps.
        attempt: The number of one attempt; None for all of them, a line before each where there may be several.
        follow: Whether to wait for what is printed later.

    Raises:
        NotFound: There is no such execution, step or attempt.
    """
    step = await _find_step(context, execution_id, step_id, attempt)
    return _follow(context, step) if follow and not step.is_over else _show(context, step)


async def _show(context: Context, step: _Step) -> AsyncIterator[bytes]:
    text = OutputText()
    if step.is_removed:
        yield text.say("What it printed was removed because of its age.")
        return
    yield await _note_of_running(context, step, text)
    async for part in _stored(context, step, text):
        yield part


async def _follow(context: Context, step: _Step) -> AsyncIterator[bytes]:
    text = OutputText()
    try:
        with context.outputs.follow(step.record.id, only=step.only) as follower:
            yield await _note_of_running(context, step, text)
            async for part in _stored(context, step, text):
                yield part
            async for part in _printed(context, step, text, follower):
                yield part
        if context.outputs.is_ending:
            yield text.say("The API stops here; the step runs on.")
            return
        async for part in _stored(context, await _again(context, step), text):
            yield part
    except (SQLAlchemyError, OSError):
        yield text.say("The catalogue cannot be read now; the step runs on.")
    except NotFound:
        yield text.say("The record is gone.")


async def _printed(context: Context, step: _Step, text: OutputText, follower: Follower) -> AsyncIterator[bytes]:
    """Yields what a step prints while it is followed, and signs of life while it prints nothing."""
    while not follower.is_over:
        pieces = await follower.next_pieces()
        if follower.is_behind:
            follower.is_behind = False
            async for part in _stored(context, await _again(context, step), text):
                yield part
        elif printed := b"".join(_added(text, step, pieces)):
            yield printed
        elif not follower.is_over:
            yield await _note_of_running(context, step, text) or SIGN_OF_LIFE


async def _again(context: Context, step: _Step) -> _Step:
    return await _find_step(context, step.execution.id, step.record.id, step.only)


def _added(text: OutputText, step: _Step, pieces: Sequence[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        if step.only in (None, piece.attempt) and piece.attempt >= text.attempt:
            yield text.begin_attempt(piece.attempt, with_header=step.has_headers)
            yield text.add(piece.start, piece.data)


async def _stored(context: Context, step: _Step, text: OutputText) -> AsyncIterator[bytes]:
    """Yields what is kept of the attempts that are asked for, but for what has been shown of them."""
    for number in step.wanted:
        if number < text.attempt:
            continue
        async with context.catalogue.read() as session:
            pieces = await read_output(session, step.output_id, number)
        rest = step.rest(number, pieces)
        yield text.begin_attempt(number, with_header=step.has_headers)
        # A write that was given up may have been done later after all.
        if (note := step.note(number)) and _has_gap(rest, step.total(number)):
            yield text.say_once(note)
        for start, data in rest:
            yield text.add(start, data)
        yield text.missing(step.total(number))


def _has_gap(pieces: Sequence[tuple[int, bytes]], total: int) -> bool:
    end = 0
    for start, data in pieces:
        if start > end:
            return True
        end = max(end, start + len(data))
    return end < total


async def _note_of_running(context: Context, step: _Step, text: OutputText) -> bytes:
    """Returns a line, once, where the output of a running step is not stored before its end."""
    if step.is_over or not text.is_empty:
        return b""
    execution = await live_execution(context.temporal, step.execution.workflow_id)
    running = execution.steps.get(step.record.id) if execution else None
    heartbeat = running.heartbeat if running else None
    return b"" if heartbeat is None or heartbeat.stores_output else text.say_once(no_catalogue(heartbeat.worker))
