"""B: how long it takes from the request to the first process."""

import subprocess
import time
from typing import Final

from bench.case import FLOOR, Case, Extent, Quantity, Sample, interleaved
from bench.floor import FloorRequest
from bench.report import Measure, Target
from bench.runs import BenchError, Timed, executable
from bench.stack import Stack, find_program

_ROUNDS: Final = 30
"""At least so many: a p95 of fewer says little, and a round is short."""

_FORMAT: Final = "+%s%N"
"""Nanoseconds of Unix time, as GNU date prints them."""

_START: Final = "request to process start"


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures runs of one step that prints the time, from the request that starts the run to the time printed.

    The clock is the same on both ends. The start of the program itself, measured apart, is in both sides.
    """
    date = find_program("date")
    rounds = extent.rounds(at_least=_ROUNDS)
    bare = tuple(_bare_start(date) for _ in range(rounds))
    schedule = await stack.rota.create_schedule(
        [executable(date, arguments=_FORMAT)],
    )
    request = FloorRequest([date, _FORMAT], steps=1)

    async def floor() -> Sample:
        return _sample(await stack.floor.run(request))

    async def rota() -> Sample:
        return _sample(await stack.rota.run(schedule))

    quantity = Quantity(_START, "ms", {FLOOR: Target("median", "at most", 100)})
    measures = await interleaved(rounds, [quantity], rota, {FLOOR: floor})
    return [*measures, Measure("for scale: the program started directly", "ms", rota=bare)]


def _bare_start(date: str) -> float:
    sent_ns = time.time_ns()
    printed = subprocess.run([date, _FORMAT], capture_output=True, text=True, check=True).stdout
    return (_nanoseconds(printed) - sent_ns) / 1e6


def _sample(run: Timed) -> Sample:
    return {_START: (_nanoseconds(run.output) - run.sent_ns) / 1e6}


def _nanoseconds(printed: str) -> int:
    try:
        return int(printed)
    except ValueError:
        raise BenchError(f"date printed {printed!r}: GNU date is needed, which prints nanoseconds") from None


CASE: Final = Case("B", "trigger latency", _measure)
