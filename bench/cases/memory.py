"""I: what it takes of the memory."""

import asyncio
import contextlib
import math
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench.case import Case, Extent, say
from bench.dev import Dev, running_dev, with_supervisors
from bench.report import Measure, Target
from bench.runs import RotaClient, executable
from bench.stack import Stack, find_program

_EXECUTIONS: Final = 2_000
_AT_ONCE: Final = 20
_STEPS: Final = 2
_SETTLE_SECONDS: Final = 35.0
"""After so long supervisors that waited for another step are gone, and freed memory has been given back once
(`runtime/memory.py`)."""
_MEGABYTE: Final = 1e6

_LOOK_SECONDS: Final = 0.5
"""Between two looks at memory under load: to read PSS the kernel walks every page of a process."""
_RSS: Final = "MB RSS"

_SERVER: Final = "Temporal server"
_PYTHON: Final = "all Python processes"
_DEV: Final = "rota dev"
"""The process that started the others."""
_IDLE_TARGETS: Final = {
    "api": Target("maximum", "at most", 150),
    "worker": Target("maximum", "at most", 200),
    _PYTHON: Target("maximum", "at most", 350),
}
_TOTAL_TARGETS: Final = {_PYTHON: _IDLE_TARGETS[_PYTHON]}

_NO_GROWTH: Final = Target("maximum", "at most", 5)
"""Five kilobytes an execution. Over thousands of executions it goes up and down by less than that, and does not rise."""


@dataclass(frozen=True)
class _Memory:
    """What a process holds, in megabytes."""

    rss: float
    """Resident, what it shares with others included."""
    pss: float | None
    """Its share of it: what two processes share counts half. None where the system does not say."""


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures each process of a `rota dev` of its own: idle, under load, and after 2,000 executions of two steps.

    Twenty executions run at a time, and every record is read through the API. What grows over the second thousand is what
    would leak: over the first, caches fill. The API and the worker that the cases before this one ran on are looked at
    first; no `rota dev` started them, so that the one of this case is added to them.
    """
    is_first = not await stack.rota.count_executions()
    await asyncio.sleep(0 if extent.quick or is_first else _SETTLE_SECONDS)  # freed memory goes back by then
    stacked = {name: [psutil.Process(process.pid)] for name, process in stack.rota_processes.items()}
    others = _read(with_supervisors(stacked))
    executions = extent.size(_EXECUTIONS, quick=4)
    with tempfile.TemporaryDirectory(dir=stack.processes.folder) as folder:
        async with running_dev(stack.processes, Path(folder)) as dev:
            idle = await _settled(dev, extent)
            async with _largest(dev) as peak:
                await _run(dev.rota, executions // 2)
                half = await _settled(dev, extent)
                await _run(dev.rota, executions // 2)
            after = await _settled(dev, extent)
    half_count = executions // 2
    grown = [
        *_grown(f"growth over the first {half_count:,} executions", idle, half, None),
        *_grown(f"growth over the last {half_count:,} executions", half, after, _NO_GROWTH),
    ]
    return [
        *_shown("idle", idle, _IDLE_TARGETS),
        *_shown("largest under load", peak, {}),
        *_shown(f"after {executions:,} executions", after, _TOTAL_TARGETS),
        *(
            []
            if is_first
            else _shown("after the cases before", _with_total({**others, _DEV: idle[_DEV]}), _TOTAL_TARGETS)
        ),
        *grown,
    ]


async def _settled(dev: Dev, extent: Extent) -> dict[str, _Memory]:
    """Returns what its processes hold when they have been idle for a while."""
    await asyncio.sleep(0 if extent.quick else _SETTLE_SECONDS)  # freed memory goes back by then
    return _with_total(_read(dev.processes()))


def _read(processes: Mapping[str, Sequence[psutil.Process]]) -> dict[str, _Memory]:
    return {name: _held(members) for name, members in processes.items()}


def _held(processes: Sequence[psutil.Process]) -> _Memory:
    """Returns what processes hold together; one that has just ended holds nothing."""
    rss, pss = 0.0, 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            held = process.memory_full_info()
            rss += held.rss
            # Not every system tells it.
            pss += getattr(held, "pss", math.nan)
    return _Memory(rss / _MEGABYTE, None if math.isnan(pss) else pss / _MEGABYTE)


def _with_total(read: Mapping[str, _Memory]) -> dict[str, _Memory]:
    """Adds the sum of what runs Python."""
    python = [memory for name, memory in read.items() if name != _SERVER]
    shares = [memory.pss for memory in python if memory.pss is not None]
    total = _Memory(sum(memory.rss for memory in python), sum(shares) if len(shares) == len(python) else None)
    return {**read, _PYTHON: total}


@asynccontextmanager
async def _largest(dev: Dev) -> AsyncIterator[dict[str, _Memory]]:
    """Looks every now and then, and gives the largest that it saw of each."""
    largest = _with_total(_read(dev.processes()))

    async def look() -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)  # memory is looked at, it tells nothing
            for name, memory in _with_total(_read(dev.processes())).items():
                largest[name] = max(largest[name], memory, key=lambda seen: seen.rss)

    looking = asyncio.create_task(look())
    try:
        yield largest
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def _run(rota: RotaClient, executions: int) -> None:
    true = find_program("true")
    schedule = await rota.create_schedule([executable(true, step_index=index) for index in range(_STEPS)])
    for begun in range(0, executions, _AT_ONCE):
        await rota.run_at_once([schedule] * min(_AT_ONCE, executions - begun))
        if begun % 100 == 0:
            say(f"  {begun:,} of {executions:,} executions")


def _shown(when: str, read: Mapping[str, _Memory], targets: Mapping[str, Target]) -> list[Measure]:
    measures = []
    for name, memory in read.items():
        measures.append(Measure(f"{name}, {when}", _RSS, (memory.rss,), target=targets.get(name)))
        if memory.pss is not None:
            measures.append(Measure(f"{name}, {when}", "MB PSS", (memory.pss,)))
    return measures


def _grown(
    when: str, before: Mapping[str, _Memory], after: Mapping[str, _Memory], target: Target | None
) -> list[Measure]:
    """Returns by how much each process of Rota's has grown."""
    return [
        Measure(f"{name}, {when}", _RSS, (after[name].rss - before[name].rss,), target=target)
        for name in after
        if name not in {_SERVER, _PYTHON}
    ]


CASE: Final = Case("I", "memory of each process", _measure)
