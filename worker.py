"""A worker: settings, client, step types, and the loop that asks Temporal for work. `python worker.py` runs one."""

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client
from temporalio.converter import StorageDriverStoreContext
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

from activities.support.recording import Recorder
from activities.support.registry import step_types
from activities.support.runner import HEARTBEAT_SECONDS, step_activity
from activities.support.upkeep import Upkeep
from activities.support.worker_context import WorkerContext
from catalogue.engine import Catalogue
from runtime.settings import Settings
from runtime.signals import stop_requested
from runtime.temporal import connect_when_up, register_search_attributes
from runtime.triggers import ensure_upkeep
from workflows.schedule_execution import ScheduleExecution
from workflows.upkeep import Upkeep as UpkeepPass

_logger = logging.getLogger(__name__)

WORKFLOWS: Final = (ScheduleExecution, UpkeepPass)

MAX_CACHED_WORKFLOWS: Final = 500


def worker_context(settings: Settings) -> WorkerContext:
    """Returns what a worker with these settings allows its steps."""
    return WorkerContext(
        script_roots=tuple(root.resolve() for root in settings.script_roots),
        step_environment=settings.step_environment(os.environ),
        named_environment=settings.named_environment(os.environ),
        powershell=settings.powershell,
        kill_grace=settings.kill_grace_seconds,
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
    """Returns what runs workflow code: the sandbox, which keeps it deterministic.

    Contracts and pydantic are pure: passing them through saves importing them anew for every workflow.
    """
    return _Runner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("contracts", "pydantic"),
    )


def build_worker(client: Client, catalogue: Catalogue, settings: Settings) -> Worker:
    """Returns a worker for the workflows and every registered step type, not yet running."""
    context = worker_context(settings)
    steps = [step_activity(step_type, context, settings.secret_box) for step_type in step_types().values()]
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=WORKFLOWS,
        activities=[
            *Recorder(catalogue).activities,
            *Upkeep(catalogue, client, settings.task_queue).activities,
            *steps,
        ],
        workflow_runner=workflow_runner(),
        max_cached_workflows=MAX_CACHED_WORKFLOWS,
        max_concurrent_activities=settings.max_concurrent_steps,
        # The server's answer to a heartbeat carries a cancel: a longer throttle would only delay it.
        max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        default_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        graceful_shutdown_timeout=settings.drain_seconds,
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


async def run_worker(settings: Settings) -> None:
    """Runs a worker until the process is asked to stop; then drains: running steps get `ROTA_DRAIN_SECONDS`."""
    async with AsyncExitStack() as stack:
        catalogue = Catalogue(settings.catalogue_url)
        stack.push_async_callback(catalogue.close)
        client = await connect_when_up()
        worker = build_worker(client, catalogue, settings)
        _logger.info("worker %s on task queue %r: %s", client.identity, settings.task_queue, ", ".join(step_types()))
        async with worker:
            keeping = asyncio.create_task(_keep_upkeep(client, settings))
            await stop_requested()
            keeping.cancel()
            _logger.info("stopping: running steps get %s", settings.drain_seconds)
    _logger.info("worker stopped")


if __name__ == "__main__":
    # `python worker.py` is `rota worker`: the same options, settings and messages.
    os.execv(sys.executable, [sys.executable, "-m", "cli.main", "worker", *sys.argv[1:]])  # noqa: S606 - ourselves
