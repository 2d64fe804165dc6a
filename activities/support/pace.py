"""How long executions hold back what their records do not need at once."""

import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

_LEAST_SECONDS: Final = 0.1
"""Nobody can read a record that changes more often."""

_MOST_SECONDS: Final = 5.0
"""What a list may be behind while fifty executions or more run at once, with the second that a timer may be late."""

_FORGET_SECONDS: Final = 8.0
"""Who has not written for so long waits for a step, and does not write often. What is held back is written by a timer at
the latest, which may be a second late."""

_WRITES_A_SECOND: Final = 10
"""Of one worker, of all its executions together. A write costs it 3 ms of CPU, measured with 50 executions at once (two
cores): these are 3 % of a core."""


class Pace:
    """Shares the writes of a worker among the executions that run there: few write soon, many seldom."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins without executions; `clock` gives seconds."""
        self._clock = clock
        self._wrote: dict[UUID, float] = {}
        """When each execution wrote last; who wrote last stands last."""

    def hold_back_seconds(self, execution_id: UUID) -> float:
        """Takes note that an execution writes; returns for how long it holds back what follows, 0.1 to 5 s."""
        now = self._clock()
        self._wrote.pop(execution_id, None)
        self._wrote[execution_id] = now
        while now - self._wrote[first := next(iter(self._wrote))] > _FORGET_SECONDS:
            del self._wrote[first]
        return min(max(len(self._wrote) / _WRITES_A_SECOND, _LEAST_SECONDS), _MOST_SECONDS)

    def end(self, execution_id: UUID) -> None:
        """Takes note that an execution has ended."""
        self._wrote.pop(execution_id, None)
