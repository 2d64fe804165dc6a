"""The options that connection strings may hold, by server, and what each is called where."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Dialect(StrEnum):
    """The kinds of database server, by the names that SQLAlchemy's URLs have for them."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    SQLSERVER = "mssql"

    @property
    def label(self) -> str:
        """What people call it."""
        return _LABELS[self]


_LABELS: Final = {
    Dialect.SQLITE: "SQLite",
    Dialect.POSTGRESQL: "PostgreSQL",
    Dialect.MYSQL: "MySQL",
    Dialect.SQLSERVER: "SQL Server",
}

DIALECT_NAMES: Final[Mapping[str, Dialect]] = {
    "sqlite": Dialect.SQLITE,
    "postgresql": Dialect.POSTGRESQL,
    "mysql": Dialect.MYSQL,
    "mariadb": Dialect.MYSQL,
    "mssql": Dialect.SQLSERVER,
}
"""The dialects that a URL may begin with."""

PASSWORD: Final = "password"  # noqa: S105 - the option's name, not its value
SECRET_OPTIONS: Final = frozenset({PASSWORD, "sslpassword", "ssl_key_password"})
FILE_OPTIONS: Final = frozenset(
    {"passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_ca", "ssl_cert", "ssl_key"},
)
"""Options that name a file of the worker."""
ODBC_CONNECT: Final = "odbc_connect"
"""Holds a whole ODBC connection string."""
IGNORED: Final = "ignored"
"""What changes nothing about one script on one connection."""


def normal_key(key: str) -> str:
    """Returns a key as it is looked up: letter case, blanks and underscores do not count."""
    return re.sub(r"[\s_]", "", key).lower()


def _table(lines: str) -> dict[str, str]:
    """Reads lines of `option: other spellings`; an option is a spelling of itself."""
    table: dict[str, str] = {}
    for line in lines.strip().splitlines():
        option, _, spellings = line.strip().partition(":")
        table |= dict.fromkeys((normal_key(option), *spellings.split()), option)
    return table


# Spellings: the connection string keywords of Npgsql and Microsoft.Data.SqlClient, and the names that libpq, PyMySQL
# and SQLAlchemy have. Ignored are pools, limits of single commands (a step has its own), buffers, and encodings
# (scripts are UTF-8).
_OPTIONS: Final[Mapping[Dialect, Mapping[str, str]]] = {
    Dialect.SQLITE: {},
    Dialect.POSTGRESQL: _table(
        """
        host
        hostaddr
        port
        database: db dbname
        user: username userid uid
        password: pwd psw
        passfile
        sslmode
        sslrootcert: rootcertificate
        sslcert: sslcertificate
        sslkey
        sslpassword
        sslcrl
        sslnegotiation
        channel_binding
        gssencmode
        krbsrvname: kerberosservicename
        target_session_attrs: targetsessionattributes
        application_name
        options
        search_path
        timezone
        connect_timeout: timeout
        ignored: arraynullabilitymode autoprepareminusages cancellationtimeout checkcertificaterevocation
        ignored: clientencoding commandtimeout connectionidlelifetime connectionlifetime connectionpruninginterval
        ignored: encoding enlist hostrecheckseconds includeerrordetail includerealm internalcommandtimeout keepalive
        ignored: loadbalancehosts loadbalancetimeout loadtablecomposites logparameters maxautoprepare maximumpoolsize
        ignored: maxpoolsize minimumpoolsize minpoolsize multiplexing noresetonclose persistsecurityinfo pooling
        ignored: readbuffersize servercompatibilitymode socketreceivebuffersize socketsendbuffersize tcpkeepalive
        ignored: tcpkeepaliveinterval tcpkeepalivetime trustservercertificate writebuffersize
        """,
    ),
    Dialect.MYSQL: _table(
        """
        user
        password: passwd
        unix_socket
        ssl_ca
        ssl_cert
        ssl_key
        ssl_key_password
        ssl_verify_cert
        ssl_verify_identity: sslcheckhostname
        ssl_disabled
        connect_timeout
        ignored: charset
        """,
    ),
    Dialect.SQLSERVER: _table(
        """
        host: server datasource addr address networkaddress
        database: initialcatalog
        user: userid uid
        password: pwd
        encrypt
        appname: app applicationname
        application_intent
        integrated_security: trustedconnection
        authentication
        tds_version
        connect_timeout: connectiontimeout timeout logintimeout
        trust_server_certificate
        odbc_connect
        ignored: asynchronousprocessing charset columnencryptionsetting commandtimeout connectionlifetime
        ignored: connectionreset connectretrycount connectretryinterval currentlanguage driver enlist failoverpartner
        ignored: hostnameincertificate ipaddresspreference language loadbalancetimeout marsconnection maxpoolsize
        ignored: minpoolsize multipleactiveresultsets multisubnetfailover net netlib network networklibrary packetsize
        ignored: persistsecurityinfo poolblockingperiod pooling replication transactionbinding
        ignored: typesystemversion workstationid wsid
        """,
    ),
}


def option_of(dialect: Dialect | None, key: str) -> str | None:
    """Returns the option that a key spells for a server; None where it has none."""
    return _OPTIONS[dialect].get(normal_key(key)) if dialect else None


def supported(dialect: Dialect) -> list[str]:
    """Returns the options of a server, in the order of their names."""
    return sorted(set(_OPTIONS[dialect].values()) - {IGNORED})
