"""A: what a step costs in a long row of them."""

from dataclasses import replace
from functools import partial
from typing import Final

from bench.case import FLOOR, NO_HEARTBEAT, STOCK, STOCK_FILE, Case, Extent, Quantity, Sample, interleaved
from bench.floor import FloorRequest
from bench.report import Measure, Target
from bench.runs import FloorClient, Timed, executable
from bench.stack import Stack, find_program

_STEPS: Final = 40

_WALL: Final = "wall a step"
_WHOLE: Final = "whole run"

_QUANTITIES: Final = (
    Quantity(
        _WALL,
        "ms",
        # Against a stock server: faster by 1.4.
        {FLOOR: Target("ratio", "at most", 1.25), STOCK: Target("ratio", "at most", 0.71)},
    ),
    Quantity(_WHOLE, "ms"),
)


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures runs of 40 steps, each of which starts `true`.

    The wall of a step is the time from the answer to the request that starts the run (202 of the API, the server's
    answer to `start_workflow`) to its end, over 40. The whole run counts from the moment the request is sent: for
    Rota the snapshot of the 40 steps is in it.
    """
    steps = extent.size(_STEPS, quick=3)
    true = find_program("true")
    schedule = await stack.rota.create_schedule(
        [executable(true, step_index=index) for index in range(steps)],
    )
    request = FloorRequest([true], steps)

    def sample(run: Timed) -> Sample:
        return {_WALL: run.run_ms / steps, _WHOLE: run.total_ms}

    async def rota() -> Sample:
        return sample(await stack.rota.run(schedule))

    async with stack.stock_floor() as stock, stack.stock_floor(keeps=True) as stock_file:

        async def bare(client: FloorClient, request: FloorRequest = request) -> Sample:
            return sample(await client.run(request))

        against = {FLOOR: stack.floor, STOCK: stock, STOCK_FILE: stock_file}
        sides = {name: partial(bare, client) for name, client in against.items()}
        sides[NO_HEARTBEAT] = partial(bare, stack.floor, replace(request, heartbeat=False))
        return await interleaved(extent.rounds(), _QUANTITIES, rota, sides)


CASE: Final = Case("A", f"{_STEPS} sequential steps of /bin/true", _measure)
