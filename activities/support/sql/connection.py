"""Connection strings: which server, which account, which options; and what people may see of them.

Two forms are read: a SQLAlchemy URL (`postgresql://user:password@host:5432/database?sslmode=require`) and an ADO.NET
string (`Server=host,1433;Database=name;User Id=user;Password=password`). In both, `${env:NAME}` stands for a variable
of the worker. A text is first cut into parts that know where they stand in it; people are shown the same text with
every part hidden that is not known to be harmless.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote_plus, unquote, unquote_plus

from activities.support.sql.options import (
    DIALECT_NAMES,
    IGNORED,
    ODBC_CONNECT,
    SECRET_OPTIONS,
    Dialect,
    normal_key,
    option_of,
    supported,
)
from activities.support.step_type import StepFailure
from activities.support.variables import PLACEHOLDER, expand
from runtime.secrets import MASK


@dataclass(frozen=True)
class Target:
    """What a connection string names, every `${env:NAME}` resolved."""

    dialect: Dialect
    host: str | None = None
    port: int | None = None
    """1-65535; None for the server's usual one."""
    database: str | None = None
    """Of SQLite, the path; None or `:memory:` for a database in memory."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further options, by the names that the driver has for them."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that nobody may see."""
        values = (self.password, *(self.options.get(name) for name in sorted(SECRET_OPTIONS)))
        return tuple(value for value in values if value)

    @property
    def place(self) -> str:
        """The server, for messages: `PostgreSQL at db.example.com:5432`; the file of SQLite."""
        if self.dialect is Dialect.SQLITE:
            return f"{self.dialect.label} {self.database or ':memory:'}"
        host = self.host or "localhost"
        return f"{self.dialect.label} at {host}:{self.port}" if self.port else f"{self.dialect.label} at {host}"


_URL_START: Final = re.compile(r"[A-Za-z][\w+.-]*://")
_URL: Final = re.compile(
    r"""
    (?P<dialect>\w+)(?:\+\w+)?://
    (?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?
    (?P<host>\[[^\[\]/?@]+\]|[^\[\]:/?@=&;]*)
    (?::(?P<port>\d*))?
    (?:/(?P<database>[^?@=&;]*))?
    (?:\?(?P<query>[^@]*))?
    """,
    re.VERBOSE,
)
"""As SQLAlchemy reads a URL, but strict on what could hide a password: no second @, no = before the ?."""
_QUERY_PAIR: Final = re.compile(r"(?=[^&])(?P<key>[^&=]*)=?(?P<value>[^&]*)")
_SQLITE_URL: Final = re.compile(r"(?P<dialect>sqlite)(?:\+\w+)?://(?:/(?P<database>[^?]*))?")

_KEY: Final = re.compile(r"\s*(?P<key>[A-Za-z][\w .-]*?)\s*=\s*")
_ADO_VALUE: Final = re.compile(r"""("(?:[^"]|"")*"|'(?:[^']|'')*'|[^;"'][^;]*|)\s*(?:;|$)""")
_ODBC_VALUE: Final = re.compile(r"""(\{(?:[^}]|\}\})*\}|[^;{][^;]*|)\s*(?:;|$)""")
_ODBC_DRIVER: Final = re.compile(r"(?:^|;)\s*driver\s*=", re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"[\s;]*")
_WHOLE_PAIR: Final = re.compile(rf"({re.escape(MASK)}|{PLACEHOLDER.pattern})\s*(?:;|$)")
"""What the masking left of a pair, or a variable that holds pairs."""

_DATABASE_FILE: Final = re.compile(
    r":memory:|file:.*|[A-Za-z]:\\.*|.*/.*|.*\.(?:db|db3|sqlite|sqlite3|s3db)",
    re.IGNORECASE,
)
_SQLSERVER_HOST: Final = re.compile(r"(?:tcp:)?\s*([^\s,:\\]+(?:\\[^\s,:\\]+)?)\s*(?:,\s*(\d+))?", re.IGNORECASE)

_NEITHER: Final = (
    "Connection string is neither a SQLAlchemy URL (postgresql://user:password@host:5432/db) nor an ADO.NET string"
    " (Host=... for PostgreSQL, Server=... for SQL Server)"
)
_NO_PAIRS: Final = (
    "Connection string is no list of key=value pairs with ; between them (a value that holds ; or begins with a quote"
    ' stands in "quotes")'
)


@dataclass(frozen=True)
class _Part:
    """One value of a connection string."""

    option: str | None
    """None where the text names no option that is known."""
    key: str
    value: str
    """Decoded, `${env:NAME}` still in it."""
    start: int
    """Where the part stands in the text, from its key on."""
    value_start: int
    end: int


@dataclass(frozen=True)
class _Reading:
    """A connection string, cut into its parts."""

    dialect: Dialect | None
    """None where the text names none that is known."""
    parts: Sequence[_Part]

    def values(self) -> dict[str, str]:
        """Returns what is set, by option; of an option set twice, the last."""
        return {part.option: part.value for part in self.parts if part.option and part.value}


