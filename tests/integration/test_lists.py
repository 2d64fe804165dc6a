"""Lists: every page of every order is what a plain sort says, and their counts are exact whatever happens meanwhile."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.engine import Catalogue
from catalogue.execution_lists import count_executions, list_executions
from catalogue.executions import (
    Execution,
    InitiatorType,
    begin_execution,
    close_execution,
    delete_executions,
    tally_ended,
    withdraw_execution,
)
from catalogue.schedules import Schedule, list_schedules
from catalogue.tally import ExecutionTally
from contracts.execution import ExecutionStatus, TriggerType

SCHEDULES = [uuid.UUID(int=number) for number in (1, 2, 3)]
ENDINGS = [status for status in ExecutionStatus if status.is_terminal]
START = datetime(2026, 1, 1, tzinfo=UTC)


def execution(schedule_id: uuid.UUID, **fields: Any) -> Execution:
    return Execution(
        schedule_id=schedule_id,
        schedule_name="s",
        trigger_type=TriggerType.CRON,
        total_groups=1,
        total_steps=1,
        initiated_by_type=InitiatorType.SYSTEM,
        workflow_id="w",
        **fields,
    )


async def assert_exact(session: AsyncSession) -> None:
    """Compares the counts with the rows, in one transaction."""
    rows = (await session.exec(select(Execution.schedule_id, Execution.status))).all()
    connection = await session.connection()
    assert Counter(await connection.run_sync(count_executions, None)) == Counter(status for _, status in rows)
    for schedule_id in SCHEDULES:
        expected = Counter(status for of, status in rows if of == schedule_id)
        assert Counter(await connection.run_sync(count_executions, schedule_id)) == expected


class _Undone(Exception):
    """Takes back what a transaction did."""


class Operations:
    """What may happen to executions, each time to others; knows how they stand."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - not a secret
        self.statuses: dict[uuid.UUID, ExecutionStatus] = {}
        self.all = [self.open, self.open, self.begin, self.close, self.close, self.withdraw, self.delete, self.tally]

    def some(self, *, ended: bool) -> list[uuid.UUID]:
        """Returns at most three of those that have ended, or of those that have not."""
        found = [id_ for id_, status in self.statuses.items() if status.is_terminal is ended]
        return self.random.sample(found, min(len(found), 3))

    async def open(self, session: AsyncSession) -> None:
        row = execution(self.random.choice(SCHEDULES))
        session.add(row)
        self.statuses[row.id] = ExecutionStatus.QUEUED

    async def begin(self, session: AsyncSession) -> None:
        for chosen in self.some(ended=False):
            assert await (await session.connection()).run_sync(begin_execution, chosen)
            self.statuses[chosen] = ExecutionStatus.IN_PROGRESS

    async def close(self, session: AsyncSession) -> None:
        for chosen in self.some(ended=False)[:2]:
            self.statuses[chosen] = self.random.choice(ENDINGS)
            assert await (await session.connection()).run_sync(close_execution, chosen, self.statuses[chosen], None)

    async def withdraw(self, session: AsyncSession) -> None:
        for chosen in self.some(ended=False)[:1]:
            if await withdraw_execution(session, chosen):
                del self.statuses[chosen]

    async def delete(self, session: AsyncSession) -> None:
        gone = self.some(ended=True)
        assert await delete_executions(session, col(Execution.id).in_(gone)) == len(gone)
        for chosen in gone:
            del self.statuses[chosen]

    async def tally(self, session: AsyncSession) -> None:
        await tally_ended(session)


async def test_counts_are_exact_after_any_operations(catalogue: Catalogue) -> None:
    operations = Operations(seed=4)
    for _ in range(120):
        before = dict(operations.statuses)
        with suppress(_Undone):
            async with catalogue.write() as session:
                await operations.random.choice(operations.all)(session)
                if operations.random.random() < 0.2:
                    operations.statuses = before
                    raise _Undone
        async with catalogue.read() as session:
            await assert_exact(session)
        counts = await catalogue.read_short(partial(count_executions, schedule_id=None))
        assert Counter(counts) == Counter(operations.statuses.values())
    async with catalogue.read() as session:
        assert (await session.exec(select(ExecutionTally))).all(), "nothing was ever tallied"


async def test_counts_are_exact_while_others_write(catalogue: Catalogue) -> None:
    """Fifty executions begin and end at once, the tally is taken twice over, and some are deleted."""
    rows = [execution(SCHEDULES[number % 3]) for number in range(50)]
    ids = [row.id for row in rows]
    async with catalogue.write() as session:
        session.add_all(rows)

    async def run(number: int, execution_id: uuid.UUID) -> None:
        async with catalogue.write() as session:
            await (await session.connection()).run_sync(begin_execution, execution_id)
        async with catalogue.write() as session:
            await (await session.connection()).run_sync(
                close_execution, execution_id, ENDINGS[number % len(ENDINGS)], None
            )
        if number % 5 == 0:
            async with catalogue.write() as session:
                assert await delete_executions(session, col(Execution.id) == execution_id) == 1

    async def tally() -> None:
        while not ended.is_set():
            async with catalogue.write() as session:
                await tally_ended(session)

    async def watch() -> None:
        while not ended.is_set():
            async with catalogue.read() as session:
                await assert_exact(session)

    ended = asyncio.Event()
    beside = [asyncio.ensure_future(work) for work in (tally(), tally(), watch())]
    await asyncio.gather(*(run(number, execution_id) for number, execution_id in enumerate(ids)))
    ended.set()
    await asyncio.gather(*beside)

    async with catalogue.write() as session:
        await tally_ended(session)
    async with catalogue.read() as session:
        await assert_exact(session)
        assert (await session.exec(select(Execution).where(~col(Execution.tallied)))).all() == []
    assert sum((await catalogue.read_short(partial(count_executions, schedule_id=None))).values()) == 40


