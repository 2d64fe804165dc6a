"""Scripts cut into statements, each with the line on which it begins.

sqlglot's tokenizers know what of a text is a string, a quoted name or a comment in each dialect. They blank all of
that out; in what is left, `;`, `GO` and the words of statements are plain to see. The reasons stand in
docs/adr/0006-sql-splitting.md.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar, Final

from sqlglot.dialects.mysql import MySQL
from sqlglot.dialects.postgres import Postgres
from sqlglot.dialects.sqlite import SQLite
from sqlglot.dialects.tsql import TSQL
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import TokenType
from sqlglot.tokens import Tokenizer

from activities.support.sql.options import Dialect


class Role(Enum):
    """What a statement is to the script's transaction."""

    WORK = auto()
    BEGIN = auto()
    """The script's own `BEGIN`, in front of all work."""
    COMMIT = auto()
    """The script's own `COMMIT`, after all work."""
    SETTING = auto()
    """Sets up the session: may stand in front of `BEGIN`, and after `COMMIT`, as some take no effect in between."""
    REFUSED = auto()
    """Ends the transaction in another way."""


@dataclass(frozen=True)
class Statement:
    """One statement of a script, or one batch of T-SQL."""

    number: int
    """From 1."""
    line: int
    """The line of the script, from 1, on which `text` begins."""
    text: str
    role: Role = Role.WORK
    repeat: int = 1
    """How often it is run (`GO 5`), 0 or more."""


class SplitError(Exception):
    """A script cannot be cut into statements that run in one transaction; the message names the line."""


# COMMANDS would make one string of all that follows EXECUTE, SHOW and their kin: offsets and quotes were lost.
class _Postgres(Postgres.Tokenizer):
    COMMANDS: ClassVar[set[TokenType]] = set()


class _MySQL(MySQL.Tokenizer):
    COMMANDS: ClassVar[set[TokenType]] = set()


class _SQLite(SQLite.Tokenizer):
    COMMANDS: ClassVar[set[TokenType]] = set()


class _TSQL(TSQL.Tokenizer):
    COMMANDS: ClassVar[set[TokenType]] = set()


_TOKENIZERS: Final[dict[Dialect, tuple[type[Tokenizer], str]]] = {
    Dialect.POSTGRESQL: (_Postgres, "postgres"),
    Dialect.MYSQL: (_MySQL, "mysql"),
    Dialect.SQLITE: (_SQLite, "sqlite"),
    Dialect.SQLSERVER: (_TSQL, "tsql"),
}

_CHUNK: Final = 32 * 1024
"""Characters given to a tokenizer at a time: its tokens take a hundred bytes for each."""

_QUOTED: Final = "?"
"""Stands for every character of a string or quoted name but line ends."""

_QUOTED_TOKENS: Final = frozenset(
    {TokenType.IDENTIFIER, *(kind for kind in TokenType if kind.name.endswith("STRING"))},
)


def split_script(text: str, dialect: Dialect, check: Callable[[], None] = lambda: None) -> list[Statement]:
    """Returns the statements of a script; of T-SQL, its batches.

    Args:
        text: The script.
        dialect: The server's dialect.
        check: Called now and then while a long script is read (a megabyte takes a second or two); may raise.

    Raises:
        SplitError: A string, a quoted name or a comment is not closed, or the script begins or ends transactions in
            its middle.
    """
    bare = _bare(text, dialect, check)
    pieces = {
        Dialect.POSTGRESQL: _postgresql,
        Dialect.MYSQL: _mysql,
        Dialect.SQLITE: _sqlite,
        Dialect.SQLSERVER: _sqlserver,
    }[dialect](bare)
    statements = list(_statements(text, bare, dialect, pieces))
    _check_transaction(statements)
    return statements


@dataclass(frozen=True)
class _Piece:
    """Where a statement stands in the text."""

    start: int
    end: int
    repeat: int = 1


def _statements(text: str, bare: str, dialect: Dialect, pieces: Iterator[_Piece]) -> Iterator[Statement]:
    line, counted, number = 1, 0, 0
    for piece in pieces:
        content = bare[piece.start : piece.end]
        if not content.strip():
            continue
        # A T-SQL batch keeps the comments in front of it: they become part of the procedure that it creates.
        whole = text[piece.start : piece.end] if dialect is Dialect.SQLSERVER else content
        start = piece.end - len(whole.lstrip())
        end = piece.start + len(whole.rstrip())
        line += text.count("\n", counted, start)
        counted = start
        number += 1
        role = _role(content.strip(), dialect)
        yield Statement(number, line, text[start:end], role, piece.repeat)


