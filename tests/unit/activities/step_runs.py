"""Makes the attempts of steps that these tests run, and waits on what they do."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from activities.support.output import OutputTail
from activities.support.step_type import StepConfig, StepRun
from activities.support.worker_context import WorkerContext


def step_run(config: StepConfig | None, root: Path, **worker: Any) -> StepRun[Any]:
    """Returns an attempt on a worker with one script root."""
    context = {
        "script_roots": (root,),
        "step_environment": {"PATH": os.defpath},
        "kill_grace": timedelta(seconds=0.3),
        **worker,
    }
    return StepRun(config=config, output=OutputTail(), worker=WorkerContext(**context))


def write_program(path: Path, text: str) -> str:
    """Writes an executable file and returns its name."""
    path.write_text(text)
    path.chmod(0o755)
    return path.name


async def until(condition: Callable[[], object]) -> None:
    """Waits until a condition holds."""
    while not condition():  # noqa: ASYNC110 - what other processes do sets no event
        await asyncio.sleep(0.01)
