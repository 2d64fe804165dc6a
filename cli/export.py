"""Schedules as files: what `rota schedules apply` takes back and finds unchanged."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from cli.client import ScheduleDetail
from cli.definitions import DefinitionError, Directory, dump_documents
from cli.difference import READ_ONLY, STEP_DEFAULTS, holds_mask

_UNNAMEABLE: Final = re.compile(r"[^\w.-]+|^\.+")
_MAX_FILE_NAME: Final = 50
"""In characters, of which each may be four bytes; file systems take 255 bytes."""


def schedule_document(schedule: ScheduleDetail, directory: Directory) -> dict[str, Any]:
    """Returns a schedule as a document: what can be set and is, run profiles by name, secrets masked.

    A step has its id where its masked secret could not be found again by the step's name.
    """
    derived = {"cronExpression"} if schedule["patternType"] != "Custom" else set()
    fields = {
        name: value
        for name, value in schedule.items()
        if name not in READ_ONLY | derived | {"steps"} and value is not None
    }
    names = Counter(step["name"] for step in schedule["steps"])
    return fields | {
        "steps": [
            _step_document(step, directory, with_id=not step["name"] or names[step["name"]] > 1)
            for step in schedule["steps"]
        ],
    }


def _step_document(step: Mapping[str, Any], directory: Directory, *, with_id: bool) -> dict[str, Any]:
    left_out = set() if with_id and holds_mask(step) else {"id"}
    shown = {"stepIndex", "stepType"}
    return {
        name: value
        for name, value in directory.with_names(step).items()
        if name not in left_out and value is not None and (name in shown or STEP_DEFAULTS.get(name) != value)
    }


def write_documents(documents: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Writes each document to a file of its own, named after it, and returns the files; those of others stay.

    Raises:
        DefinitionError: The folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.yaml" for name in _file_names(str(document["name"]) for document in documents)]
        for path, document in zip(paths, documents, strict=True):
            _write(path, dump_documents([document]))
    except OSError as error:
        raise DefinitionError(f"{error.filename or folder}: {error.strerror}") from None
    return paths


def _file_names(names: Iterable[str]) -> list[str]:
    """Returns a name for each file: small letters, digits, hyphens; a number where two would be the same."""
    taken: list[str] = []
    for name in names:
        plain = _UNNAMEABLE.sub("-", name.lower())[:_MAX_FILE_NAME].strip("-") or "schedule"
        candidates = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
        taken.append(next(candidate for candidate in candidates if candidate not in taken))
    return taken


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
