"""Makes a catalogue, fills it, starts an API on it, and takes the time of its answers."""

import asyncio
import time

import httpx
from sqlalchemy import create_engine
from sqlmodel import func, select

from bench.case import say
from bench.catalogue.fill import Filled, fill
from bench.catalogue.probes import Probe, probes
from bench.catalogue.report import Answers, CatalogueReport
from bench.databases import new_database
from bench.machine import Machine, Versions, load_average
from bench.runs import BenchError
from bench.stack import running_stack
from catalogue.engine import sync_url
from catalogue.executions import Execution, StepRecord
from catalogue.migrations import migrate
from catalogue.schedules import Schedule, ScheduleStep


async def measure_catalogue(server: str | None, *, executions: int, schedules: int, rounds: int) -> CatalogueReport:
    """Measures every list and detail, round after round: what slows the machine for a while slows one round of each.

    Args:
        server: URL of a PostgreSQL database whose user may create others; None for a SQLite file.
        executions: How many there are.
        schedules: How many there are.
        rounds: How often each is asked for, after one round that does not count.

    Raises:
        BenchError: An answer was no success, or the API did not start.
    """
    with new_database(server) as url:
        say(f"filling a catalogue with {executions:,} executions and {schedules:,} schedules")
        await asyncio.to_thread(migrate, url)
        filled = await asyncio.to_thread(fill, url, executions=executions, schedules=schedules)
        return await measure_filled(url, filled, rounds=rounds)


async def measure_filled(url: str, filled: Filled, *, rounds: int) -> CatalogueReport:
    """Measures a catalogue that is filled already; see `measure_catalogue`."""
    asked = probes(filled)
    samples: list[list[float]] = [[] for _ in asked]
    sizes = [0] * len(asked)
    say("starting a Temporal server and Rota's API")
    async with running_stack(url, with_workers=False) as stack:
        versions = await Versions.running(stack.rota.temporal, url)
        before = load_average()
        for number in range(rounds + 1):
            for place, probe in enumerate(asked):
                taken, size = await _milliseconds_and_bytes(stack.rota.http, probe)
                samples[place].append(taken)
                sizes[place] = max(sizes[place], size)
            say(f"  {number}/{rounds}: slowest {max(taken[-1] for taken in samples):.0f} ms")
        after = load_average()
    return CatalogueReport(
        machine=Machine.this(),
        versions=versions,
        rows=await asyncio.to_thread(_count_rows, url),
        load_before=before,
        load_after=after,
        answers=[
            Answers(probe, tuple(taken[1:]), size) for probe, taken, size in zip(asked, samples, sizes, strict=True)
        ],
    )


async def _milliseconds_and_bytes(http: httpx.AsyncClient, probe: Probe) -> tuple[float, int]:
    url = next(probe.urls)
    sent = time.perf_counter()
    answer = await http.get(url)
    taken = (time.perf_counter() - sent) * 1000
    if not answer.is_success:
        raise BenchError(f"GET {url}: {answer.status_code} {answer.text}")
    return taken, len(answer.content)


def _count_rows(url: str) -> dict[str, int]:
    engine = create_engine(sync_url(url))
    tables = (Execution, StepRecord, Schedule, ScheduleStep)
    with engine.connect() as connection:
        rows = {
            table.__tablename__: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables
        }
    engine.dispose()
    return rows
