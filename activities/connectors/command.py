"""The connector `Command`: a run is a run of a program."""

from typing import Any

from pydantic import Field

from activities.connectors.connector import Connector, ConnectorSettings
from activities.support.program import run_program
from activities.support.step_type import StepRun


class CommandSettings(ConnectorSettings):
    """The settings of a connected system with the connector `Command`."""

    executable_path: str = Field(
        max_length=500,
        title="Executable path",
        examples=["bin/hr-sync"],
        description="Program that runs the system's run profiles, named as in an Executable step.",
    )
    arguments: str | None = Field(
        default=None,
        max_length=2000,
        title="Arguments",
        examples=["--batch"],
        description="Arguments of every run, split as in an Executable step.",
    )
    working_directory: str | None = Field(
        default=None,
        max_length=500,
        title="Working directory",
        description="Folder in which the program runs, under the script roots. By default the script root that holds "
        "the program.",
    )


class CommandRunProfile(ConnectorSettings):
    """The settings of a run profile with the connector `Command`."""

    arguments: str | None = Field(
        default=None,
        max_length=2000,
        title="Arguments",
        examples=["--import full"],
        description="Arguments of this run profile, added after the system's.",
    )
    working_directory: str | None = Field(
        default=None,
        max_length=500,
        title="Working directory",
        description="Folder in place of the system's.",
    )


class Command(Connector[CommandSettings, CommandRunProfile]):
    """Runs a command line: any synchronisation engine that has one.

    The rules are those of an Executable step: no shell, exit code 0 is success, nothing that it starts outlives it.
    """

    name = "Command"
    settings_model = CommandSettings
    run_profile_model = CommandRunProfile

    async def run(self, step: StepRun[Any], settings: CommandSettings, profile: CommandRunProfile) -> None:
        """Runs the program with the arguments of system and run profile."""
        await run_program(
            step,
            settings.executable_path,
            [settings.arguments, profile.arguments],
            profile.working_directory or settings.working_directory,
        )
