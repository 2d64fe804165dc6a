"""A worker: settings, client, step types, and the loop that asks Temporal for work. `python worker.py` runs one."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final, TypedDict

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client
from temporalio.converter import StorageDriverStoreContext
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

from activities.support.marker import end_orphans
from activities.support.output_store import OutputStore
from activities.support.recording import Recorder
from activities.support.registry import step_types
from activities.support.retention import Retention
from activities.support.runner import HEARTBEAT_SECONDS, step_activity
from activities.support.upkeep import Upkeep
from activities.support.worker_context import WorkerContext
from catalogue.engine import Catalogue
from contracts.ids import step_task_queue
from runtime.memory import collect_new_objects_alone, give_back_freed_memory
from runtime.secrets import SecretBox
from runtime.settings import Settings
from runtime.signals import stop_requested
from runtime.temporal import connect_when_up, register_search_attributes, take_native_logs
from runtime.triggers import ensure_upkeep
from workflows.schedule_execution import ScheduleExecution
from workflows.upkeep import Upkeep as UpkeepPass

_logger = logging.getLogger(__name__)

WORKFLOWS: Final = (ScheduleExecution, UpkeepPass)

MAX_CACHED_WORKFLOWS: Final = 500


def worker_context(settings: Settings, catalogue: Catalogue | None) -> WorkerContext:
    """Returns what a worker with these settings allows its steps, and with this catalogue, if it has one."""
    return WorkerContext(
        script_roots=tuple(root.resolve() for root in settings.script_roots),
        step_environment=settings.step_environment(os.environ),
        named_environment=settings.named_environment(os.environ),
        powershell=settings.powershell,
        kill_grace=settings.kill_grace_seconds,
        outputs=OutputStore(catalogue, settings.output_bytes) if catalogue else None,
    )


class _Runner(SandboxedWorkflowRunner):
    """The sandbox, less what costs much and tells nothing.

    For every payload the SDK enters the sandbox to ask for a context that codecs and external storage may want: measured,
    22 times and 3 ms of CPU a step. Rota's data converter has neither.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Instance(super().create_instance(det))


class _Instance(WorkflowInstance):
    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._sandboxed.activate(act)

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()

    def get_serialization_context(self, command_info: object) -> None:
        del command_info

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:
        del command_info
        return StorageDriverStoreContext(target=None)


def workflow_runner() -> WorkflowRunner:
    """Returns what runs workflow code: the sandbox, with the workflows' own modules imported once.

    Imported anew for every execution they cost 9 ms of CPU each time, and an execution that begins while the files are
    replaced would run the new ones. That they do nothing that is not deterministic is what the tests see to, in a
    sandbox that imports them (docs/adr/0023-workflows-imported-once.md).
    """
    return _Runner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("contracts", "pydantic", "workflows"),
    )


class _Limits(TypedDict):
    """What every worker is held to."""

    max_concurrent_activities: int
    max_heartbeat_throttle_interval: timedelta
    default_heartbeat_throttle_interval: timedelta
    graceful_shutdown_timeout: timedelta


def _step_activities(settings: Settings, catalogue: Catalogue | None) -> list[Callable[..., Any]]:
    context, box = worker_context(settings, catalogue), SecretBox(settings.sealing_key)
    return [step_activity(step_type, context, box) for step_type in step_types().values()]


def _limits(settings: Settings) -> _Limits:
    return {
        "max_concurrent_activities": settings.max_concurrent_steps,
        # The server's answer to a heartbeat carries a cancel: a longer throttle would only delay it.
        "max_heartbeat_throttle_interval": timedelta(seconds=HEARTBEAT_SECONDS),
        "default_heartbeat_throttle_interval": timedelta(seconds=HEARTBEAT_SECONDS),
        "graceful_shutdown_timeout": settings.drain_seconds,
    }


def build_pool_worker(client: Client, pool: str, settings: Settings, catalogue: Catalogue | None = None) -> Worker:
    """Returns a worker for the steps of one worker pool alone, not yet running. With a catalogue it stores their output."""
    return Worker(
        client,
        task_queue=step_task_queue(settings.task_queue, pool),
        activities=_step_activities(settings, catalogue),
        **_limits(settings),
    )


def _retention(catalogue: Catalogue, settings: Settings) -> Retention:
    return Retention(
        catalogue,
        output=timedelta(days=settings.output_retention_days),
        executions=timedelta(days=settings.retention_days) if settings.retention_days else None,
    )


def build_worker(client: Client, catalogue: Catalogue, settings: Settings) -> Worker:
    """Returns a worker for the workflows and every registered step type, not yet running."""
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=WORKFLOWS,
        activities=[
            *Recorder(catalogue).activities,
            *Upkeep(catalogue, client, settings.task_queue).activities,
            *_retention(catalogue, settings).activities,
            *_step_activities(settings, catalogue),
        ],
        workflow_runner=workflow_runner(),
        max_cached_workflows=MAX_CACHED_WORKFLOWS,
        **_limits(settings),
    )


async def _keep_upkeep(client: Client, settings: Settings) -> None:
    """Sees to it, again and again, that the upkeep runs: a wiped server has forgotten it too."""
    while True:
        try:
            await register_search_attributes(client)
            await ensure_upkeep(client, settings.task_queue, settings.upkeep_seconds)
        except RPCError as error:
            _logger.warning("the upkeep cannot be looked after now: %s", error.message)
        await asyncio.sleep(settings.upkeep_seconds.total_seconds())


async def run_worker(settings: Settings, pools: Sequence[str] = ()) -> None:
    """Runs a worker until the process is asked to stop; then drains: running steps get `ROTA_DRAIN_SECONDS`.

    Args:
        settings: Rota's settings.
        pools: Serve the steps of these worker pools alone, for which the catalogue is not needed: where
            `ROTA_DATABASE_URL` names it, their output is stored there. None of them: executions, and the steps that
            name no pool.
    """
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(end_orphans, settings.kill_grace_seconds)
        take_native_logs()
        if not settings.script_roots:
            _logger.warning(
                "steps that run a script or a program will fail on this worker: it has no script roots. "
                "Set ROTA_SCRIPT_ROOTS to the folders that steps may use."
            )
        client = await connect_when_up()
        catalogue = None
        if settings.database_url or not pools:
            catalogue = Catalogue(settings.catalogue_url)
            stack.push_async_callback(catalogue.close)
        if pools or catalogue is None:
            workers = [build_pool_worker(client, pool, settings, catalogue) for pool in dict.fromkeys(pools)]
        else:
            workers = [build_worker(client, catalogue, settings)]
        collect_new_objects_alone()
        for worker in workers:
            await stack.enter_async_context(worker)
            _logger.info("worker %s on task queue %r: %s", client.identity, worker.task_queue, ", ".join(step_types()))
        beside = [asyncio.create_task(give_back_freed_memory())]
        if not pools:
            beside.append(asyncio.create_task(_keep_upkeep(client, settings)))
        await stop_requested()
        for task in beside:
            task.cancel()
        _logger.info("stopping: running steps get %s", settings.drain_seconds)
    _logger.info("worker stopped")


if __name__ == "__main__":
    # `python worker.py` is `rota worker`: the same options, settings and messages.
    os.execv(sys.executable, [sys.executable, "-m", "cli.main", "worker", *sys.argv[1:]])  # noqa: S606 - ourselves
