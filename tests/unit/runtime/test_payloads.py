import importlib
import inspect
import pkgutil
from types import NoneType
from typing import get_args
from uuid import UUID

from pydantic import BaseModel

import contracts
from contracts.execution import StepInput, StepOutcome, StepStatus
from runtime.temporal import data_converter

MODULES = [importlib.import_module(found.name) for found in pkgutil.iter_modules(contracts.__path__, "contracts.")]
MODELS = {
    model
    for module in MODULES
    for _, model in inspect.getmembers(module, inspect.isclass)
    if issubclass(model, BaseModel)
}


def test_what_may_be_none_is_none_where_it_is_left_out() -> None:
    """A payload leaves out what is None: another default would be read in its place."""
    nullable = {
        f"{model.__name__}.{name}": field
        for model in MODELS
        for name, field in model.model_fields.items()
        if NoneType in get_args(field.annotation)
    }

    assert len(nullable) > 30
    assert [name for name, field in nullable.items() if field.is_required() or field.get_default() is not None] == []


async def test_a_payload_leaves_out_what_is_none_and_is_read_as_it_was() -> None:
    step = StepInput(
        execution_id=UUID(int=1),
        schedule_name="n",
        step_id=UUID(int=2),
        name="s",
        timeout_seconds=None,
        config={"arguments": None, "list": [None]},
        resolved={},
        memo={"run": None},
    )
    outcome = StepOutcome(status=StepStatus.COMPLETED)

    payloads = await data_converter.encode([step, outcome, None])

    assert b'"timeout_seconds"' not in payloads[0].data
    assert b'"arguments":null' in payloads[0].data, "what a step is configured with is not a field of a model"
    assert b"null" not in payloads[1].data
    assert await data_converter.decode(payloads, [StepInput, StepOutcome, NoneType]) == [step, outcome, None]
