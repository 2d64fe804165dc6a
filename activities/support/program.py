"""Runs a program for a step: what Executable steps and connectors with a command line have in common."""

import asyncio
import errno
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from activities.support.arguments import split_arguments
from activities.support.output import last_line
from activities.support.process import Command, run_process
from activities.support.roots import locate_folder, locate_program, root_of
from activities.support.step_type import StepFailure, StepRun


async def run_program(
    step: StepRun[Any],
    executable_path: str,
    arguments: Iterable[str | None],
    working_directory: str | None,
) -> None:
    """Runs an executable in the step environment, without a shell; exit code 0 is success.

    Args:
        step: Takes output, exit code and the number of processes ended.
        executable_path: Names the program, as `locate_program` reads it.
        arguments: Texts that are each split by the platform's rules, and added to each other.
        working_directory: None for the script root that holds the program.

    Raises:
        StepFailure: It cannot be run, or exited with another code; messages name the JSON field.
    """
    # In a thread: a script root may be a network share.
    command = await asyncio.to_thread(_command, step, executable_path, arguments, working_directory)
    code = await run_command(step, command, "executablePath", file_name(executable_path))
    if code != 0:
        detail = last_line(step.output.stderr_tail) or step.output.last_line
        raise exit_failure(file_name(executable_path), code, detail)


async def run_command(step: StepRun[Any], command: Command, field: str, name: str) -> int:
    """Runs a command for a step and returns its exit code.

    Raises:
        StepFailure: It cannot be run; the message names `field`, the JSON field, and `name`.
    """

    def on_ended(count: int) -> None:
        step.processes_ended += count

    try:
        step.exit_code = await run_process(command, step.output, grace=step.worker.kill_grace, on_ended=on_ended)
    except ChildProcessError as error:
        raise StepFailure(f"{name} was lost: {error.strerror}") from None
    except OSError as error:
        raise StepFailure(f"{field}: {name} cannot be run: {error.strerror}{_hint(error)}") from None
    return step.exit_code


def exit_failure(name: str, code: int, detail: str | None) -> StepFailure:
    """Returns the failure of a program that exited with a code other than 0; `detail` is what it said last."""
    if code < 0:
        return StepFailure(f"{name} was killed by {_signal_name(-code)}")
    return StepFailure(f"{name} exited with code {code}" + (f": {detail}" if detail else ""))


def file_name(path: str) -> str:
    """Returns the last part of a path of either platform, as the API's may differ from the worker's."""
    return re.split(r"[\\/]", path)[-1] or path


def _command(
    step: StepRun[Any],
    executable_path: str,
    arguments: Iterable[str | None],
    working_directory: str | None,
) -> Command:
    roots, environment = step.worker.script_roots, step.worker.step_environment
    program = locate_program(executable_path, "executablePath", roots, environment)
    words = [word for text in arguments if text for word in split_arguments(text, "arguments")]
    cwd: Path = (
        locate_folder(working_directory, "workingDirectory", roots) if working_directory else root_of(program, roots)
    )
    return Command((str(program), *words), cwd, environment)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _hint(error: OSError) -> str:
    """Returns what the system's word for an error does not say."""
    if error.errno == errno.ENOEXEC:
        return "; a script needs a first line that names its interpreter (#!)"
    if error.errno == errno.ENOENT:  # of a file that is there
        return "; the interpreter that its first line names (#!) is missing"
    return ""