def _bare(text: str, dialect: Dialect, check: Callable[[], None]) -> str:
    """Returns the text with comments blank and what is quoted filled; every character keeps its place."""
    parts: list[str] = []
    start, size = 0, _CHUNK
    while start < len(text):
        check()
        # Chunks end where lines do: only what is quoted, or a comment in brackets, goes on over the end of a line.
        end = text.find("\n", start + size) + 1 or len(text)
        try:
            parts.append(_bare_chunk(text[start:end], dialect))
        except TokenError as error:
            if end < len(text):
                size *= 2
                continue
            raise SplitError(_unreadable(text, start, error)) from None
        start, size = end, _CHUNK
    return "".join(parts)


def _bare_chunk(text: str, dialect: Dialect) -> str:
    tokenizer, name = _TOKENIZERS[dialect]
    readable = text
    if dialect is Dialect.POSTGRESQL:
        # A parameter in a function's body ($1) would be taken for the beginning of a dollar-quoted string.
        readable = _PARAMETER.sub(" ", text)
    bare: list[str] = []
    position = 0
    for token in tokenizer(dialect=name).tokenize(readable):
        bare.append(_blank(text[position : token.start], dialect))
        position = token.end + 1
        word = text[token.start : position]
        bare.append(_NOT_LINE_END.sub(_QUOTED, word) if token.token_type in _QUOTED_TOKENS else word)
    bare.append(_blank(text[position:], dialect))
    return "".join(bare)


_NOT_LINE_END: Final = re.compile(r"[^\n]")
_PARAMETER: Final = re.compile(r"(?<![\w$])\$(?=\d)")
_MYSQL_COMMENT: Final = re.compile(r"(?:--|#)[^\n]*|/\*(?P<run>M?!)?.*?\*/", re.DOTALL)


def _blank(gap: str, dialect: Dialect) -> str:
    """Returns what stands between two tokens, comments blank, lines kept."""
    blank = _NOT_LINE_END.sub(" ", gap)
    if dialect is Dialect.MYSQL and "*/" in gap:
        # The server runs what stands in /*! ... */ (mysqldump writes much so): its ends count as parts of a statement.
        for comment in _MYSQL_COMMENT.finditer(gap):
            if comment["run"]:
                start, end = comment.span()
                blank = f"{blank[:start]}!{blank[start + 1 : end - 1]}!{blank[end:]}"
    return blank


def _unreadable(text: str, start: int, error: TokenError) -> str:
    """Says what of the text from `start` on is not closed, and where it begins."""
    reason = re.fullmatch(r"(.*) from \d+:(\d+)", str(error.__cause__))
    if reason is None:
        what, at = "a comment or a quote is not closed", max(text.rfind("/*"), start)
    else:
        at = start + int(reason[2])
        what = re.sub(r"^Missing (.+)", r"the \1 that begins here is not closed", reason[1])
    return f"line {text.count(chr(10), 0, at) + 1}: {what}"


_WORD: Final = re.compile(r"[;()]|[^\W\d][\w$]*")
_PSQL_COMMAND: Final = re.compile(r"^[ \t]*(?P<name>\\\w+)", re.MULTILINE)
_ROUTINE: Final = re.compile(r"create (or replace )?(function|procedure) ")


def _postgresql(bare: str) -> Iterator[_Piece]:
    """Cuts at `;`, as psql does: not within parentheses (rules), not within BEGIN ATOMIC ... END (routines)."""
    if command := _PSQL_COMMAND.search(bare):
        line = bare.count("\n", 0, command.start("name")) + 1
        raise SplitError(f"line {line}: {command['name']} is a command of psql; only SQL is run")
    start = parentheses = blocks = 0
    words = ""
    previous = ""
    for match in _WORD.finditer(bare):
        word = match[0].lower()
        if word in "()":
            parentheses = max(0, parentheses + (1 if word == "(" else -1))
        elif word == ";":
            if parentheses == blocks == 0:
                yield _Piece(start, match.start())
                start, words = match.end(), ""
        else:
            if len(words) < 40:
                words += word + " "
            if blocks:
                blocks += {"case": 1, "end": -1}.get(word, 0)
            elif (previous, word) == ("begin", "atomic") and _ROUTINE.match(words):
                blocks = 1
        previous = word
    yield _Piece(start, len(bare))


