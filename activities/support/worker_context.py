"""What a worker allows its steps: the folders they may name, the environment they get, how they are ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from activities.support.output_store import OutputStore


@dataclass(frozen=True)
class WorkerContext:
    """The part of a worker's settings that steps see."""

    script_roots: tuple[Path, ...] = ()
    """Folders under which every named file, program and folder must lie; none means that nothing may be named."""
    step_environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of a step's process."""
    named_environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that `${env:NAME}` may name: those listed in `ROTA_STEP_ENV`."""
    powershell: str = "pwsh"
    """Path or name of PowerShell."""
    kill_grace: timedelta = timedelta(seconds=5)
    """Time between asking a process to end and killing it."""
    outputs: OutputStore | None = None
    """Where what steps print is stored; None on a worker without the catalogue."""