def check_connection_string(text: str) -> None:
    """Checks a connection string's form, as far as it can be judged before `${env:NAME}` is known.

    Raises:
        ValueError: It is neither a URL nor an ADO.NET string, or none that names a server; the message says what to
            write, and holds no value of the text.
    """
    text = text.strip()
    if "${env:" in PLACEHOLDER.sub("", text):
        raise ValueError("Connection string has a ${env:...} that names no variable: write ${env:NAME}")
    if PLACEHOLDER.match(text):
        return
    reading = _read(text)
    if _URL_START.match(text):
        _check_url(text, reading)
    else:
        _check_pairs(reading)
    _port(reading.values().get("port"))


def mask_connection_string(text: str) -> str:
    """Returns a connection string as people may see it: user and host readable, passwords `***`.

    A password that is one `${env:NAME}` stays. What is not understood is hidden, if need be all of it. Masking what is
    masked changes nothing.
    """
    text = text.strip()
    if PLACEHOLDER.fullmatch(text):
        return text
    try:
        reading = _read(text)
    except ValueError:
        return MASK
    return _mask(text, reading) if reading.dialect or _URL_START.match(text) else MASK


def parse_connection_string(text: str, environment: Mapping[str, str]) -> Target:
    """Returns what a connection string names.

    Args:
        text: The connection string.
        environment: The variables that `${env:NAME}` may name. A value that stands for a part of the string (a
            password, a host) is taken as it is: nothing in it needs to be encoded or quoted.

    Raises:
        StepFailure: A variable is not among them, the form is wrong, or an option is not supported. The message holds
            no value.
    """
    text = _expand_pairs(text.strip(), environment)
    try:
        check_connection_string(text)
        reading = _read(text)
        _check_options(reading)
        values = reading.values()
        if ODBC_CONNECT in values:
            nested = _read_pairs(values.pop(ODBC_CONNECT))
            _check_options(nested)
            values |= nested.values()
        return _target(reading.dialect, {option: _expand(value, environment) for option, value in values.items()})
    except ValueError as error:
        raise StepFailure(f"{error}", retryable=False) from None


def _read(text: str) -> _Reading:
    if _URL_START.match(text):
        return _read_url(text)
    if "=" in text:
        return _read_pairs(text)
    raise ValueError(_NEITHER)


def _read_url(text: str) -> _Reading:
    # Digits in place of a placeholder fit wherever a value may stand, a port too, and move nothing.
    shape = PLACEHOLDER.sub(lambda match: "0" * len(match[0]), text)
    match = _SQLITE_URL.fullmatch(shape) or _URL.fullmatch(shape)
    if match is None:
        raise ValueError(
            "Connection string is no URL of the form dialect://user:password@host:port/database?option=value (in a"
            " name or password write @ as %40, : as %3A, / as %2F, ? as %3F, % as %25)",
        )
    dialect = DIALECT_NAMES.get(match["dialect"].lower())
    parts: list[_Part] = []
    for name in match.groupdict():
        start, end = match.span(name)
        if name == "query" and start >= 0:
            parts.extend(_query(dialect, text, start, end))
        elif name != "dialect" and start >= 0:
            value = text[start:end].strip("[]") if name == "host" else unquote(text[start:end])
            parts.append(_Part(name, name, value, start, start, end))
    return _Reading(dialect, parts)


def _query(dialect: Dialect | None, text: str, start: int, end: int) -> Iterator[_Part]:
    for match in _QUERY_PAIR.finditer(text, start, end):
        key, value = unquote_plus(match["key"]), unquote_plus(match["value"])
        yield _Part(option_of(dialect, key), key, value, match.start(), match.start("value"), match.end())


def _read_pairs(text: str) -> _Reading:
    odbc = _ODBC_DRIVER.search(text) is not None
    parts: list[_Part] = []
    position = _skip_separators(text, 0)
    while position < len(text):
        if whole := _WHOLE_PAIR.match(text, position):
            parts.append(_Part(None, "", whole[1], whole.start(1), whole.start(1), whole.end(1)))
            position = _skip_separators(text, whole.end())
            continue
        key = _KEY.match(text, position)
        value = (_ODBC_VALUE if odbc else _ADO_VALUE).match(text, key.end()) if key else None
        if key is None or value is None:
            raise ValueError(_NO_PAIRS)
        clear = _unquoted(value[1], odbc=odbc)
        parts.append(_Part(None, key["key"], clear, key.start("key"), value.start(1), value.end(1)))
        position = _skip_separators(text, value.end())
    dialect = _dialect_of_pairs([part.key for part in parts])
    return _Reading(dialect, [replace(part, option=option_of(dialect, part.key)) for part in parts])


def _skip_separators(text: str, position: int) -> int:
    separators = _SEPARATORS.match(text, position)
    return separators.end() if separators else position


def _unquoted(value: str, *, odbc: bool) -> str:
    closing = {"{": "}"}.get(value[:1]) if odbc else {'"': '"', "'": "'"}.get(value[:1])
    return value[1:-1].replace(closing * 2, closing) if closing else value.strip()


