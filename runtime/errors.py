"""What keeps a command from starting."""

from typing import ClassVar


class StartError(Exception):
    """A command cannot start: something is set, installed or named wrongly. The message is one line that says what."""

    exit_code: ClassVar[int] = 2
    """What the command ends with: 2 for what the user must set otherwise, 1 for what may pass by itself."""
