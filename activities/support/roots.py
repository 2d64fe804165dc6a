"""Script roots: the folders under which everything lies that a step names.

`field` is the JSON field that names the path, for messages. A relative path is looked for under each root in turn.
Symlinks are resolved first, and what is returned is the resolved path, so that a link changed later leads nowhere else.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from activities.support.step_type import StepFailure


def locate(named: str, field: str, roots: Sequence[Path]) -> Path:
    """Returns the resolved path of what a field names; it need not exist.

    Raises:
        StepFailure: It is outside the script roots, or no path at all.
    """
    if not roots:
        raise StepFailure(
            f"{field}: {named} is outside the script roots: this worker has none, so nothing runs that names a path. "
            "Set ROTA_SCRIPT_ROOTS to the folders that steps may use.",
            retryable=False,
        )
    if not named.strip():
        raise StepFailure(f"{field} is empty", retryable=False)
    try:
        candidates = [root / named for root in roots]  # an absolute path stays as it is
        path = next((path for path in candidates if os.path.lexists(path)), candidates[0]).resolve()
        path.exists()  # says what its callers need not expect: a name too long, a folder that may not be searched
    except (OSError, RuntimeError, ValueError) as error:  # also a loop of links, a NUL
        raise StepFailure(f"{field}: {named!r} is not a path that can be followed: {error}", retryable=False) from None
    _check_inside(path, named, field, roots)
    return path


def locate_file(named: str, field: str, roots: Sequence[Path]) -> Path:
    """Returns the resolved path of an existing file that can be read.

    Raises:
        StepFailure: It is outside the script roots, missing, a folder, or not readable.
    """
    path = locate(named, field, roots)
    _check_file(path, named, field)
    if not os.access(path, os.R_OK):
        raise StepFailure(f"{field}: {named} may not be read by the worker's user", retryable=False)
    return path


def locate_folder(named: str, field: str, roots: Sequence[Path]) -> Path:
    """Returns the resolved path of an existing folder.

    Raises:
        StepFailure: It is outside the script roots, missing, or no folder.
    """
    path = locate(named, field, roots)
    if not path.exists():
        raise StepFailure(f"{field}: no folder {named}{_where(named)}")
    if not path.is_dir():
        raise StepFailure(f"{field}: {named} is no folder", retryable=False)
    return path


def locate_program(named: str, field: str, roots: Sequence[Path], environment: Mapping[str, str]) -> Path:
    """Returns the resolved path of an executable file.

    A bare name that is under no root is looked up on the PATH of `environment`; it must lie under the roots as well.

    Raises:
        StepFailure: It is outside the script roots, missing, a folder, or not executable.
    """
    path = locate(named, field, roots)
    is_bare = os.path.basename(named) == named  # noqa: PTH119 - Path would drop a trailing separator
    if is_bare and not path.exists():
        found = shutil.which(named, path=environment.get("PATH", ""))
        if found is None:
            raise StepFailure(f"{field}: no program {named} under the script roots or on the PATH of steps")
        path = Path(found).resolve()
        _check_inside(path, found, field, roots)
    _check_file(path, named, field)
    if not os.access(path, os.X_OK):
        raise StepFailure(f"{field}: {named} is not executable (on POSIX, chmod +x makes it so)", retryable=False)
    return path


def root_of(path: Path, roots: Sequence[Path]) -> Path:
    """Returns the script root that holds a located path; the innermost, where roots lie in one another."""
    resolved = [root.resolve() for root in roots]
    return max((root for root in resolved if path.is_relative_to(root)), key=lambda root: len(root.parts))


def _check_inside(path: Path, named: str, field: str, roots: Sequence[Path]) -> None:
    if not any(path.is_relative_to(root.resolve()) for root in roots):
        raise StepFailure(
            f"{field}: {named} is outside the script roots. ROTA_SCRIPT_ROOTS names the folders that steps may use.",
            retryable=False,
        )


def _check_file(path: Path, named: str, field: str) -> None:
    if not path.exists():
        raise StepFailure(f"{field}: no file {named}{_where(named)}")
    if path.is_dir():
        raise StepFailure(f"{field}: {named} is a folder, not a file", retryable=False)
    if not path.is_file():
        raise StepFailure(f"{field}: {named} is not a regular file", retryable=False)


def _where(named: str) -> str:
    return "" if Path(named).is_absolute() else " under the script roots"
