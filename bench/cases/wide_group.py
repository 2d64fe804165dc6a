"""D: many steps at once."""

from dataclasses import replace
from functools import partial
from typing import Final

from bench.case import FLOOR, NO_HEARTBEAT, Case, Extent, Quantity, Sample, interleaved
from bench.floor import FloorRequest
from bench.report import Measure, Target
from bench.runs import executable
from bench.stack import Stack, find_program

_STEPS: Final = 50

_WALL: Final = "whole group"


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures runs of one step group of 50 steps of `true`, from the answer to the request to the end."""
    steps = extent.size(_STEPS, quick=5)
    true = find_program("true")
    schedule = await stack.rota.create_schedule([executable(true)] * steps)
    request = FloorRequest([true], steps, at_once=True)

    async def bare(request: FloorRequest) -> Sample:
        return {_WALL: (await stack.floor.run(request)).run_ms}

    async def rota() -> Sample:
        return {_WALL: (await stack.rota.run(schedule)).run_ms}

    sides = {
        FLOOR: partial(bare, request),
        NO_HEARTBEAT: partial(bare, replace(request, heartbeat=False)),
    }
    quantity = Quantity(_WALL, "ms", {FLOOR: Target("ratio", "at most", 1.2)})
    return await interleaved(extent.rounds(), [quantity], rota, sides)


CASE: Final = Case("D", f"one group of {_STEPS} steps", _measure)
