"""Stored settings of steps and connectors, made ready for use on a worker."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from activities.support.step_type import StepFailure
from runtime.secrets import SecretBox, open_fields, secret_fields

Model = TypeVar("Model", bound=BaseModel)


def opened_settings(model: type[Model], values: Mapping[str, Any], box: SecretBox) -> Model:
    """Returns stored values as their model, secrets in clear.

    Raises:
        StepFailure: They are not valid for this worker's version of the model; nothing of a secret is in the message.
        runtime.secrets.SecretKeyError: A secret was sealed with another key.
    """
    try:
        return model.model_validate(open_fields(model, values, box))
    except ValidationError as error:
        secret = secret_fields(model)
        names = {field.alias: name for name, field in model.model_fields.items()}
        problems = []
        for item in error.errors(include_input=False, include_url=False):
            name = str(item["loc"][0]) if item["loc"] else "settings"
            hidden = names.get(name, name) in secret
            problems.append(f"{name}: {'is not valid' if hidden else item['msg']}")
        raise StepFailure(f"its fields are not valid on this worker: {'; '.join(problems)}", retryable=False) from None
