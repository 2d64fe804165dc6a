"""What a version keeps of secrets: whether they are the same, and with another key nothing."""

from uuid import UUID, uuid4

from api.services.change_history import state_of
from catalogue.schedules import Schedule, ScheduleStep
from runtime.secrets import MASK, SecretBox

BOX, OTHER_BOX = SecretBox("a key of these tests"), SecretBox("another key of these tests")
SCHEDULE = Schedule(name="S")
STEP_ID = uuid4()


def sealed(secret: str, step_id: UUID = STEP_ID) -> ScheduleStep:
    config = {"sql_connection_string": BOX.seal(f"postgresql://u:{secret}@db/hr"), "sql_script_path": "a.sql"}
    return ScheduleStep(id=step_id, schedule_id=SCHEDULE.id, position=0, step_type="SqlScript", config=config)


def test_the_same_secret_sealed_twice_is_the_same_state() -> None:
    first, again, other = (state_of(SCHEDULE, [sealed(secret)], BOX) for secret in ("one", "one", "two"))

    assert first == again
    assert first.snapshot == other.snapshot
    assert first != other


def test_equal_secrets_of_two_steps_do_not_show_that_they_are_equal() -> None:
    state = state_of(SCHEDULE, [sealed("one"), sealed("one", uuid4())], BOX)

    assert len(set(state.secrets.values())) == 2


def test_a_secret_that_cannot_be_opened_is_kept_masked_whole() -> None:
    state = state_of(SCHEDULE, [sealed("one")], OTHER_BOX)

    assert state.snapshot["steps"][0]["sqlConnectionString"] == MASK
    assert state.secrets == {f"{STEP_ID}/sqlConnectionString": None}
