"""E: the tasks of a published comparison of workflow engines."""

import shlex
from typing import Final

from bench.case import FLOOR, Case, Extent, Quantity, Sample, interleaved
from bench.floor import FloorRequest
from bench.report import Measure
from bench.runs import BenchError, FloorClient, RotaClient, Schedule, Timed, executable
from bench.stack import FIBONACCI, PYTHON, Stack

_LIGHT_TASKS: Final = 40
_LIGHT_NUMBER: Final = 10
_HEAVY_TASKS: Final = 10
_HEAVY_NUMBER: Final = 33

_LIGHT: Final = f"{_LIGHT_TASKS} light tasks"
_HEAVY: Final = f"{_HEAVY_TASKS} heavy tasks"

_ROUNDS: Final = 3
"""At most: a heavy task is all CPU, and varies little."""


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures 40 sequential tasks that compute fibonacci(10), and 10 that compute fibonacci(33), from request to end.

    The comparison is Windmill's (windmill.dev/docs/misc/benchmarks/competitors): there, most engines computed it inside
    their worker. Here a task is a Python process of its own, on both sides.
    """
    light = await _Flow.create(stack, extent.size(_LIGHT_TASKS, quick=2), _LIGHT_NUMBER)
    heavy = await _Flow.create(stack, extent.size(_HEAVY_TASKS, quick=1), extent.size(_HEAVY_NUMBER, quick=15))

    async def floor() -> Sample:
        return {_LIGHT: await light.run_floor(stack.floor), _HEAVY: await heavy.run_floor(stack.floor)}

    async def rota() -> Sample:
        return {_LIGHT: await light.run_rota(stack.rota), _HEAVY: await heavy.run_rota(stack.rota)}

    quantities = [Quantity(_LIGHT, "s"), Quantity(_HEAVY, "s")]
    return await interleaved(extent.rounds(at_most=_ROUNDS), quantities, rota, {FLOOR: floor})


class _Flow:
    """Tasks one after another, for both sides."""

    def __init__(self, schedule: Schedule, request: FloorRequest, number: int) -> None:
        self._schedule = schedule
        self._request = request
        self._printed = f"{_fibonacci(number)}\n"

    @classmethod
    async def create(cls, stack: Stack, tasks: int, number: int) -> "_Flow":
        # Isolated and without site-packages: the start of Python is not what is compared.
        arguments = ["-I", "-S", str(FIBONACCI), str(number)]
        steps = [executable(PYTHON, step_index=index, arguments=shlex.join(arguments)) for index in range(tasks)]
        return cls(await stack.rota.create_schedule(steps), FloorRequest([PYTHON, *arguments], tasks), number)

    async def run_floor(self, client: FloorClient) -> float:
        return self._seconds(await client.run(self._request))

    async def run_rota(self, client: RotaClient) -> float:
        return self._seconds(await client.run(self._schedule))

    def _seconds(self, run: Timed) -> float:
        if run.output != self._printed:
            raise BenchError(f"a task printed {run.output!r} in place of {self._printed!r}")
        return run.total_ms / 1000


def _fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


CASE: Final = Case("E", f"{_LIGHT} and {_HEAVY}, as published", _measure)
