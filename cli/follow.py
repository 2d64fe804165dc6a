"""Asking for an execution until it has ended: how often, how long, and through outages of the API."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cli.client import ApiFailure, ExecutionDetail
from cli.summary import has_ended

_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0
# An API that takes long to answer is asked less often than that.
_LONGEST_SLOW_PAUSE: Final = 10.0
_OUTAGE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Sight:
    """What a look at an execution showed."""

    execution: ExecutionDetail | None
    """The latest answer; None before the first."""
    outage: str | None
    """Why there is no newer answer, while the API is away."""


def poll_pause(watched_seconds: float, answer_seconds: float) -> float:
    """Returns the seconds until the next question.

    0.2 s at first, a twentieth of the time watched later, 2 s at most; but at least three times what the last answer
    took, up to 10 s, so that watching a large execution costs the API a quarter of its time at most.
    """
    pause = min(max(watched_seconds / 20, _SHORTEST_PAUSE), _LONGEST_PAUSE)
    return max(pause, min(3 * answer_seconds, _LONGEST_SLOW_PAUSE))


def follow(
    ask: Callable[[], ExecutionDetail],
    *,
    timeout_seconds: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Sight]:
    """Asks for an execution until it has ended or the time is up; yields after each question.

    Raises:
        ApiFailure: The API refused, or was away for a minute, or for as long as the time allowed.
    """
    begin = monotonic()
    latest: ExecutionDetail | None = None
    away_since: float | None = None
    while True:
        asked = monotonic()
        failure: ApiFailure | None = None
        try:
            latest, away_since = ask(), None
        except ApiFailure as error:
            failure = error
            away_since = asked if away_since is None else away_since
            if not error.is_temporary or asked - away_since >= _OUTAGE_SECONDS:
                raise
        yield Sight(latest, failure.message if failure else None)
        if failure is None and latest is not None and has_ended(latest):
            return
        now = monotonic()
        pause = poll_pause(now - begin, now - asked)
        if timeout_seconds is not None:
            left = begin + timeout_seconds - now
            if left <= 0:
                if latest is None and failure is not None:
                    raise failure
                return
            pause = min(pause, left)
        sleep(pause)
