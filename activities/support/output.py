"""What a step prints: taken as it comes, the tail kept, memory bounded."""

import codecs
import re
from collections.abc import Callable
from typing import Final, Literal

from contracts.execution import OUTPUT_TAIL_BYTES
from runtime.secrets import OpenedSecrets

Stream = Literal["stdout", "stderr"]

_STDERR_LIMIT: Final = 16 * 1024
"""Kept of stderr by itself, at either end: enough for the first and the last error."""

_LINE_LIMIT: Final = 500
"""Characters of a line that is shown by itself, in a message or as progress."""

_LINE_WINDOW: Final = 2 * 1024
"""Bytes in which the last line is looked for first: of some it is asked once a second, while they print."""

_LINE_ENDS: Final = re.compile(r"[\r\n]")

# ECMA-48: control sequences (colours, cursor), operating-system commands (titles, links), two-character escapes.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Returns a text without terminal escapes and control characters; tabs and line ends stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def last_line(text: str) -> str | None:
    """Returns the last line that is not blank, made plain, 500 characters at most; None where there is none."""
    for line in reversed(_LINE_ENDS.split(plain(text))):
        if stripped := line.strip():
            return stripped[:_LINE_LIMIT]
    return None


def end_of(text: str, limit: int) -> str:
    """Returns the end of a text: whole characters, at most so many bytes of UTF-8."""
    # What a cut leaves of a character in front is dropped.
    return text.encode()[-limit:].decode(errors="ignore")


class _Tail:
    """The last bytes of a text in UTF-8."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data
        # Cut at twice the limit, so that each byte is moved once at most.
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    def text(self, size: int | None = None) -> str:
        """Returns what is kept, or the end of it: so many bytes at most."""
        # What a cut leaves of a character in front is dropped.
        return self._kept[-min(size or self._limit, self._limit) :].decode(errors="ignore")

    def last_line(self) -> str | None:
        """Returns the last line that is not blank, from no more of the end than it takes."""
        size = _LINE_WINDOW
        while size < min(self._limit, len(self._kept)):
            # A line in front that is cut is another one, or not all of it.
            _, *rest = _LINE_ENDS.split(self.text(size), maxsplit=1)
            if rest and (line := last_line(rest[0])):
                return line
            size *= 4
        return last_line(self.text())


class OutputTail:
    """Keeps the last bytes of what a step prints, both streams in the order in which they came.

    Bytes that are not UTF-8, and NUL, which PostgreSQL cannot store, become U+FFFD. Terminal escapes stay.
    """

    def __init__(
        self,
        limit: int = OUTPUT_TAIL_BYTES,
        *,
        secrets: OpenedSecrets | None = None,
        also: Callable[[bytes], None] | None = None,
    ) -> None:
        """Begins without output.

        Args:
            limit: How many bytes of UTF-8 are kept at most, 1 or more.
            secrets: What is hidden in it, as soon as it was opened.
            also: Given all bytes of UTF-8, as they come.
        """
        self._tail = _Tail(limit)
        self._also = also
        self.total_bytes = 0
        """How many bytes of UTF-8 there were."""
        self._stderr_head = ""
        self._stderr_tail = _Tail(_STDERR_LIMIT)
        # One a stream: a character may come in two parts, with the other stream's text between them.
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": decoder("replace"), "stderr": decoder("replace")}
        self._hiders = {"stdout": secrets.stream(), "stderr": secrets.stream()} if secrets else None

    def feed(self, data: bytes, stream: Stream = "stdout", *, final: bool = False) -> None:
        """Takes the next bytes of a stream; `final` where it ends with them."""
        text = self._decoders[stream].decode(data, final).replace("\0", "\N{REPLACEMENT CHARACTER}")
        if self._hiders is not None:
            text = self._hiders[stream].hide(text, final=final)
        encoded = text.encode()
        self._tail.add(encoded)
        self.total_bytes += len(encoded)
        if self._also is not None:
            self._also(encoded)
        if stream == "stderr":
            self._stderr_head += text[: _STDERR_LIMIT - len(self._stderr_head)]
            self._stderr_tail.add(encoded)

    def write_line(self, text: str) -> None:
        """Takes a line that the step itself says; lone surrogates, which UTF-8 has not, become question marks."""
        self.feed(text.encode(errors="replace") + b"\n")

    def end(self) -> None:
        """Takes note that nothing more comes."""
        self.feed(b"", "stdout", final=True)
        self.feed(b"", "stderr", final=True)

    def text(self) -> str:
        """Returns the tail: whole characters, `limit` bytes of UTF-8 at most."""
        return self._tail.text()

    @property
    def last_line(self) -> str | None:
        """The last line that is not blank, without terminal escapes; None where there is none yet."""
        return self._tail.last_line()

    @property
    def stderr_head(self) -> str:
        """The first 16 Ki characters of stderr."""
        return self._stderr_head

    @property
    def stderr_tail(self) -> str:
        """The last 16 KiB of stderr."""
        return self._stderr_tail.text()
