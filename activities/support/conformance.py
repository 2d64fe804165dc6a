"""A pytest plugin that holds step types and connectors to what Rota promises of every step.

A package that brings a step type names the plugin in its `conftest.py` and derives one class:

    pytest_plugins = ["activities.support.conformance"]

    class TestHttpCheck(StepTypeConformance):
        step_type = HttpCheck()

        def trials(self, folder: Path) -> Trials:
            return Trials(succeeds=Trial({"url": ...}), fails=Trial({"url": ...}), hangs=Trial({"url": ...}))

Every test makes real attempts with the code that a worker runs; only Temporal's server is left out.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

import pytest
from pydantic import BaseModel
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.connectors.connector import Connector
from activities.run_profile import RunProfile
from activities.support.marker import is_of_this_process, marked_processes
from activities.support.runner import step_activity
from activities.support.step_type import Continuity, StepType
from activities.support.worker_context import WorkerContext
from contracts.execution import OUTPUT_TAIL_BYTES, StepHeartbeat, StepInput, StepOutcome, StepStatus
from contracts.names import STEP_CANCELLED, STEP_FAILED, STEP_TIMED_OUT
from runtime.secrets import MASK, SecretBox, is_sealed, mask_fields, seal_fields, secret_fields

_BOX: Final = SecretBox("the key of the conformance kit")

_LONGEST_MESSAGE: Final = 1000

_PATIENCE_SECONDS: Final = 60
"""A test that waits longer has failed; nothing is measured by it."""


@dataclass(frozen=True)
class Trial:
    """One attempt that a step type is put through."""

    config: Mapping[str, Any]
    """The step's fields, or the run profile's settings, by JSON name or attribute name."""
    system: Mapping[str, Any] = field(default_factory=dict)
    """For a connector: the settings of the connected system."""
    has_begun: Callable[[], bool] | None = None
    """Says whether the attempt has got as far as it should before it is cut off; None: once it has printed a line or
    reported progress."""


@dataclass(frozen=True)
class Trials:
    """The attempts that a step type is put through."""

    succeeds: Trial
    fails: Trial
    """Ends as a failure."""
    hangs: Trial
    """Begins, and does not end by itself."""
    fails_for_good: Trial | None = None
    """Ends as a failure that no other attempt can mend; None where the step type knows none."""
    floods: Trial | None = None
    """Prints 1 MiB or more; None where the step type prints nothing of others."""
    is_left_over: Callable[[], bool] = lambda: False
    """Says whether something of an attempt that has ended still runs. The processes of a step are looked for anyhow."""


def default_worker(folder: Path) -> WorkerContext:
    """Returns a worker whose only script root is a folder, with a short grace period."""
    return WorkerContext(
        script_roots=(folder,),
        step_environment={"PATH": os.defpath},
        kill_grace=timedelta(seconds=0.5),
    )


class _Conformance(ABC):
    """The promises; each test is one."""

    @abstractmethod
    def trials(self, folder: Path) -> Trials:
        """Returns the attempts to make; `folder` is theirs, and the worker's script root."""

    def worker(self, folder: Path) -> WorkerContext:
        """Returns what the worker allows; to be overridden where the step type needs more."""
        return default_worker(folder)

    @abstractmethod
    def _step_type(self) -> StepType[Any]:
        """Returns the step type whose activity is run."""

    @abstractmethod
    def _models(self) -> list[type[BaseModel]]:
        """Returns the models of everything that users fill in."""

    @abstractmethod
    def _input(self, trial: Trial, **fields: Any) -> StepInput:
        """Returns what the activity is told."""

    def _attempt(self, folder: Path, trial: Trial, *, cancel: bool = False, **fields: Any) -> "_Told":
        return asyncio.run(
            _Run(self._step_type(), self.worker(folder), self._input(trial, **fields), trial).to_end(cancel)
        )

    def test_success_is_completed(self, tmp_path: Path) -> None:
        told = self._attempt(tmp_path, self.trials(tmp_path).succeeds)

        assert told.error is None, f"it failed: {told.error}"
        assert told.outcome.status in {StepStatus.COMPLETED, StepStatus.COMPLETED_WITH_WARNING}
        assert told.outcome.completed_at is not None
        assert told.outcome.host

    def test_a_failure_is_a_message_for_people(self, tmp_path: Path) -> None:
        told = self._attempt(tmp_path, self.trials(tmp_path).fails)

        assert told.error is not None, "it did not fail"
        assert told.error.type == STEP_FAILED
        assert told.outcome.status.is_failure
        message = told.error.message
        assert "failed unexpectedly" not in message, "raise StepFailure for what users can mend"
        assert "Traceback" not in message
        assert message == message.strip() != ""
        assert "\n" not in message
        assert len(message) <= _LONGEST_MESSAGE

    def test_a_failure_says_whether_another_attempt_can_help(self, tmp_path: Path) -> None:
        trials = self.trials(tmp_path)

        failed = self._attempt(tmp_path, trials.fails)
        assert failed.error is not None
        assert not failed.error.non_retryable, "raise StepFailure with retryable=True, or choose another failure"
        if trials.fails_for_good is not None:
            final = self._attempt(tmp_path, trials.fails_for_good)
            assert final.error is not None
            assert final.error.non_retryable, "raise StepFailure with retryable=False"

    def test_a_timeout_ends_everything(self, tmp_path: Path) -> None:
        trials = self.trials(tmp_path)

        told = self._attempt(tmp_path, trials.hangs, timeout_seconds=1)

        assert told.error is not None, "it ended by itself"
        assert told.error.type == STEP_TIMED_OUT
        assert told.outcome.message == "Timed out after 1 s."
        self._assert_nothing_left(trials)

    def test_a_cancel_ends_everything(self, tmp_path: Path) -> None:
        trials = self.trials(tmp_path)

        told = self._attempt(tmp_path, trials.hangs, cancel=True)

        assert told.error is not None, "it ended by itself"
        assert told.error.type == STEP_CANCELLED
        assert told.outcome.status is StepStatus.CANCELLED
        self._assert_nothing_left(trials)

    def _assert_nothing_left(self, trials: Trials) -> None:
        assert list(marked_processes(is_of_this_process)) == []
        assert not trials.is_left_over()

    def test_output_is_capped(self, tmp_path: Path) -> None:
        flood = self.trials(tmp_path).floods
        if flood is None:
            pytest.skip("the step type prints nothing of others")

        told = self._attempt(tmp_path, flood)

        size = len(told.outcome.output_tail.encode())
        assert OUTPUT_TAIL_BYTES // 2 < size <= OUTPUT_TAIL_BYTES

    def test_secrets_are_told_to_nobody(self, tmp_path: Path) -> None:
        trials = self.trials(tmp_path)
        for trial in (trials.succeeds, trials.fails):
            told = self._attempt(tmp_path, trial).everything()
            for secret in _secrets(self._models(), trial):
                assert secret not in told, "a secret is in an outcome, a failure or a heartbeat"

    def test_secrets_are_masked_when_shown(self, tmp_path: Path) -> None:
        trials = self.trials(tmp_path)
        for trial, model in product((trials.succeeds, trials.fails), self._models()):
            values = {**trial.system, **trial.config}
            known = {
                name: values[key]
                for name, info in model.model_fields.items()
                for key in (name, info.alias)
                if key in values
            }
            sealed = seal_fields(model, known, _BOX)
            shown = mask_fields(model, sealed, _BOX)
            assert all(is_sealed(sealed[name]) for name in secret_fields(model).keys() & known.keys())
            assert not [secret for secret in _secrets([model], trial) if secret in str(shown)]

    def test_fields_are_documented(self) -> None:
        for model in self._models():
            for name, info in model.model_fields.items():
                assert info.description, f"{name} has no description"
                assert info.title or not info.is_required(), f"{name} is required and has no title"
                assert info.alias, f"{name} has no JSON name: derive the model from StepConfig or ConnectorSettings"


