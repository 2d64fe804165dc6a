"""Splits an `arguments` text into words, by the rules of who reads it."""

import shlex
import sys

from activities.support.step_type import StepFailure


def split_arguments(text: str, field: str) -> list[str]:
    """Splits by the platform's rules: those of a POSIX shell without its expansions, or those of Windows.

    Raises:
        StepFailure: A quote is not closed; the message names `field`.
    """
    if sys.platform == "win32":
        return _split_windows(text)
    try:
        return shlex.split(text)
    except ValueError:
        raise StepFailure(
            f"{field}: a quote is not closed, or a backslash has nothing after it",
            retryable=False,
        ) from None


def split_powershell(text: str, field: str) -> list[str]:
    """Splits by PowerShell's quoting: either quote groups, doubled inside it stands for itself; nothing else is special.

    A backslash and a backtick are ordinary characters: the words are data.

    Raises:
        StepFailure: A quote is not closed; the message names `field`.
    """
    words: list[str] = []
    word: str | None = None  # None between words; an empty pair of quotes is a word
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if quote:
            if character != quote:
                word = (word or "") + character
            elif text[position : position + 1] == quote:
                word = (word or "") + quote
                position += 1
            else:
                quote = ""
        elif character in "'\"":
            quote = character
            word = word or ""
        elif not character.isspace():
            word = (word or "") + character
        elif word is not None:
            words.append(word)
            word = None
    if quote:
        raise StepFailure(f"{field}: a {quote} is not closed; inside quotes, double it", retryable=False)
    return words if word is None else [*words, word]


if sys.platform == "win32":
    import ctypes

    def _split_windows(text: str) -> list[str]:
        """Splits as C programs on Windows do: CommandLineToArgvW, whose first word is read by rules of its own."""
        split = ctypes.windll.shell32.CommandLineToArgvW
        split.restype = ctypes.POINTER(ctypes.c_wchar_p)
        count = ctypes.c_int()
        words = split(f"program {text}", ctypes.byref(count))
        try:
            return [words[index] for index in range(1, count.value)]
        finally:
            ctypes.windll.kernel32.LocalFree(words)
