"""What a connector is: the way in which RunProfile steps drive one kind of connected system."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from activities.support.step_type import StepRun


class ConnectorSettings(BaseModel):
    """Base of the settings of a connected system, and of those of a run profile.

    Attribute names are snake_case, their JSON names camelCase. A field without a default is required. Fields that hold
    secrets are marked with `runtime.secrets.Sealed`.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


System = TypeVar("System", bound=ConnectorSettings)
Profile = TypeVar("Profile", bound=ConnectorSettings)


class Connector(ABC, Generic[System, Profile]):
    """One kind of connected system. To add one, add a module in `activities/connectors/` that defines one subclass.

    The subclass's docstring is its documentation; its two models say which settings there are.
    """

    name: ClassVar[str]
    """`connectorName` in the API, stored with every connected system: never change it."""
    settings_model: ClassVar[type[ConnectorSettings]]
    """Settings of a connected system."""
    run_profile_model: ClassVar[type[ConnectorSettings]]
    """Settings of a run profile."""

    @abstractmethod
    async def run(self, step: StepRun[Any], settings: System, profile: Profile) -> None:
        """Runs a run profile to its end; the same holds as for `StepType.run`.

        Args:
            step: The attempt: what it is given, and where it says how it went.
            settings: Settings of the connected system, secrets in clear.
            profile: Settings of the run profile, secrets in clear.

        Raises:
            StepFailure: The run failed.
        """
