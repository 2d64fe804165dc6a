"""What is stored of what an attempt prints: its beginning and its end, whatever goes wrong on the way."""

import asyncio
import re
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlmodel import Session, SQLModel, col, select

from activities.support.output_store import KeptOutput, OutputStore
from api.services.output import OutputText
from catalogue.engine import Catalogue
from catalogue.executions import StepRecord
from catalogue.output import StepOutput, store_output
from catalogue.schedules import ExecutionMode
from contracts.execution import OUTPUT_TAIL_BYTES

HALF = 100


@pytest.fixture(scope="module")
def engine() -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """One database is enough: this is about when something is written, and how often."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'rota.db')}"


@pytest.fixture
async def unmigrated(tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue without tables."""
    catalogue = Catalogue(f"sqlite:///{tmp_path / 'empty.db'}")
    yield catalogue
    await catalogue.close()


def add_record(engine: sqlalchemy.Engine) -> uuid.UUID:
    with Session(engine) as session:
        record = StepRecord(
            execution_id=uuid.uuid4(),
            position=0,
            group=0,
            step_index=0,
            display_name="s",
            execution_mode=ExecutionMode.SEQUENTIAL,
            step_type="Executable",
        )
        step_id = record.id
        session.add(record)
        session.commit()
    return step_id


def shown(engine: sqlalchemy.Engine, step_id: uuid.UUID, tail: bytes = b"", total: int = 0) -> bytes:
    """What is stored, put together, and the tail that a record keeps."""
    text = OutputText()
    text.begin_attempt(1, with_header=False)
    with Session(engine) as session:
        query = select(StepOutput).where(StepOutput.step_id == step_id).order_by(col(StepOutput.start))
        parts = [text.add(piece.start, piece.data) for piece in session.exec(query)]
    return b"".join([*parts, text.add(total - len(tail), tail), text.missing(total)])


STEPS = st.lists(
    st.one_of(
        st.integers(1, 400),  # so many bytes are printed
        st.sampled_from(["store", "fail before the commit", "fail after the commit"]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_beginning_and_end_are_stored_whole(engine: sqlalchemy.Engine, steps: list[int | str]) -> None:
    step_id = add_record(engine)
    kept = KeptOutput(step_id, 1, HALF)
    printed = b""

    def write(*, how: str, is_last: bool = False) -> None:
        change = kept.change(is_last=is_last)
        kept.is_unsure = True
        if how != "fail before the commit":
            with engine.begin() as connection:
                store_output(connection, [change])
        if how == "store":
            kept.stored(change)

    for step in steps:
        if isinstance(step, str):
            write(how=step)
        else:
            data = bytes(97 + (len(printed) + n) % 23 for n in range(step))
            kept.add(data)
            printed += data
    write(how="store", is_last=True)

    head, *gap = re.split(rb"\n\[Rota: ([0-9,]+) bytes are left out here\]\n", shown(engine, step_id))
    if not gap:
        assert head == printed
    else:
        left_out, tail = int(gap[0].replace(b",", b"")), gap[1]
        assert head == printed[:HALF]
        assert tail == printed[HALF + left_out :]
        assert len(tail) >= HALF
    assert len(head) + sum(len(part) for part in gap[1:]) <= 3 * HALF
    with engine.begin() as connection:
        connection.execute(sqlalchemy.delete(StepOutput))


def test_what_the_record_keeps_anyway_is_not_stored(engine: sqlalchemy.Engine) -> None:
    kept = KeptOutput(add_record(engine), 1, 2 * OUTPUT_TAIL_BYTES)
    kept.add(b"x" * OUTPUT_TAIL_BYTES)

    assert not kept.has_unstored(OUTPUT_TAIL_BYTES)
    assert kept.has_unstored()
    kept.add(b"x")
    assert kept.has_unstored(OUTPUT_TAIL_BYTES)


def test_threads_lose_nothing(engine: sqlalchemy.Engine) -> None:
    kept = KeptOutput(add_record(engine), 1, 10**6)

    def work() -> None:
        for _ in range(2000):
            kept.add(b"line\n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    size = 0
    while size < 4 * 2000 * 5:
        change = kept.change(is_last=False)
        kept.stored(change)
        size += sum(len(data) for _, data in change.pieces)
    for thread in threads:
        thread.join()
    assert kept.total == size


async def test_a_catalogue_that_is_away_is_said_and_fails_nothing(
    unmigrated: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    store = OutputStore(unmigrated, 1024 * 1024)
    kept = store.open(uuid.uuid4(), 1)
    kept.add(b"x" * 100_000)

    assert await store.close(kept, tail_is_recorded=True) == "OperationalError"
    assert await store.close(kept, tail_is_recorded=True) == "OperationalError"

    [record] = caplog.records
    assert (
        record.getMessage()
        == "what steps print cannot be stored: (sqlite3.OperationalError) no such table: step_output"
    )


async def test_a_catalogue_that_does_not_answer_is_not_waited_for(
    unmigrated: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.support.output_store._CLOSE_SECONDS", 0.1)
    store = OutputStore(unmigrated, 1024 * 1024)
    kept = store.open(uuid.uuid4(), 1)
    kept.add(b"x")
    async with unmigrated.write():
        problem = await store.close(kept, tail_is_recorded=False)
    # The write that was given up ends by itself.
    await asyncio.sleep(0)

    assert problem == "no answer within 0 s"


async def test_attempts_that_end_while_a_write_goes_on_are_stored_together(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = count_writes(catalogue, monkeypatch)
    store = OutputStore(catalogue, 128 * 1024)
    outputs = [store.open(uuid.uuid4(), 1) for _ in range(100)]
    for kept in outputs:
        kept.add(b"x")

    assert await asyncio.gather(*(store.close(kept, tail_is_recorded=False) for kept in outputs)) == [None] * 100
    assert len(writes) == 2


async def test_a_catalogue_that_does_not_answer_holds_a_hundred_attempts_no_longer_than_one(
    unmigrated: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.support.output_store._CLOSE_SECONDS", 0.1)
    writes = count_writes(unmigrated, monkeypatch)
    store = OutputStore(unmigrated, 1024 * 1024)
    outputs = [store.open(uuid.uuid4(), 1) for _ in range(100)]
    for kept in outputs:
        kept.add(b"x")
    async with unmigrated.write():
        problems = await asyncio.gather(*(store.close(kept, tail_is_recorded=False) for kept in outputs))

    assert problems == ["no answer within 0 s"] * 100
    assert len(writes) == 1


def count_writes(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Returns a list that has an item for each write to a catalogue from now on."""
    writes: list[object] = []
    write_short = catalogue.write_short

    async def counted(work: Callable[[Connection], None]) -> None:
        writes.append(work)
        await write_short(work)

    monkeypatch.setattr(catalogue, "write_short", counted)
    return writes


async def test_a_defect_in_one_attempts_output_is_told_to_all_and_keeps_nobody_waiting(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = OutputStore(catalogue, 128 * 1024)
    bad, good = (store.open(uuid.uuid4(), 1) for _ in range(2))
    bad.add(b"x")
    good.add(b"x")

    def no_memory(**_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bad, "change", no_memory)
    together = (store.close(kept, tail_is_recorded=False) for kept in (bad, good))
    assert await asyncio.gather(*together) == ["MemoryError", "MemoryError"]
    later = store.open(uuid.uuid4(), 1)
    later.add(b"x")
    assert await store.close(later, tail_is_recorded=False) is None
