"""The step type `Executable`: runs a program."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from activities.support.program import file_name, run_program
from activities.support.step_type import StepConfig, StepRun, StepType


class ExecutableConfig(StepConfig):
    """The fields of an Executable step."""

    executable_path: str = Field(
        max_length=500,
        title="Executable path",
        examples=["bin/export-report"],
        description="Program to run, under the script roots of the worker (`ROTA_SCRIPT_ROOTS`). A relative path is "
        "looked for under each of them, a bare name (`python3`) then on the PATH of the worker: what is found there is "
        "refused where it lies outside the script roots, links resolved.",
    )
    arguments: str | None = Field(
        default=None,
        max_length=2000,
        title="Arguments",
        examples=["--format csv"],
        description="Arguments, split by the rules of the worker's platform (on POSIX those of a shell: quotes group, "
        "a backslash escapes); nothing is expanded.",
    )
    working_directory: str | None = Field(
        default=None,
        max_length=500,
        title="Working directory",
        description="Folder in which the program runs, under the script roots. By default the script root that holds "
        "the program.",
    )


class Executable(StepType[ExecutableConfig]):
    """Runs a program, without a shell.

    Exit code 0 is success, any other a failure. The program gets the step environment (`ROTA_STEP_ENV`), an empty
    stdin and a session of its own; what it printed last is kept. When it ends, times out or is cancelled, everything
    that it started is ended: asked to first (SIGTERM), killed after the grace period.
    """

    name = "Executable"
    config_model = ExecutableConfig

    def display_name(self, config: Mapping[str, Any], resolved: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        """Returns the program's file name."""
        return file_name(config["executable_path"])

    async def run(self, step: StepRun[ExecutableConfig]) -> None:
        """Runs the program."""
        config = step.config
        await run_program(step, config.executable_path, [config.arguments], config.working_directory)
