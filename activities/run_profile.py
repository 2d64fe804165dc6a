"""The step type `RunProfile`: runs a run profile of a connected system through the system's connector."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from activities.support.registry import all_connectors
from activities.support.settings import opened_settings
from activities.support.step_type import Lookup, StepConfig, StepFailure, StepRun, StepType

_MAX_ID: Final = 2_147_483_647
"""The largest id of JIM and of the catalogue: what 32 bits hold."""


class RunProfileConfig(StepConfig):
    """The fields of a RunProfile step."""

    connected_system_id: int = Field(
        ge=0,
        le=_MAX_ID,
        title="Connected System ID",
        examples=[1],
        description="Connected system that the run works on, from 1; 0 counts as none.",
    )
    run_profile_id: int = Field(
        ge=0,
        le=_MAX_ID,
        title="Run Profile ID",
        examples=[1],
        description="Run profile of that system, from 1; 0 counts as none.",
    )

    @field_validator("connected_system_id", "run_profile_id")
    @classmethod
    def _is_given(cls, value: int) -> int:
        # Clients of JIM whose numbers cannot be null send 0 for none, in steps of other types too.
        if value == 0:
            raise PydanticCustomError("missing", "Field required")
        return value


class RunProfile(StepType[RunProfileConfig]):
    """Runs a run profile (an import, a synchronisation, an export) of a connected system.

    The connected system's connector does the work: `Command` runs a command line, `Jim` has a JIM run it. System and run
    profile are looked up when the execution starts; a step whose system or profile does not exist then fails, saying
    which is missing.
    """

    name = "RunProfile"
    config_model = RunProfileConfig

    async def resolve(self, config: Mapping[str, Any], lookup: Lookup) -> Mapping[str, Any]:
        """Takes the connected system and the run profile into the snapshot."""
        system_id, profile_id = config["connected_system_id"], config["run_profile_id"]
        return {
            "system": await lookup.connected_system(system_id),
            "profile": await lookup.run_profile(system_id, profile_id),
        }

    def display_name(self, config: Mapping[str, Any], resolved: Mapping[str, Any]) -> str | None:
        """Returns `System - Run Profile`."""
        system, profile = resolved["system"], resolved["profile"]
        system_name = system["name"] if system else f"Connected system {config['connected_system_id']}"
        profile_name = profile["name"] if profile else f"run profile {config['run_profile_id']}"
        return f"{system_name} - {profile_name}"

    async def run(self, step: StepRun[RunProfileConfig]) -> None:
        """Lets the connector run the profile."""
        system, profile = step.resolved.get("system"), step.resolved.get("profile")
        if system is None:
            raise StepFailure(f"Connected system {step.config.connected_system_id} does not exist.", retryable=False)
        if profile is None:
            raise StepFailure(
                f"Run profile {step.config.run_profile_id} does not exist on connected system {system['name']!r}.",
                retryable=False,
            )
        connector = all_connectors().get(system["connector_name"])
        if connector is None:
            raise StepFailure(f"This worker has no connector {system['connector_name']!r}.", retryable=False)
        settings = opened_settings(connector.settings_model, system["settings"], step.box)
        run_settings = opened_settings(connector.run_profile_model, profile["settings"], step.box)
        await connector.run(step, settings, run_settings)
