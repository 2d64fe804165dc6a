import string
from urllib.parse import quote, quote_plus

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.support.sql.connection import (
    Target,
    check_connection_string,
    mask_connection_string,
    parse_connection_string,
)
from activities.support.sql.options import Dialect
from activities.support.step_type import StepFailure
from runtime.secrets import scrubber

PASSWORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda text: "${env:" not in text
)
PLAIN_PASSWORDS = st.text("JQXZ0123456789", min_size=8, max_size=20)  # which no form holds otherwise


def _ado(password: str) -> str:
    return '"' + password.replace('"', '""') + '"'


def _odbc(password: str) -> str:
    return "{" + password.replace("}", "}}") + "}"


FORMS = {
    "userinfo": lambda p: f"postgresql+psycopg://app:{quote(p, safe='')}@db.example.com:5432/hr?sslmode=require",
    "userinfo without database": lambda p: f"mysql://app:{quote(p, safe='')}@db.example.com",
    "userinfo with an option": lambda p: f"mssql://app:{quote(p, safe='')}@db.example.com:1433/hr?Encrypt=yes",
    "password option": lambda p: f"postgresql://app@db.example.com/hr?password={quote_plus(p)}&sslmode=require",
    "sslpassword option": lambda p: f"postgresql://app@db.example.com/hr?sslkey=key.pem&sslpassword={quote_plus(p)}",
    "key password option": lambda p: f"mariadb://app@db.example.com/hr?ssl_key_password={quote_plus(p)}",
    "Npgsql": lambda p: f"Host=db.example.com;Username=app;Password={_ado(p)};Database=hr;SSL Mode=Require",
    "SqlClient": lambda p: f"Server=tcp:db.example.com,1433;Initial Catalog=hr;User Id=app;Pwd={_ado(p)};Encrypt=True;",
    "single quotes": lambda p: "Data Source=db.example.com;UID=app;PWD='" + p.replace("'", "''") + "'",
    "odbc_connect": lambda p: (
        "mssql+pyodbc:///?odbc_connect="
        + quote_plus(f"Driver={{ODBC Driver 18 for SQL Server}};Server=db.example.com;UID=app;PWD={_odbc(p)}")
    ),
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@forms
@settings(deadline=None)
@given(password=PASSWORDS, other=PASSWORDS)
def test_what_people_see_does_not_depend_on_the_password(form: object, password: str, other: str) -> None:
    assert callable(form)
    masked = mask_connection_string(form(password))
    assert masked == mask_connection_string(form(other))
    assert masked == mask_connection_string(masked)
    assert "app" in masked
    assert "db.example.com" in masked
    check_connection_string(form(password))
    check_connection_string(masked)


@forms
@settings(deadline=None)
@given(password=PASSWORDS)
def test_the_password_is_read_as_it_was_written(form: object, password: str) -> None:
    assert callable(form)
    target = parse_connection_string(form(password), {})
    assert target.secrets == (password,)
    assert (target.host, target.user) == ("db.example.com", "app")
    assert repr(target) == repr(parse_connection_string(form("another"), {}))
    assert "***" in scrubber(target.secrets)(f"login with «{password}» failed")


@forms
@settings(deadline=None)
@given(password=PLAIN_PASSWORDS, data=st.data())
def test_a_mistake_in_writing_never_shows_the_password(form: object, password: str, data: st.DataObject) -> None:
    assert callable(form)
    text = form(password)
    start = text.index(password)
    # Inside the password it would be another one; without the colon before it, the whole is a user's name.
    spots = [spot for spot in range(len(text)) if not start - 1 <= spot < start + len(password)]
    spot = data.draw(st.sampled_from(spots))
    typed = data.draw(st.sampled_from(["", *string.punctuation, " ", "a", "0"]))
    assert password not in mask_connection_string(text[:spot] + typed + text[spot + (typed == "") :])


@settings(deadline=None)
@given(text=st.text(max_size=60) | st.text("psql:/@?=;&%${env}'\"*[]aB1", max_size=60))
def test_masking_takes_any_text_and_is_done_after_one_time(text: str) -> None:
    masked = mask_connection_string(text)
    assert mask_connection_string(masked) == masked


@settings(deadline=None)
@given(
    user=st.none() | PASSWORDS,
    password=st.none() | PASSWORDS,
    port=st.none() | st.integers(1, 65535),
    database=st.none() | st.text(string.ascii_letters + "_-. ", min_size=1),
    host=st.sampled_from(["db", "db.example.com", "10.0.0.1", "::1"]),
)
def test_urls_are_read_as_sqlalchemy_writes_them(
    user: str | None, password: str | None, port: int | None, database: str | None, host: str
) -> None:
    url = sqlalchemy.URL.create(
        "postgresql", user, password if user else None, host, port, database, {"application_name": "a b&c"}
    )
    assert parse_connection_string(url.render_as_string(hide_password=False), {}) == Target(
        dialect=Dialect.POSTGRESQL,
        host=host,
        port=port,
        database=database,
        user=user,
        password=password if user else None,
        options={"application_name": "a b&c"},
    )


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("sqlite:///data/hr.db", Target(Dialect.SQLITE, database="data/hr.db")),
        ("sqlite+pysqlite:////srv/hr@home=1.db", Target(Dialect.SQLITE, database="/srv/hr@home=1.db")),
        ("sqlite://", Target(Dialect.SQLITE)),
        ("sqlite:///:memory:", Target(Dialect.SQLITE, database=":memory:")),
        ("mysql+mysqldb://root:a/b?c@db", Target(Dialect.MYSQL, "db", user="root", password="a/b?c")),
        ("MariaDB://u@db:3307/hr?charset=utf8", Target(Dialect.MYSQL, "db", 3307, "hr", "u")),
        (
            "postgresql://u:@/hr?host=/run/postgresql&passfile=pgpass",
            Target(Dialect.POSTGRESQL, "/run/postgresql", None, "hr", "u", options={"passfile": "pgpass"}),
        ),
        (
            "mssql+pyodbc://sa:p@db:1433/hr?driver=ODBC+Driver+18+for+SQL+Server&TrustServerCertificate=yes",
            Target(Dialect.SQLSERVER, "db", 1433, "hr", "sa", "p", {"trust_server_certificate": "yes"}),
        ),
        (
            ' server = tcp:db,1433 ; Initial Catalog = hr; user id=sa ;Password= a=b"c ;;MultipleActiveResultSets=True;',
            Target(Dialect.SQLSERVER, "db", 1433, "hr", "sa", 'a=b"c'),
        ),
        ("Data Source=db\\HR;UID=sa;PWD=p", Target(Dialect.SQLSERVER, "db\\HR", user="sa", password="p")),
        (
            "Host=db;Port=5433;Username=u;Password='it''s;';Database=hr;SSL Mode=VerifyFull;Pooling=false",
            Target(Dialect.POSTGRESQL, "db", 5433, "hr", "u", "it's;", {"sslmode": "VerifyFull"}),
        ),
        ("Server=db", Target(Dialect.SQLSERVER, "db")),
    ],
)
def test_every_form_names_its_target(text: str, target: Target) -> None:
    check_connection_string(text)
    assert parse_connection_string(text, {}) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a SQLAlchemy URL"),
        ("db.example.com", "neither a SQLAlchemy URL"),
        ("Database=hr;Password=s3cret", "neither a SQLAlchemy URL"),
        ("Server=db;s3cret", "no list of key=value pairs"),
        ('Server=db;Password="s3cret', "no list of key=value pairs"),
        ("host=db dbname=hr password=s3cret", "no list of key=value pairs"),
        ("Server=db;Port=3306;Uid=u;Pwd=s3cret", "mysql://user:password@host:3306/db"),
        ("Host=db;Port=3306", "mysql://user:password@host:3306/db"),
        ("Data Source=hr.db;Password=s3cret", "sqlite:///path"),
        ("Data Source=:memory:", "sqlite:///path"),
        ("Data Source=C:\\data\\hr.sqlite", "sqlite:///path"),
        ("Host=db;Port=s3cret", "the port is a number from 1 to 65535"),
        ("Host=u:s3cret@db;Database=hr", "not before an @ in the host"),
        ("Server=u:s3cret@db,1433;Database=hr", "not before an @ in the host"),
        ("oracle://u:s3cret@db/hr", "dialect 'oracle': use sqlite, postgresql, mysql, mariadb or mssql"),
        ("postgresql://u:s3cret@x@db/hr", "write @ as %40"),
        ("postgresql://u:s3cret@db:70000/hr", "the port is a number from 1 to 65535"),
        ("postgresql://db/hr?poolsize=5", "PostgreSQL has no option 'poolsize'"),
        ("postgresql://db/hr?password=a&s3cret", "has no option that follows the password"),
        ("sqlite://hr.db", "three slashes"),
        ("sqlite://u:s3cret@/hr.db", "three slashes"),
        ("sqlite:///hr.db?mode=ro", "SQLite has no option 'mode'"),
        ("mssql:///hr", "names no host"),
        ("postgresql://u:${env:}@db/hr", "write ${env:NAME}"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^Connection string") as caught:
        check_connection_string(text)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(StepFailure) as failed:
        parse_connection_string(text, {})
    assert not failed.value.retryable


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Server=db;Port=1444", "SQL Server has no option 'Port', the port follows a comma: Server=host,1433"),
        ("Server=db;Password=s3;cret=1", "has no option that follows the password"),
        ("Server=np:\\\\db\\pipe", "only TCP is used"),
        ("Server=db;***", "has no option"),
    ],
)
def test_what_an_ado_string_asks_for_is_judged_on_the_worker(text: str, message: str) -> None:
    check_connection_string(text)
    with pytest.raises(StepFailure) as caught:
        parse_connection_string(text, {})
    assert message in str(caught.value)
    assert "cret" not in str(caught.value)


