"""C: many executions at once."""

from typing import Final

from bench.case import FLOOR, Case, Extent, Quantity, Sample, interleaved
from bench.floor import FloorRequest
from bench.report import Measure, Target
from bench.runs import executable
from bench.stack import Stack, find_program

_EXECUTIONS: Final = 50
_STEPS: Final = 4

_RATE: Final = "executions"


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures 50 schedules of 4 sequential steps of `true`, all started at once.

    The rate is the number of executions over the time from the first request to the end of the last execution. Rota's
    requests go through its API.
    """
    executions = extent.size(_EXECUTIONS, quick=3)
    true = find_program("true")
    steps = [executable(true, step_index=index) for index in range(_STEPS)]
    schedules = [await stack.rota.create_schedule(steps) for _ in range(executions)]
    requests = [FloorRequest([true], _STEPS)] * executions

    async def floor() -> Sample:
        return {_RATE: executions / await stack.floor.run_at_once(requests)}

    async def rota() -> Sample:
        return {_RATE: executions / await stack.rota.run_at_once(schedules)}

    quantity = Quantity(_RATE, "1/s", {FLOOR: Target("ratio", "at least", 0.8)})
    return await interleaved(extent.rounds(), [quantity], rota, {FLOOR: floor})


CASE: Final = Case("C", f"{_EXECUTIONS} executions of {_STEPS} steps at once", _measure)
