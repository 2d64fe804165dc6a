"""Step groups: which steps of a schedule run together."""

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, TypeVar

from catalogue.schedules import ExecutionMode


class Placed(Protocol):
    """What places a step."""

    step_index: int
    execution_mode: ExecutionMode


Step = TypeVar("Step", bound=Placed)


def step_groups(steps: Sequence[Step]) -> list[list[Step]]:
    """Returns the groups in the order in which they run; the steps of a group run concurrently.

    Sorted by `step_index`, then by place in the list; the steps of one index form a group; an index whose steps are all
    `ParallelWithPrevious` joins the group before it.

    Args:
        steps: The steps in the order of the list.
    """
    groups: list[list[Step]] = []
    for _, members in groupby(sorted(steps, key=lambda step: step.step_index), key=lambda step: step.step_index):
        together = list(members)
        joins = all(step.execution_mode == ExecutionMode.PARALLEL_WITH_PREVIOUS for step in together)
        if joins and groups:
            groups[-1].extend(together)
        else:
            groups.append(together)
    return groups