ENVIRONMENT = {
    "PASSWORD": "p@ss/w:rd%41;=",
    "PORT": "5433",
    "HOST": "db",
    "URL": "mysql://u:p%40@db/hr",
    "LOGIN": "User Id=sa;Password='a;b'",
}


@pytest.mark.parametrize(
    ("text", "masked", "password"),
    [
        ("postgresql://u:${env:PASSWORD}@${env:HOST}:${env:PORT}/hr", None, ENVIRONMENT["PASSWORD"]),
        ("postgresql://u@db/hr?password=${env:PASSWORD}", None, ENVIRONMENT["PASSWORD"]),
        ("Host=${env:HOST};Username=u;Password=${env:PASSWORD}", None, ENVIRONMENT["PASSWORD"]),
        ("mssql:///?odbc_connect=Server%3Ddb%3BUID%3Dsa%3BPWD%3D${env:PASSWORD}", None, ENVIRONMENT["PASSWORD"]),
        ("postgresql://u:x${env:PORT}@db/hr", "postgresql://u:***@db/hr", "x5433"),
        ("${env:URL}", None, "p@"),
        ("${env:URL}?connect_timeout=5", "***", "p@"),
        ("Server=db;${env:LOGIN};Encrypt=false", None, "a;b"),
    ],
)
def test_variables_stand_for_parts_or_for_the_whole(text: str, masked: str | None, password: str) -> None:
    check_connection_string(text)
    assert mask_connection_string(text) == (masked or text)
    assert parse_connection_string(text, ENVIRONMENT).password == password


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("UNLISTED", "set UNLISTED for the worker and list it in ROTA_STEP_ENV"),
        ("ROTA_SECRET_KEY", "ROTA_* and TEMPORAL_* are never given to steps"),
        ("temporal_api_key", "ROTA_* and TEMPORAL_* are never given to steps"),
    ],
)
def test_other_variables_are_refused_without_a_word_on_their_value(name: str, message: str) -> None:
    environment = {"ROTA_SECRET_KEY": "s3cret", "temporal_api_key": "s3cret"}
    with pytest.raises(StepFailure) as caught:
        parse_connection_string(f"postgresql://u:${{env:{name}}}@db/hr", environment)
    assert message in str(caught.value)
    assert f"${{env:{name}}}" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert not caught.value.retryable