class StepTypeConformance(_Conformance):
    """Holds a step type to the promises."""

    step_type: ClassVar[StepType[Any]]

    def _step_type(self) -> StepType[Any]:
        return self.step_type

    def _models(self) -> list[type[BaseModel]]:
        return [self.step_type.config_model]

    def _input(self, trial: Trial, **fields: Any) -> StepInput:
        return _step_input(config=_sealed(self.step_type.config_model, trial.config), **fields)


class ConnectorConformance(_Conformance):
    """Holds a connector to the promises, as RunProfile steps drive it. It must be installed: in the registry."""

    connector: ClassVar[Connector[Any, Any]]

    def _step_type(self) -> StepType[Any]:
        return RunProfile()

    def _models(self) -> list[type[BaseModel]]:
        return [self.connector.settings_model, self.connector.run_profile_model]

    def _input(self, trial: Trial, **fields: Any) -> StepInput:
        system = {
            "name": "Conformance",
            "connector_name": self.connector.name,
            "settings": _sealed(self.connector.settings_model, trial.system),
        }
        profile = {
            "name": "Trial",
            "run_type": "FullImport",
            "settings": _sealed(self.connector.run_profile_model, trial.config),
        }
        return _step_input(
            config={"connected_system_id": 1, "run_profile_id": 1},
            resolved={"system": system, "profile": profile},
            **fields,
        )


