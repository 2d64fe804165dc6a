"""Reads the errors that PowerShell writes to stderr (ConciseView, its format since version 7)."""

import re
from typing import Final

from activities.support.output import plain

_POSITION: Final = re.compile(r"Line \|\s*")
_DETAIL: Final = re.compile(r"\s*(?P<number>\d*) *\|(?P<text>.*)")
_UNDERLINE: Final = re.compile(r"[\s~]*~[\s~]*")


def powershell_errors(stderr: str) -> list[str]:
    """Returns the message of each error, one line each, in their order.

    An error with a position is a header (`Exception: FILE:2`), `Line |`, the line of the script, its underlining, and
    the message, which is wrapped. Everything else, from native programs too, is taken line by line.
    """
    lines = [line for line in plain(stderr).splitlines() if line.strip()]
    errors: list[str] = []
    position = 0
    while position < len(lines):
        header = lines[position].strip()
        position += 1
        message: list[str] = []
        if position < len(lines) and _POSITION.fullmatch(lines[position]):
            position += 1
            while position < len(lines) and (detail := _DETAIL.fullmatch(lines[position])):
                position += 1
                if not detail["number"] and not _UNDERLINE.fullmatch(detail["text"]):
                    message.append(detail["text"].strip())
        errors.append(" ".join(message) or header)
    return errors
