"""Tables in a page of the documentation: between two comments that name them, replaced as a whole."""

import re
from pathlib import Path


class PageError(Exception):
    """The page has no place for it; the message says what is missing."""


def put_into(page: Path, name: str, markdown: str) -> None:
    """Puts Markdown between `<!-- begin: name -->` and `<!-- end: name -->`.

    Raises:
        PageError: The page cannot be read, or has not each of these comments once.
    """
    before, after = _around(page, name)
    page.write_text(f"{before}\n\n{markdown.strip()}\n\n{after}", "utf-8")


def check_place(page: Path, name: str) -> None:
    """Checks that `put_into` would find its place.

    Raises:
        PageError: It would not.
    """
    _around(page, name)


def _around(page: Path, name: str) -> tuple[str, str]:
    """Returns what comes before the place and after it, the comments included."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    try:
        text = page.read_text("utf-8")
    except OSError as error:
        raise PageError(f"{page}: {error.strerror}") from None
    found = re.fullmatch(f"(.*{re.escape(begin)}).*({re.escape(end)}.*)", text, re.DOTALL)
    if found is None or text.count(begin) != 1 or text.count(end) != 1:
        raise PageError(f"{page} has no {begin} and {end} around what is to be replaced")
    return found[1], found[2]
