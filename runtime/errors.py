"""What keeps a command from starting."""


class StartError(Exception):
    """A command cannot start: something is set, installed or named wrongly. The message is one line that says what."""