def any_executions(count: int) -> list[Execution]:
    """Executions with ties, and some without times."""
    choices = Random(7)  # noqa: S311 - not a secret

    def some_time(share: float) -> datetime | None:
        return START + timedelta(seconds=choices.randrange(5)) if choices.random() < share else None

    return [
        execution(
            choices.choice(SCHEDULES),
            status=choices.choice(list(ExecutionStatus)),
            queued_at=START + timedelta(seconds=choices.randrange(5)),
            started_at=some_time(0.6),
            completed_at=some_time(0.4),
        )
        for _ in range(count)
    ]


def in_order(rows: Sequence[Any], attribute: str, *, descending: bool) -> list[uuid.UUID]:
    """Sorts as the lists promise: ties by id, rows without a value last, in both directions."""
    key = attrgetter(attribute)
    by_id = sorted(rows, key=attrgetter("id"))
    filled = sorted((row for row in by_id if key(row) is not None), key=key, reverse=descending)
    return [row.id for row in [*filled, *(row for row in by_id if key(row) is None)]]


async def all_pages(catalogue: Catalogue, read: Callable[..., Any]) -> list[uuid.UUID]:
    """Returns the ids of all pages, one after the other; all of them tell the same total."""
    found: list[uuid.UUID] = []
    _, total = await catalogue.read_short(partial(read, offset=0, limit=1))
    for offset in range(0, total + 14, 7):
        page, again = await catalogue.read_short(partial(read, offset=offset, limit=7))
        assert again == total
        found += [row.id for row in page]
    assert len(found) == total
    return found


@pytest.mark.parametrize(
    ("sort_by", "attribute"),
    [("queuedAt", "queued_at"), ("STARTED", "started_at"), ("completedAt", "completed_at"), ("status", "status")],
)
async def test_executions_come_in_order_page_by_page(catalogue: Catalogue, sort_by: str, attribute: str) -> None:
    rows = any_executions(60)
    async with catalogue.write() as session:
        session.add_all(rows)
        await session.flush()
        await tally_ended(session)
    some = [ExecutionStatus.FAILED, ExecutionStatus.QUEUED, ExecutionStatus.COMPLETE]
    filters = product((None, SCHEDULES[0]), ([], some[:1], some), (True, False))
    for schedule_id, statuses, descending in filters:
        matching = [
            row for row in rows if schedule_id in {None, row.schedule_id} and (not statuses or row.status in statuses)
        ]
        read = partial(
            list_executions, schedule_id=schedule_id, statuses=statuses, sort_by=sort_by, descending=descending
        )
        assert await all_pages(catalogue, read) == in_order(matching, attribute, descending=descending)


@pytest.mark.parametrize(
    ("sort_by", "attribute"),
    [
        ("name", "name"),
        ("isEnabled", "is_enabled"),
        ("lastRunTime", "last_run_time"),
        ("NEXTRUN", "next_run_time"),
        (None, "created"),
    ],
)
@pytest.mark.parametrize("few", [3, 40])
async def test_schedules_come_in_order_page_by_page(
    catalogue: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    sort_by: str | None,
    attribute: str,
    few: int,
) -> None:
    # Beyond these, what a search finds is read in another way; at once when more than all of them are few.
    monkeypatch.setattr("catalogue.schedules._FEW", few)
    choices = Random(7)  # noqa: S311 - not a secret
    times = [None, *(START + timedelta(hours=hour) for hour in range(4))]
    rows = [
        Schedule(
            name=f"{choices.choice(['import', 'export'])}{number:02}",
            description=choices.choice([None, "Every MORNING", "100% of A_B", "and/or"]),
            is_enabled=choices.random() < 0.5,
            created=START + timedelta(days=choices.randrange(3)),
            last_run_time=choices.choice(times),
            next_run_time=choices.choice(times),
        )
        for number in range(40)
    ]
    async with catalogue.write() as session:
        session.add_all(rows)
    for search, descending in product(
        (None, "IMPORT", "morning", "100%", "a_b", "d/O", "_", "no such", "%" * 60_000), (True, False)
    ):
        wanted = (search or "").lower()
        matching = [row for row in rows if wanted in row.name or wanted in (row.description or "").lower()]
        read = partial(list_schedules, search=search, sort_by=sort_by, descending=descending)
        assert await all_pages(catalogue, read) == in_order(matching, attribute, descending=descending)


