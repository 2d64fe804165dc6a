"""What the step types add to a snapshot: the name shown, the limit, what they look up in the catalogue."""

from activities.support.registry import step_types
from activities.support.step_type import Lookup
from catalogue.executions import PreparedStep, PrepareStep
from catalogue.schedules import ScheduleStep


def prepare_steps(lookup: Lookup) -> PrepareStep:
    """Returns the function that asks a step's type what its snapshot needs."""

    async def prepare(step: ScheduleStep) -> PreparedStep:
        step_type = step_types().get(step.step_type)
        if step_type is None:
            # Its package was taken away since the step was saved: the step fails when a worker is asked for it.
            return PreparedStep(display_name=None, timeout_seconds=step.timeout_seconds, resolved={})
        resolved = await step_type.resolve(step.config, lookup)
        return PreparedStep(
            display_name=step_type.display_name(step.config, resolved),
            timeout_seconds=step.timeout_seconds or step_type.default_timeout_seconds,
            resolved=resolved,
        )

    return prepare
