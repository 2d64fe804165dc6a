"""What tests read of the project's Markdown pages: code blocks, code, headings, links, table rows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

_FENCE = re.compile(r"^ *```")
_HEADING = re.compile(r"^#+ +(.+?) *$")
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    section: str
    """The heading under which it stands."""
    language: str
    text: str


class Page:
    """A Markdown page."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: list[Block] = []
        self.headings: list[str] = []
        self._prose: list[str] = []
        self._read(iter(path.read_text("utf-8").splitlines()))

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            if _FENCE.match(line):
                body = list(iter(lambda: next(lines), "```"))
                section = self.headings[-1] if self.headings else ""
                self.blocks.append(Block(section, line.strip().removeprefix("```"), "\n".join(body)))
                continue
            if heading := _HEADING.match(line):
                self.headings.append(heading[1])
            self._prose.append(line)

    def block(self, section: str, language: str) -> Block:
        """Returns the only block of that language under a heading."""
        [block] = [block for block in self.blocks if (block.section, block.language) == (section, language)]
        return block

    def code(self) -> list[str]:
        """Returns every code span, and every line of every block."""
        spans = [span for line in self._prose for span in _SPAN.findall(line)]
        return spans + [line for block in self.blocks for line in block.text.splitlines()]

    def links(self) -> list[str]:
        """Returns the targets of all links."""
        return [target for line in self._prose for target in _LINK.findall(_SPAN.sub("", line))]

    def anchors(self) -> set[str]:
        """Returns the anchors that GitHub gives the headings."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.headings}

    def rows(self, section: str) -> list[list[str]]:
        """Returns the cells of the table rows under a heading, without head and rule."""
        body = self.path.read_text("utf-8").split(f"# {section}\n", 1)[1].split("\n#", 1)[0]
        rows = [line for line in body.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def pages() -> list[Page]:
    """Returns every page of the project."""
    found = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("examples/**/*.md")]
    return [Page(path) for path in sorted(found)]
