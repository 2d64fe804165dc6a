"""B: how long it takes from the request to the first process."""

import subprocess
import time
from typing import Final

from bench.case import Case, Sample, interleaved
from bench.floor import FloorRequest
from bench.report import Measure
from bench.stack import BenchError, Stack, Timed, find_program

_ROUNDS: Final = 30
"""At least so many: a p95 of fewer says little, and a round is short."""

_FORMAT: Final = "+%s%N"
"""Nanoseconds of Unix time, as GNU date prints them."""


async def _measure(stack: Stack, runs: int) -> list[Measure]:
    """Measures runs of one step that prints the time, from the request that starts the run to the time printed.

    The clock is the same on both ends. The start of the program itself, measured apart, is in both sides.
    """
    date = find_program("date")
    rounds = max(runs, _ROUNDS)
    bare = tuple(_bare_start(date) for _ in range(rounds))
    schedule = await stack.create_schedule(
        [{"stepType": "Executable", "executablePath": date, "arguments": _FORMAT}],
    )
    request = FloorRequest([date, _FORMAT], steps=1)

    async def floor() -> Sample:
        return _sample(await stack.run_floor(request))

    async def rota() -> Sample:
        return _sample(await stack.run_rota(schedule))

    measures = await interleaved(rounds, floor, rota)
    return [*measures, Measure("for scale: the program started directly", "ms", rota=bare)]


def _bare_start(date: str) -> float:
    sent_ns = time.time_ns()
    printed = subprocess.run([date, _FORMAT], capture_output=True, text=True, check=True).stdout
    return (_nanoseconds(printed) - sent_ns) / 1e6


def _sample(run: Timed) -> Sample:
    return {"request to process start": (_nanoseconds(run.output) - run.sent_ns) / 1e6}


def _nanoseconds(printed: str) -> int:
    try:
        return int(printed)
    except ValueError:
        raise BenchError(f"date printed {printed!r}: GNU date is needed, which prints nanoseconds") from None


CASE: Final = Case("B", "trigger latency", _measure)
