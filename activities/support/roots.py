"""Script roots: the folders under which everything lies that a step names.

`field` is the JSON field that names the path, for messages. A relative path is looked for under each root in turn.
Symlinks are resolved first, and what is returned is the resolved path, so that a link changed later leads nowhere else.
"""

import errno
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from activities.support.step_type import StepFailure


def locate(named: str, field: str, roots: Sequence[Path]) -> Path:
    """Returns the resolved path of what a field names; it need not exist.

    Raises:
        StepFailure: It is outside the script roots, or no path at all.
    """
    path, _ = _locate(named, field, roots)
    return path


def locate_file(named: str, field: str, roots: Sequence[Path]) -> Path:
    """Returns the resolved path of an existing file that can be read.

    Raises:
        StepFailure: It is outside the script roots, missing, a folder, or not readable.
    """
    path, mode = _locate(named, field, roots)
    _check_file(mode, named, field)
    if not os.access(path, os.R_OK):
        raise StepFailure(f"{field}: {named} may not be read by the worker's user", retryable=False)
    return path


def locate_folder(named: str, field: str, roots: Sequence[Path]) -> Path:
    """Returns the resolved path of an existing folder.

    Raises:
        StepFailure: It is outside the script roots, missing, or no folder.
    """
    path, mode = _locate(named, field, roots)
    if mode is None:
        raise StepFailure(f"{field}: no folder {named}{_where(named)}")
    if not stat.S_ISDIR(mode):
        raise StepFailure(f"{field}: {named} is no folder", retryable=False)
    return path


def locate_program(named: str, field: str, roots: Sequence[Path], environment: Mapping[str, str]) -> Path:
    """Returns the resolved path of an executable file.

    A bare name that is under no root is looked up on the PATH of `environment`; it must lie under the roots as well.

    Raises:
        StepFailure: It is outside the script roots, missing, a folder, or not executable.
    """
    path, mode = _locate(named, field, roots)
    is_bare = os.path.basename(named) == named  # noqa: PTH119 - Path would drop a trailing separator
    if is_bare and mode is None:
        found = shutil.which(named, path=environment.get("PATH", ""))
        if found is None:
            raise StepFailure(f"{field}: no program {named} under the script roots or on the PATH of steps")
        if not Path(found).is_absolute():
            found = str(Path.cwd() / found)
        path, mode = _locate(found, field, roots)
    _check_file(mode, named, field)
    if not os.access(path, os.X_OK):
        raise StepFailure(f"{field}: {named} is not executable (on POSIX, chmod +x makes it so)", retryable=False)
    return path


def root_of(path: Path, roots: Sequence[Path]) -> Path:
    """Returns the script root that holds a located path; the innermost, where resolved roots lie in one another."""
    return max(_roots_of(path, roots), key=lambda root: len(root.parts))


def _locate(named: str, field: str, roots: Sequence[Path]) -> tuple[Path, int | None]:
    """Returns a resolved path, and its `st_mode`; None where nothing is there.

    As few calls of the system as can be: at each of them a thread gives way to the others, of which a busy worker has
    many, and a step waits for that.
    """
    if not roots:
        raise StepFailure(
            f"{field}: {named} is outside the script roots: this worker has none, so nothing runs that names a path. "
            "Set ROTA_SCRIPT_ROOTS to the folders that steps may use.",
            retryable=False,
        )
    if not named.strip():
        raise StepFailure(f"{field} is empty", retryable=False)
    # An absolute path stays as it is.
    candidates = list(dict.fromkeys(str(root / named) for root in roots))
    try:
        found = candidates[0]
        if len(candidates) > 1:
            found = next(filter(os.path.lexists, candidates), found)
        path, mode = _resolved(found)
    except (OSError, ValueError) as error:  # a loop of links, a NUL, a name too long, a folder that may not be searched
        raise StepFailure(f"{field}: {named!r} is not a path that can be followed: {error}", retryable=False) from None
    if not _roots_of(path, roots):
        raise StepFailure(
            f"{field}: {named} is outside the script roots. ROTA_SCRIPT_ROOTS names the folders that steps may use.",
            retryable=False,
        )
    return path, mode


def _resolved(found: str) -> tuple[Path, int | None]:
    try:
        # Strict, as it otherwise gives up at a loop of links: what a `..` behind it leads over is then not looked at.
        path = os.path.realpath(found, strict=True)
        return Path(path), os.stat(path).st_mode  # noqa: PTH116 - as `realpath`
    except (FileNotFoundError, NotADirectoryError):
        path = os.path.realpath(found)
    if os.path.realpath(path) != path:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return Path(path), None


def _roots_of(path: Path, roots: Sequence[Path]) -> list[Path]:
    """Returns the roots that hold a resolved path, resolved; as a worker has them, they are."""
    # A resolved path lies under no link: a root that is above it as it stands is resolved already.
    holding = [root for root in roots if path.is_relative_to(root)]
    return holding or [root for root in map(Path.resolve, roots) if path.is_relative_to(root)]


def _check_file(mode: int | None, named: str, field: str) -> None:
    if mode is None:
        raise StepFailure(f"{field}: no file {named}{_where(named)}")
    if stat.S_ISDIR(mode):
        raise StepFailure(f"{field}: {named} is a folder, not a file", retryable=False)
    if not stat.S_ISREG(mode):
        raise StepFailure(f"{field}: {named} is not a regular file", retryable=False)


def _where(named: str) -> str:
    return "" if Path(named).is_absolute() else " under the script roots"
