"""The key with which secrets are sealed: kept in a file where none is set."""

import contextlib
import os
import tempfile
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

from runtime.errors import StartError

MIN_KEY_LENGTH: Final = 16
_KEY_BYTES: Final = 33


class SecretKeyFileError(StartError):
    """The file of the secret key cannot be used; the message names it."""


def load_secret_key(path: Path) -> str:
    """Returns the key kept in a file, making one (mode 0600) where there is none yet.

    Raises:
        SecretKeyFileError: The file cannot be read or made, or what is in it is no key.
    """
    try:
        if not path.exists():
            _publish(path, token_urlsafe(_KEY_BYTES))
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise SecretKeyFileError(
            f"the secret key file {path} cannot be used: {reason}; or set ROTA_SECRET_KEY"
        ) from None
    if len(key) < MIN_KEY_LENGTH:
        raise SecretKeyFileError(
            f"the secret key file {path} is empty or cut short: put the key back that it held, or remove the file if no "
            "secret was ever stored",
        )
    return key


def _publish(path: Path, key: str) -> None:
    """Makes the file with the key whole in it, at one blow; of several processes that try, one succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only its owner may read a temporary file of this module.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never takes the place of the key that another process has published.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
