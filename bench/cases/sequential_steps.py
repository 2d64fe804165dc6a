"""A: what a step costs in a long row of them."""

from typing import Final

from bench.case import Case, Sample, interleaved
from bench.floor import FloorRequest
from bench.report import Measure
from bench.stack import Stack, Timed, find_program

_STEPS: Final = 40


async def _measure(stack: Stack, runs: int) -> list[Measure]:
    """Measures runs of 40 steps, each of which starts `true`.

    The wall of a step is the time from the answer to the request that starts the run (202 of the API, the server's
    answer to `start_workflow`) to its end, over 40. The whole run counts from the moment the request is sent: for
    Rota the snapshot of the 40 steps is in it.
    """
    true = find_program("true")
    schedule = await stack.create_schedule(
        [{"stepType": "Executable", "executablePath": true, "stepIndex": index} for index in range(_STEPS)],
    )
    request = FloorRequest([true], _STEPS)

    async def floor() -> Sample:
        return _sample(await stack.run_floor(request))

    async def rota() -> Sample:
        return _sample(await stack.run_rota(schedule))

    return await interleaved(runs, floor, rota)


def _sample(run: Timed) -> Sample:
    return {"wall a step": run.run_ms / _STEPS, "whole run": run.total_ms}


CASE: Final = Case("A", f"{_STEPS} sequential steps of /bin/true", _measure)
