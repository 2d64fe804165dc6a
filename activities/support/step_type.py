"""What a step type is, and what it is given when it runs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic_core import to_jsonable_python

from activities.support.output import OutputTail
from activities.support.worker_context import WorkerContext
from contracts.execution import StepProgress, StepStatus
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

    def __init__(self, message: str, *, retryable: bool = True, status: StepStatus = StepStatus.FAILED) -> None:
        """Says what failed, whether another attempt (`maxAttempts`) can help, and as what the step ends."""
        super().__init__(message)
        self.retryable = retryable
        self.status = status


class Lookup(Protocol):
    """What a step may look up in the catalogue when its snapshot is taken."""

    async def connected_system(self, system_id: int) -> Mapping[str, Any] | None:
        """Returns `name`, `connector_name` and (sealed) `settings` of a connected system, or None."""

    async def run_profile(self, system_id: int, profile_id: int) -> Mapping[str, Any] | None:
        """Returns `name`, `run_type` and (sealed) `settings` of a run profile of that system, or None."""


class Continuity:
    """What a step needs whose work goes on elsewhere when its worker is gone.

    This one is for an attempt that nothing follows; the runner's own asks Temporal.
    """

    async def keep(self) -> None:
        """Returns once what the step remembers is stored: it then outlives this worker."""

    async def hands_over(self) -> bool:
        """Whether another attempt goes on with the work; asked by a coroutine that is being cancelled."""
        return False

    async def take_turn(self, name: str) -> None:
        """Waits until no other step has the turn of this name, and takes it; does nothing where this step has it.

        It stays with the step through all of its attempts, until it is given back or the step's execution has ended.
        """

    async def give_back(self, name: str) -> None:
        """Lets the next step have its turn."""


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
    time_limit: float | None = None
    """Seconds after which the attempt is ended; None for none."""
    memo: dict[str, Any] = field(default_factory=dict)
    """Survives into the next attempt, once `remember` was called."""
    resumable: bool = False
    """Set by a step type that can take up, by what it remembers, where this attempt stands: if the worker is stopped or
    lost, another attempt follows that is not held against `maxAttempts`, within the same time limit."""
    continuity: Continuity = field(default_factory=Continuity)
    """What a resumable step needs of the runner."""
    on_change: Callable[[], None] = lambda: None
    """Told, in the event loop's thread, whenever progress or memo changed; set by the runner."""

    exit_code: int | None = None
    processes_ended: int = 0
    progress: StepProgress | None = None
    activity_id: str | None = None
    activity_status: str | None = None
    warning: str | None = None
    begins_anew: bool = False
    """Set where what is remembered has come to its end: an attempt that follows a failure then begins without it."""
    remark: str | None = None
    """A sentence that follows the message of a timeout or a cancel: what is not as one would expect then."""

    def report(self, progress: StepProgress) -> None:
        """Shows live how far the step has come."""
        self.progress = progress
        self.on_change()

    def remember(self, **memo: Any) -> None:
        """Keeps values for the next attempt, as JSON; what a worker that dies had not yet told Temporal is lost with it."""
        # Plain from here on: of a model on its way through Temporal what is None would be left out.
        self.memo.update(to_jsonable_python(memo))
        self.on_change()

    async def remember_surely(self, **memo: Any) -> None:
        """Keeps values for the next attempt, and returns once they outlive this worker."""
        self.remember(**memo)
        await self.continuity.keep()

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