async def test_a_search_finds_every_letter_in_any_case(catalogue: Catalogue) -> None:
    texts = [("Überprüfung", "ÉCOLE"), ("straße", None), ("ПРИВЕТ", "привет"), ("plain", "None of these")]
    async with catalogue.write() as session:
        session.add_all([Schedule(name=name, description=description) for name, description in texts])
        await session.flush()
        renamed = (await session.exec(select(Schedule).where(Schedule.name == "plain"))).one()
        renamed.name = "Ærø"

    for search, names in {
        "überPRÜFUNG": ["Überprüfung"],
        "école": ["Überprüfung"],
        "STRASSE": ["straße"],
        "Straße": ["straße"],
        "ПРИвет": ["ПРИВЕТ"],
        "æRØ": ["Ærø"],
        "plain": [],
        "none": ["Ærø"],
        "école\n": [],
    }.items():
        found, total = await catalogue.read_short(
            partial(list_schedules, search=search, sort_by=None, descending=False, offset=0, limit=9)
        )
        assert [row.name for row in found] == names, search
        assert total == len(names)


async def test_a_search_finds_what_a_version_before_its_table_writes(catalogue: Catalogue) -> None:
    """That version keeps `search_text`, and knows no other place."""
    columns = ", ".join(name for name in Schedule.model_fields if name not in {"id", "name", "search_text"})
    async with catalogue.write() as session:
        session.add(Schedule(name="first"))
        await session.flush()
        connection = await session.connection()
        await connection.exec_driver_sql(
            f"INSERT INTO schedule (id, name, search_text, {columns})"  # noqa: S608 - names of ours
            f" SELECT '{uuid.uuid4().hex}', 'second', 'second', {columns} FROM schedule"
        )

    async def names(search: str) -> list[str]:
        found, _ = await catalogue.read_short(
            partial(list_schedules, search=search, sort_by="name", descending=False, offset=0, limit=9)
        )
        return [row.name for row in found]

    assert await names("second") == ["second"]
    async with catalogue.write() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(
            "UPDATE schedule SET name = 'third', search_text = 'third' WHERE name = 'second'"
        )
    assert await names("second") == []
    assert await names("third") == ["third"]


async def test_many_that_a_search_finds_are_counted_and_paged_too(catalogue: Catalogue) -> None:
    rows = [Schedule(name=f"s{number:04}", description="any") for number in range(312)]
    async with catalogue.write() as session:
        session.add_all(rows)
    async with catalogue.write() as session:
        await session.delete(await session.get_one(Schedule, rows[310].id))
        (await session.get_one(Schedule, rows[311].id)).description = "none"
    found, total = await catalogue.read_short(
        partial(list_schedules, search="ANY", sort_by="name", descending=True, offset=305, limit=20)
    )
    assert total == 310
    assert [row.name for row in found] == ["s0004", "s0003", "s0002", "s0001", "s0000"]


@pytest.mark.parametrize("descending", [True, False])
async def test_every_order_of_a_list_is_that_of_an_index(sqlite_template: Path, descending: bool) -> None:  # noqa: FBT001 - a parameter
    """Which index a page is read from, SQLite says: one that holds all that it takes, with no more to sort than ties."""
    catalogue = Catalogue(f"sqlite:///{sqlite_template}")
    executions: list[Callable[..., Any]] = [
        partial(list_executions, schedule_id=schedule_id, statuses=statuses, sort_by=sort_by)
        for schedule_id, statuses, sort_by in product(
            (None, SCHEDULES[0]),
            ([], [ExecutionStatus.FAILED], [ExecutionStatus.FAILED, ExecutionStatus.COMPLETE]),
            ("queuedAt", "startedAt", "completedAt", "status"),
        )
    ]
    schedules: list[Callable[..., Any]] = [
        partial(list_schedules, search=None, sort_by=sort_by)
        for sort_by in ("name", "isEnabled", "lastRunTime", "nextRunTime", "created")
    ]
    statements: list[tuple[str, Any]] = []

    def remember(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements.append((statement, parameters))

    async with catalogue.write() as session:
        session.add_all(any_executions(60))
        session.add_all([Schedule(name=f"s {number}", is_enabled=number % 2 == 0) for number in range(4)])
        await session.flush()
        connection = await session.connection()
        event.listen(connection.sync_connection, "before_cursor_execute", remember)
        for read in (*executions, *schedules):
            await connection.run_sync(read, descending=descending, offset=0, limit=100)
        pages = [statement for statement in statements if "OFFSET" in statement[0]]
        assert len(pages) >= len(executions) + len(schedules)
        for statement, parameters in pages:
            plan = [row[-1] for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            of_ids = plan[: plan.index("SCAN anon_1")]
            # A unique name has an index of its own, without the ids.
            assert any("COVERING INDEX" in step or "autoindex" in step for step in of_ids), (statement, plan)
            assert "USE TEMP B-TREE FOR ORDER BY" not in of_ids, (statement, plan)
        await session.rollback()
    await catalogue.close()