def _sqlite(bare: str) -> Iterator[_Piece]:
    """Cuts at every `;` that completes a statement by SQLite's own rule, which knows the bodies of triggers."""
    start = end = 0
    while (end := bare.find(";", end)) >= 0:
        end += 1
        if sqlite3.complete_statement(bare[start:end]):
            yield _Piece(start, end - 1)
            start = end
    yield _Piece(start, len(bare))


_DELIMITER: Final = re.compile(r"\s*delimiter[ \t]+(?P<delimiter>\S+)[^\n]*", re.IGNORECASE)


def _mysql(bare: str) -> Iterator[_Piece]:
    """Cuts at the delimiter, which a `DELIMITER` line changes, as the mysql client does."""
    start, delimiter = 0, ";"
    while start < len(bare):
        if command := _DELIMITER.match(bare, start):
            start, delimiter = command.end(), command["delimiter"]
            continue
        end = bare.find(delimiter, start)
        yield _Piece(start, end if end >= 0 else len(bare))
        start = end + len(delimiter) if end >= 0 else len(bare)


_GO: Final = re.compile(r"^[ \t]*GO(?:[ \t]+(?P<count>\d{1,9}))?[ \t\r]*$", re.IGNORECASE | re.MULTILINE)


def _sqlserver(bare: str) -> Iterator[_Piece]:
    """Cuts at `GO` on a line of its own, as sqlcmd does; `GO 5` runs the batch before it five times."""
    start = 0
    for match in _GO.finditer(bare):
        yield _Piece(start, match.start(), int(match["count"] or 1))
        start = match.end()
    yield _Piece(start, len(bare))


_SETTINGS: Final = r"set\s+(?!transaction\b|local\b|constraints\b|autocommit\b|@@autocommit\b|session\s+autocommit\b)"
_ROLES: Final[dict[Dialect, dict[Role, re.Pattern[str]]]] = {
    dialect: {role: re.compile(pattern, re.IGNORECASE) for role, pattern in roles.items()}
    for dialect, roles in {
        Dialect.POSTGRESQL: {
            Role.BEGIN: r"(?:begin|start\s+transaction)\b",
            Role.COMMIT: r"(?:commit|end)(?:\s+(?:work|transaction))?(?:\s+and\s+no\s+chain)?$",
            Role.REFUSED: r"(?:commit|end|abort|prepare\s+transaction)\b"
            r"|rollback\b(?!(?:\s+(?:work|transaction))?\s+to\b)",
            Role.SETTING: _SETTINGS,
        },
        Dialect.MYSQL: {
            Role.BEGIN: r"begin(?:\s+work)?$|start\s+transaction\b",
            Role.COMMIT: r"commit(?:\s+work)?(?:\s+and\s+no\s+chain)?(?:\s+no\s+release)?$",
            Role.REFUSED: r"(?:commit|xa)\b|rollback\b(?!(?:\s+work)?\s+to\b)"
            r"|set\s+(?:session\s+|@@|@@session\.)?autocommit\b",
            Role.SETTING: rf"{_SETTINGS}|use\b",
        },
        Dialect.SQLITE: {
            Role.BEGIN: r"begin\b",
            Role.COMMIT: r"(?:commit|end)\b",
            Role.REFUSED: r"rollback\b(?!(?:\s+transaction)?\s+to\b)",
            Role.SETTING: r"pragma\s+(?:\w+\.)?(?:foreign_keys|journal_mode|synchronous|temp_store)\b",
        },
        # In T-SQL they nest: the server is asked after each batch whether the transaction is still there.
        Dialect.SQLSERVER: {},
    }.items()
}


def _role(bare: str, dialect: Dialect) -> Role:
    for role, pattern in _ROLES[dialect].items():
        if pattern.match(bare):
            return role
    return Role.WORK


def _check_transaction(statements: Sequence[Statement]) -> None:
    """Lets a script say BEGIN and COMMIT around all its work, where they mean what Rota does anyway."""
    framed = [statement for statement in statements if statement.role is not Role.SETTING]
    commits = bool(framed) and framed[-1].role is Role.COMMIT
    for position, statement in enumerate(framed):
        fits = {
            Role.BEGIN: position == 0 and commits,
            Role.COMMIT: position == len(framed) - 1,
            Role.REFUSED: False,
        }
        if not fits.get(statement.role, True):
            word = statement.text.split(maxsplit=1)[0].upper()
            raise SplitError(
                f"statement {statement.number} (line {statement.line}): {word}: a script is one transaction; BEGIN as"
                " its first and COMMIT as its last statement do no harm, others go into scripts of their own",
            )
