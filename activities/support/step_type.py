"""What a step type is, and what it is given when it runs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from activities.support.output import OutputTail
from activities.support.worker_context import WorkerContext
from contracts.execution import StepProgress
from runtime.secrets import SecretBox


class StepConfig(BaseModel):
    """Base of a step type's own fields.

    Attribute names are snake_case, their JSON names camelCase. A field without a default is required; its `title`
    is what messages call it (`Script path is required for PowerShell steps`), its `description` is its
    documentation. Fields that hold secrets are marked with `runtime.secrets.Sealed`.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


Config = TypeVar("Config", bound=StepConfig)


class StepFailure(Exception):
    """A step failed; its message is for people: one line, no trace, no secret."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        """Says what failed, and whether another attempt (`maxAttempts`) can help."""
        super().__init__(message)
        self.retryable = retryable


class Lookup(Protocol):
    """What a step may look up in the catalogue when its snapshot is taken."""

    async def connected_system(self, system_id: int) -> Mapping[str, Any] | None:
        """Returns `name`, `connector_name` and (sealed) `settings` of a connected system, or None."""

    async def run_profile(self, system_id: int, profile_id: int) -> Mapping[str, Any] | None:
        """Returns `name`, `run_type` and (sealed) `settings` of a run profile of that system, or None."""


@dataclass
class StepRun(Generic[Config]):
    """One attempt of a step: what it is given, and where it says how it went."""

    config: Config
    """The step's own fields, secrets in clear."""
    output: OutputTail
    """Takes what the step prints."""
    worker: WorkerContext
    """What this worker allows: script roots, environment of a step, grace period."""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """What `StepType.resolve` had looked up, secrets still sealed."""
    box: SecretBox = field(default_factory=lambda: SecretBox(token_hex()))
    """Opens what is sealed in `resolved`; by default one that opens nothing."""
    attempt: int = 1
    """Number of the attempt, from 1."""
    memo: dict[str, Any] = field(default_factory=dict)
    """Survives into the next attempt, once `remember` was called."""
    resumable: bool = False
    """Set by a step type that can take up, by what it remembers, where this attempt stands: if the worker is stopped or
    lost, another attempt follows that is not held against `maxAttempts`, within the same time limit."""
    is_worker_stopping: Callable[[], bool] = lambda: False
    """Whether `run` is cancelled because the worker stops: what a resumable step has started elsewhere then runs on."""
    on_change: Callable[[], None] = lambda: None
    """Told, in the event loop's thread, whenever progress or memo changed; set by the runner."""

    exit_code: int | None = None
    processes_ended: int = 0
    progress: StepProgress | None = None
    activity_id: str | None = None
    activity_status: str | None = None
    warning: str | None = None

    def report(self, progress: StepProgress) -> None:
        """Shows live how far the step has come."""
        self.progress = progress
        self.on_change()

    def remember(self, **memo: Any) -> None:
        """Keeps values for the next attempt, even if this worker dies."""
        self.memo.update(memo)
        self.on_change()

    def warn(self, message: str) -> None:
        """Lets the step end as `Completed with Warning`, with this one-line message."""
        self.warning = message


class StepType(ABC, Generic[Config]):
    """One type of step. To add one, add a module in `activities/` that defines one subclass.

    The subclass's docstring is its documentation; its `config_model` says which JSON fields it has.
    """

    name: ClassVar[str]
    """`stepType` in the API, and the activity's name in every history: never change it."""
    config_model: ClassVar[type[StepConfig]]
    default_timeout_seconds: ClassVar[int | None] = None
    """Limit of an attempt where the step sets none; None for none."""

    @abstractmethod
    async def run(self, step: StepRun[Config]) -> None:
        """Does the step's work, to its end.

        On a timeout or a cancel the coroutine is cancelled: it must end everything that it started before it lets
        `asyncio.CancelledError` go on.

        Raises:
            StepFailure: The step failed.
        """

    def display_name(self, config: Mapping[str, Any], resolved: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        """Returns what an execution calls a step that has no name of its own.

        Args:
            config: The step's stored fields, by attribute name, secrets sealed.
            resolved: What `resolve` answered.
        """
        return None

    async def resolve(self, config: Mapping[str, Any], lookup: Lookup) -> Mapping[str, Any]:  # noqa: ARG002
        """Returns what the step needs from the catalogue, looked up when the snapshot is taken.

        It travels with the step, so that no worker needs the database. Secrets in it stay sealed.
        """
        return {}
