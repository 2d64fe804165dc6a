"""`${env:NAME}` in stored settings: a variable of the worker, put in where it is used."""

import re
from collections.abc import Mapping
from typing import Final

from activities.support.step_type import StepFailure

PLACEHOLDER: Final = re.compile(r"\$\{env:([A-Za-z_]\w*)\}")


def expand(text: str, environment: Mapping[str, str], where: str) -> str:
    """Returns a text with the variables that it names put in.

    Args:
        text: The stored text.
        environment: The variables that may be named: `WorkerContext.named_environment`.
        where: What the text is, for messages: `the connection string`.

    Raises:
        StepFailure: It names a variable that this worker does not give to steps.
    """

    def variable(match: re.Match[str]) -> str:
        name = match[1]
        if name.upper().startswith(("ROTA_", "TEMPORAL_")):
            raise StepFailure(
                f"{where} names ${{env:{name}}}: ROTA_* and TEMPORAL_* are never given to steps",
                retryable=False,
            )
        if name not in environment:
            raise StepFailure(
                f"{where} names ${{env:{name}}}, which this worker does not give to steps: set {name}"
                " for the worker and list it in ROTA_STEP_ENV",
                retryable=False,
            )
        return environment[name]

    return PLACEHOLDER.sub(variable, text)
