"""How long executions hold back what their records do not need at once."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from activities.support.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_few_executions_write_soon_and_many_seldom() -> None:
    pace = Pace(Clock())

    held = [pace.hold_back_seconds(UUID(int=number)) for number in range(300)]

    assert held[0] == 0.1
    assert held[19] == 2.0
    assert held[-1] == 5.0
    assert held == sorted(held)


def test_an_execution_counts_once_and_until_it_ends() -> None:
    pace = Pace(Clock())
    for number in range(30):
        pace.hold_back_seconds(UUID(int=number))

    assert pace.hold_back_seconds(UUID(int=7)) == 3.0
    for number in range(1, 30):
        pace.end(UUID(int=number))
    pace.end(UUID(int=1))

    assert pace.hold_back_seconds(UUID(int=0)) == 0.1


def test_an_execution_that_waits_for_a_step_does_not_count() -> None:
    clock = Clock()
    pace = Pace(clock)
    for number in range(50):
        pace.hold_back_seconds(UUID(int=number))

    clock.now = 8.5

    assert pace.hold_back_seconds(UUID(int=50)) == 0.1


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 3))))
def test_the_hold_is_never_outside_its_bounds(writes: list[tuple[int, float]]) -> None:
    clock = Clock()
    pace = Pace(clock)
    for number, later in writes:
        clock.now += later
        assert 0.1 <= pace.hold_back_seconds(UUID(int=number)) <= 5.0
