"""J: how soon Rota is there."""

import tempfile
import time
from pathlib import Path
from typing import Final

from bench.case import Case, Extent, Quantity, Sample, interleaved
from bench.dev import running_dev
from bench.report import Measure
from bench.stack import Stack

_ROUNDS: Final = 5

_FIRST: Final = "first start"
_SECOND: Final = "second start"
_SERVER: Final = "stock server alone"


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures from the start of `rota dev` to the moment at which its API is ready and its worker polls.

    First with no data folder, then again with the one that the first start left. What it is compared with is a Temporal
    server alone, from its start to its first answer.
    """

    async def server() -> Sample:
        began = time.perf_counter()
        async with stack.stock_server():
            seconds = time.perf_counter() - began
        return {_FIRST: seconds, _SECOND: seconds}

    async def rota() -> Sample:
        with tempfile.TemporaryDirectory(dir=stack.processes.folder) as folder:
            async with running_dev(stack.processes, Path(folder) / "data") as first:
                pass
            async with running_dev(stack.processes, Path(folder) / "data") as second:
                pass
            return {_FIRST: first.seconds, _SECOND: second.seconds}

    quantities = [Quantity(_FIRST, "s"), Quantity(_SECOND, "s")]
    return await interleaved(extent.rounds(at_most=_ROUNDS), quantities, rota, {_SERVER: server})


CASE: Final = Case("J", "start of rota dev to ready", _measure)
