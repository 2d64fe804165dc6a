"""`rota executions logs`: what steps printed, or print."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

import httpx

from cli.client import ApiClient, ApiFailure, ExecutionDetail, ExecutionStep
from cli.console import make_console, printable
from contracts.execution import StepStatus

# What the API sends while nothing is printed; no output has it.
_SIGN_OF_LIFE: Final = "\0"

_LISTED: Final = 10
"""Steps that a message names at most."""


def print_logs(
    client: ApiClient, execution: ExecutionDetail, step: str | None, *, attempt: int | None, follow: bool
) -> bool:
    """Prints what one step printed, or every step under a line with its name; returns whether there was anything.

    Args:
        client: The API.
        execution: The execution.
        step: Name of the step, or its id, or the id's first characters; None for all steps, in the order of the plan.
        attempt: Number of one attempt; None for all.
        follow: Whether to go on until the step has ended, or all have.

    Raises:
        ApiFailure: There is no such step, or the API failed, or let go before the step had ended.
    """
    make_console()  # sets what becomes of characters that the terminal's encoding lacks
    if step is not None:
        return _print_step(client, execution, find_step(execution["steps"], step), attempt=attempt, follow=follow)
    printed = False
    for each in execution["steps"]:
        header = ("\n" if printed else "") + f"==> {printable(each['name'])} <==\n"
        printed |= _print_step(client, execution, each, attempt=attempt, follow=follow, header=header)
    return printed


def find_step(steps: Iterable[ExecutionStep], name_or_id: str) -> ExecutionStep:
    """Returns the step of that name, or whose id is or begins so.

    Raises:
        ApiFailure: There is none, or there are several; the message names them.
    """
    known = list(steps)
    found = [step for step in known if step["name"] == name_or_id]
    found = found or [step for step in known if step["id"].startswith(name_or_id.lower())]
    if len(found) == 1:
        return found[0]
    several = found or known
    listed = ", ".join(f"{step['id']} ({step['name']})" for step in several[:_LISTED])
    listed += f" and {len(several) - _LISTED:,} more" if len(several) > _LISTED else ""
    if found:
        raise ApiFailure(f"{name_or_id!r} means several steps; name one by its id: {listed}")
    raise ApiFailure(f"The execution has no step {name_or_id!r}. It has {listed}", status=httpx.codes.NOT_FOUND)


def _print_step(
    client: ApiClient,
    execution: ExecutionDetail,
    step: ExecutionStep,
    *,
    attempt: int | None,
    follow: bool,
    header: str = "",
) -> bool:
    printed = False
    for text in _shown(client.read_output(execution["id"], step["id"], attempt=attempt, follow=follow)):
        sys.stdout.write(text if printed else header + text)
        sys.stdout.flush()
        printed = True
    if follow and not StepStatus(step["status"]).is_terminal:
        _check_ended(client, execution, step, attempt)
    return printed


def _check_ended(client: ApiClient, execution: ExecutionDetail, step: ExecutionStep, attempt: int | None) -> None:
    """Makes sure that the output has ended because the step has, or the attempt."""
    [now] = [each for each in client.get_execution(execution["id"])["steps"] if each["id"] == step["id"]]
    attempts = {ended["number"] for ended in now["attemptHistory"]}
    if not StepStatus(now["status"]).is_terminal and attempt not in attempts:
        raise ApiFailure(
            f"{client.url} let go before {step['name']!r} had ended. Follow it again with the same command."
        )


def _shown(parts: Iterable[str]) -> Iterator[str]:
    """Yields a text as it comes; for a terminal without its sequences, which may come in two parts."""
    held = ""
    is_terminal = sys.stdout.isatty()
    for part in parts:
        text = held + part.replace(_SIGN_OF_LIFE, "")
        held = ""
        if is_terminal:
            cut = text.rfind("\n") + 1
            if "\x1b" in text[cut:] or "\x9b" in text[cut:]:
                text, held = text[:cut], text[cut:]
            text = printable(text)
        if text:
            yield text
    if held:
        yield printable(held)