def _dialect_of_pairs(keys: Sequence[str]) -> Dialect | None:
    if any(normal_key(key) == "host" for key in keys):
        return Dialect.POSTGRESQL
    if any(option_of(Dialect.SQLSERVER, key) == "host" for key in keys):
        return Dialect.SQLSERVER
    return None


def _mask(text: str, reading: _Reading) -> str:
    for part in sorted(reading.parts, key=lambda part: part.start, reverse=True):
        written = text[part.value_start : part.end]
        if part.option == ODBC_CONNECT:
            shown = quote_plus(mask_connection_string(part.value), safe="*${}:")
        elif PLACEHOLDER.fullmatch(written):
            continue
        # A value with a = in it may be two parts, run together by a mistake, of which the second is a password.
        elif part.option is None or part.option in SECRET_OPTIONS or (part.start < part.value_start and "=" in written):
            shown = MASK
        else:
            continue
        start = part.start if part.option is None else part.value_start
        text = text[:start] + shown + text[part.end :]
    return text


def _check_url(text: str, reading: _Reading) -> None:
    values = reading.values()
    if reading.dialect is None:
        name = text.partition("://")[0].partition("+")[0]
        raise ValueError(
            f"Connection string is a URL of the dialect {name!r}: use sqlite, postgresql, mysql, mariadb or mssql",
        )
    if reading.dialect is Dialect.SQLITE and set(values) - {"database"}:
        raise ValueError(
            "Connection string: a URL of SQLite has three slashes and a path, sqlite:///path (sqlite:////path from the"
            " root), no host, user or port",
        )
    if reading.dialect is Dialect.SQLSERVER and not {"host", ODBC_CONNECT} & set(values):
        raise ValueError("Connection string names no host: mssql://user:password@host:1433/db")
    _check_options(reading)


def _check_pairs(reading: _Reading) -> None:
    host = reading.values().get("host", "")
    if any(normal_key(part.key) == "port" and part.value == "3306" for part in reading.parts):
        raise ValueError("Connection string: MySQL is written as a URL, mysql://user:password@host:3306/db")
    if reading.dialect is Dialect.SQLSERVER and _DATABASE_FILE.fullmatch(host):
        raise ValueError("Connection string: SQLite is written as a URL, sqlite:///path")
    if re.search(r"[\s=]", host):
        raise ValueError(_NO_PAIRS)
    if "@" in host[1:]:
        # A password there would be shown. An @ in front is a socket of PostgreSQL's.
        raise ValueError(
            "Connection string: user and password stand in pairs of their own, not before an @ in the host"
        )
    if not host and all(part.key for part in reading.parts):
        raise ValueError(_NEITHER)


def _check_options(reading: _Reading) -> None:
    previous: _Part | None = None
    for part in reading.parts:
        if part.option is None and reading.dialect is not None:
            raise ValueError(_unknown_option(reading.dialect, part, previous))
        previous = part


def _unknown_option(dialect: Dialect, part: _Part, previous: _Part | None) -> str:
    # What follows a password may be the rest of it: it is not named.
    if part.value == MASK or (previous is not None and previous.option in SECRET_OPTIONS):
        what = 'that follows the password (one that holds ; stands in "quotes"; in a URL, & is written %26)'
    else:
        what = repr(part.key)
    hint = ", the port follows a comma: Server=host,1433" if normal_key(part.key) == "port" else ""
    known = ", ".join(supported(dialect)) or "none"
    return f"Connection string: {dialect.label} has no option {what}{hint}; it knows: {known}"


def _expand_pairs(text: str, environment: Mapping[str, str]) -> str:
    """Puts in variables that stand for more than one value: at the start of the text, or in place of pairs."""
    if match := PLACEHOLDER.match(text):
        text = _expand(match[0], environment) + text[match.end() :]
    if _URL_START.match(text):
        return text
    try:
        parts = _read_pairs(text).parts
    except ValueError:
        return text
    for part in reversed(parts):
        if not part.key:
            text = text[: part.start] + _expand(part.value, environment) + text[part.end :]
    return text


def _expand(value: str, environment: Mapping[str, str]) -> str:
    return expand(value, environment, "the connection string")


def _target(dialect: Dialect | None, values: dict[str, str]) -> Target:
    host, port = values.pop("host", None), values.pop("port", None)
    if dialect is None or (dialect is Dialect.SQLSERVER and not host):
        raise ValueError(_NEITHER)
    if dialect is Dialect.SQLSERVER:
        host, after_comma = _sqlserver_host(host or "")
        port = port or after_comma
    values.pop(IGNORED, None)
    return Target(
        dialect=dialect,
        host=host,
        port=_port(port),
        database=values.pop("database", None),
        user=values.pop("user", None),
        password=values.pop("password", None),
        options=values,
    )


def _sqlserver_host(server: str) -> tuple[str, str | None]:
    match = _SQLSERVER_HOST.fullmatch(server.strip())
    if match is None:
        raise ValueError("Connection string: the server is written host, host,1433 or host\\instance; only TCP is used")
    return match[1], match[2]


def _port(text: str | None) -> int | None:
    if text is None or PLACEHOLDER.search(text):
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ValueError("Connection string: the port is a number from 1 to 65535")
    return int(text)
