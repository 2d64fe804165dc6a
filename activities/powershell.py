"""The step type `PowerShell`: runs a PowerShell script."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from activities.support.arguments import split_powershell
from activities.support.powershell_errors import powershell_errors
from activities.support.process import Command
from activities.support.program import exit_failure, file_name, run_command
from activities.support.roots import locate_file, root_of
from activities.support.step_type import StepConfig, StepFailure, StepRun, StepType
from activities.support.worker_context import WorkerContext

_QUIET: Final = {
    "LANG": "C.UTF-8",
    # Without these two, colours are written into pipes.
    "TERM": "dumb",
    "NO_COLOR": "1",
    "POWERSHELL_TELEMETRY_OPTOUT": "1",
    "POWERSHELL_UPDATECHECK": "Off",
    # Sockets and pipes for debuggers, left behind by a PowerShell that is killed.
    "POWERSHELL_DIAGNOSTICS_OPTOUT": "1",
    "DOTNET_EnableDiagnostics": "0",
}

_TEMPORARY: Final = "tmp"
_CACHE: Final = "cache"


class PowerShellConfig(StepConfig):
    """The fields of a PowerShell step."""

    script_path: str = Field(
        max_length=500,
        title="Script path",
        examples=["sync/after-import.ps1"],
        description="Script to run, under the script roots of the worker (`ROTA_SCRIPT_ROOTS`). A relative path is "
        "looked for under each of them.",
    )
    arguments: str | None = Field(
        default=None,
        max_length=2000,
        title="Arguments",
        examples=["-Mode Full"],
        description="Arguments, split by PowerShell's quoting: either quote groups, doubled inside it stands for "
        "itself, a backslash is an ordinary character. They are data: nothing is expanded. A switch is `-Flag` or "
        "`-Flag:$false`; arrays cannot be passed.",
    )


class PowerShell(StepType[PowerShellConfig]):
    """Runs a PowerShell script: `pwsh -NoLogo -NoProfile -NonInteractive -File script arguments`.

    An exit code other than 0 is a failure. PowerShell exits with 0 after most errors: where it then wrote something to
    stderr, the step ends as `Completed with Warning`, naming the first error; `$ErrorActionPreference = 'Stop'` in the
    script makes it a failure. The script runs in the script root that holds it, with a temporary folder of its own.
    PowerShell 7 is found by `ROTA_POWERSHELL`.
    """

    name = "PowerShell"
    config_model = PowerShellConfig

    def display_name(self, config: Mapping[str, Any], resolved: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        """Returns the script's file name."""
        return file_name(config["script_path"])

    async def run(self, step: StepRun[PowerShellConfig]) -> None:
        """Runs the script."""
        async with _private_folder() as folder:
            command = await asyncio.to_thread(_command, step, folder)
            # A cancelled run never gets past this line: its exit code, 0 after SIGINT, says nothing.
            code = await run_command(step, command, "scriptPath", file_name(step.config.script_path))
        if code != 0:
            errors = powershell_errors(step.output.stderr_tail)
            raise exit_failure(file_name(step.config.script_path), code, errors[-1] if errors else None)
        if errors := powershell_errors(step.output.stderr_head):
            step.warn(f"{file_name(step.config.script_path)} exited with code 0, but wrote an error: {errors[0]}")


def _command(step: StepRun[PowerShellConfig], folder: Path) -> Command:
    roots = step.worker.script_roots
    script = locate_file(step.config.script_path, "scriptPath", roots)
    words = split_powershell(step.config.arguments or "", "arguments")
    return Command(
        (_powershell(step.worker), "-NoLogo", "-NoProfile", "-NonInteractive", "-File", str(script), *words),
        root_of(script, roots),
        _environment(step.worker, folder),
    )


def _powershell(worker: WorkerContext) -> str:
    found = shutil.which(worker.powershell, path=worker.step_environment.get("PATH"))
    if found is None:
        raise StepFailure(
            f"PowerShell is not found: {worker.powershell}. Install PowerShell 7, or set ROTA_POWERSHELL to the path "
            "of pwsh.",
        )
    return os.path.abspath(found)  # noqa: PTH100 - a link to pwsh stays one


def _environment(worker: WorkerContext, folder: Path) -> dict[str, str]:
    environment = {
        **worker.step_environment,
        **_QUIET,
        "TMPDIR": str(folder / _TEMPORARY),
        "XDG_CACHE_HOME": str(folder / _CACHE),  # -NoProfile does not stop the start-up cache
    }
    # With an empty one PowerShell would write into the current folder, and take modules from there.
    if not environment.get("HOME"):
        environment.pop("HOME", None)
    return environment


@asynccontextmanager
async def _private_folder() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rota-step-"))
    try:
        (folder / _TEMPORARY).mkdir()
        (folder / _CACHE).mkdir()
        yield folder
    finally:
        # Goes on to its end in its thread, even if this is cancelled once more.
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