def _step_input(**fields: Any) -> StepInput:
    return StepInput(execution_id=uuid4(), schedule_name="Conformance", step_id=uuid4(), name="trial", **fields)


def _sealed(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values by attribute name, as the catalogue keeps them."""
    checked = model.model_validate(values)
    return seal_fields(model, checked.model_dump(mode="json", exclude_none=True), _BOX)


def _secrets(models: list[type[BaseModel]], trial: Trial) -> set[str]:
    """Returns what of a trial's secrets is hidden by their masks."""
    values = {**trial.system, **trial.config}
    secrets = set()
    for model in models:
        for name, marker in secret_fields(model).items():
            value = values.get(name, values.get(model.model_fields[name].alias or name))
            if value is not None:
                before, masked, after = marker.mask(value).partition(MASK)
                if masked:
                    secrets.add(value.removeprefix(before).removesuffix(after))
    return secrets


@dataclass
class _Told:
    """What an attempt told: its outcome, its failure, its heartbeats."""

    outcome: StepOutcome
    error: ApplicationError | None
    heartbeats: list[StepHeartbeat]

    def everything(self) -> str:
        failure = [str(self.error), str(self.error.details), repr(self.error.__cause__)] if self.error else []
        return "\n".join(
            [self.outcome.model_dump_json(), *failure, *(beat.model_dump_json() for beat in self.heartbeats)]
        )


class _Run:
    """One attempt, made with the code that a worker runs."""

    def __init__(self, step_type: StepType[Any], worker: WorkerContext, step: StepInput, trial: Trial) -> None:
        # Without a server no attempt follows another.
        self._activity = step_activity(step_type, worker, _BOX, lambda _: Continuity())
        self._step = step
        self._trial = trial
        self._heartbeats: list[StepHeartbeat] = []
        self._environment = ActivityEnvironment()
        self._environment.on_heartbeat = self._heartbeats.append

    async def to_end(self, cancel: bool) -> _Told:  # noqa: FBT001 - private, and named where it is asked for
        async with asyncio.timeout(_PATIENCE_SECONDS):
            task = asyncio.ensure_future(self._environment.run(self._activity, self._step))
            if cancel:
                while not (self._has_begun() or task.done()):
                    await asyncio.sleep(0.02)  # `has_begun` is a plain question: nothing wakes who waits
                self._environment.cancel(ActivityCancellationDetails(cancel_requested=True))
            try:
                return _Told(await task, None, self._heartbeats)
            except ApplicationError as error:
                [outcome] = error.details
                return _Told(outcome, error, self._heartbeats)

    def _has_begun(self) -> bool:
        if self._trial.has_begun is not None:
            return self._trial.has_begun()
        return any(beat.progress is not None for beat in self._heartbeats)
