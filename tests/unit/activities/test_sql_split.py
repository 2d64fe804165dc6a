import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.support.sql.options import Dialect
from activities.support.sql.split import Role, SplitError, split_script

POSTGRESQL, MYSQL, SQLITE, SQLSERVER = Dialect.POSTGRESQL, Dialect.MYSQL, Dialect.SQLITE, Dialect.SQLSERVER

LONG = "x;\n" * 40_000
"""More than a tokenizer is given at a time."""


def lines(text: str, dialect: Dialect) -> list[tuple[int, str]]:
    return [(statement.line, statement.text) for statement in split_script(text, dialect)]


@pytest.mark.parametrize("dialect", [POSTGRESQL, MYSQL, SQLITE])
def test_statements_know_their_first_line(dialect: Dialect) -> None:
    text = "-- a; b\n\nselect 1;;\r\n/* c;\n d */ select\n2 ; select 'e;\n''f;'\n\n;\nselect \"g;\"\n-- the end;"
    assert lines(text, dialect) == [
        (3, "select 1"),
        (5, "select\n2"),
        (6, "select 'e;\n''f;'"),
        (10, 'select "g;"'),
    ]
    assert [statement.number for statement in split_script(text, dialect)] == [1, 2, 3, 4]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_script_of_comments_has_no_statement(dialect: Dialect) -> None:
    assert lines("", dialect) == []
    assert lines("-- nothing;\n/* at all; */\n", dialect) in ([], [(1, "-- nothing;\n/* at all; */")])


@pytest.mark.parametrize(
    "statement",
    [
        "select $$a;b$$",
        "select $tag$ a; $$ ; $tag$",
        "select $été$;$été$",
        "do $$ begin perform 1; raise notice 'x;'; end $$",
        "create function f() returns int language plpgsql as $f$ begin return 1; end; $f$",
        "select e'it\\'s; here', E'\\\\'",
        "select '\\', 2",
        "select U&'d\\0061t;a' uescape '\\'",
        "/* a /* nested; */ still; */ select 1",
        "select a$1, b$$c from t",
        "create function f(int, int) returns int language sql return $1+$2",
        "prepare p as select $1,$2",
        "execute p('a;b', 'c')",
        "show search_path",
        "comment on table t is 'a;b'",
        "select '{\"a;\": 1}'::jsonb #>> '{a;}', 5 % 2, 'a' !~~* 'b'",
        "create rule r as on insert to t do instead (insert into a values (1); insert into b values (2))",
        "create or replace procedure p() begin atomic insert into t values (1); select case when a then 1 end; end",
        "select begin, atomic from t",
    ],
)
def test_postgresql_quotes_and_bodies(statement: str) -> None:
    expected = statement.removeprefix("/* a /* nested; */ still; */ ")
    assert [text for _, text in lines(f"{statement};\nselect 2", POSTGRESQL)] == [expected, "select 2"]


@pytest.mark.parametrize(
    "statement",
    [
        "select 'it\\'s;', \"a\\\";\", 'b;''c'",
        "select `a``;b` # c; d\n from t",
        "select 1--2",
        "select 5 --\t'comment;\n, 6",
        "/*!40101 SET NAMES utf8 */",
        "/*M!100100 select 1; */",
        "/*!50003 create*/ /*!50017 definer=`a;b`@`%`*/ /*!50003 trigger t */",
        "create table t (a int) /*!50100 partition by key (a) */",
        "select _latin1'a;b', n'c;d', x'3B', b'1', 0x3B",
        "replace into t values ('a;b')",
        "show tables like 'a;b'",
        "select @'a;b', @`c;d`, @@version",
    ],
)
def test_mysql_quotes_and_comments(statement: str) -> None:
    assert [text for _, text in lines(f"{statement};\nselect 2", MYSQL)] == [statement, "select 2"]


def test_mysql_delimiters() -> None:
    text = (
        "-- /*! no statement */\nDELIMITER $$\ncreate procedure p()\nbegin\n  select '$$;';\nend$$\n\n"
        "delimiter //\ncreate trigger t before insert on u for each row begin set @a = 4/2; end //\nDELIMITER ;\n"
        "select 1;\nselect 'DELIMITER x';"
    )
    assert lines(text, MYSQL) == [
        (3, "create procedure p()\nbegin\n  select '$$;';\nend"),
        (9, "create trigger t before insert on u for each row begin set @a = 4/2; end"),
        (11, "select 1"),
        (12, "select 'DELIMITER x'"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "create trigger t after insert on u begin\n  select 1; select 'end;';\nend",
        "create temp trigger t before delete on u when old.a > 1 begin select case when 1 then 2 end; end",
        'select [a;b], `c;d`, "e""f;"',
        "select 'a\\'",
        "pragma x = 'a;b'",
        "replace into t values (x'3B', 'a;b')",
        "explain query plan select 1",
    ],
)
def test_sqlite_triggers_and_quotes(statement: str) -> None:
    assert [text for _, text in lines(f"{statement};\nselect 2;", SQLITE)] == [statement, "select 2"]


def test_sqlserver_batches() -> None:
    text = (
        "-- kept\ncreate procedure p as begin select 'a\nGO\n' end;\ngo\n\n/* GO\nGO\n/* nested */\nGO */\nselect [a]]\n"
        "GO\n] -- '\n  Go 5 \nselect N'x;', \"y\nGO\n\"\nGO -- done\nGO\nselect 1 -- GO\nGOTO x"
    )
    batches = split_script(text, SQLSERVER)
    assert [(batch.line, batch.repeat) for batch in batches] == [(1, 1), (7, 5), (15, 1), (20, 1)]
    assert [batch.text for batch in batches] == [
        "-- kept\ncreate procedure p as begin select 'a\nGO\n' end;",
        "/* GO\nGO\n/* nested */\nGO */\nselect [a]]\nGO\n] -- '",
        "select N'x;', \"y\nGO\n\"",
        "select 1 -- GO\nGOTO x",
    ]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_what_is_long_is_read_in_parts(dialect: Dialect) -> None:
    comment = f"/*{LONG}*/" if dialect is not SQLSERVER else ""
    script = f"select '{LONG}' as a;\n" + "insert into t values (1);\n" * 3000 + f"{comment}select 2"
    statements = split_script(script, dialect)
    if dialect is SQLSERVER:
        assert [statement.text for statement in statements] == [script]
        return
    assert len(statements) == 3002
    assert (statements[1].line, statements[1].text) == (40_002, "insert into t values (1)")
    assert (statements[-1].line, statements[-1].text) == (83_001 + 1, "select 2")


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0'\\", exclude_categories=["Cs"]), max_size=8),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([POSTGRESQL, MYSQL, SQLITE]),
)
def test_a_string_may_hold_anything(values: list[str], dialect: Dialect) -> None:
    statements = [f"select '{value}'" for value in values]
    assert [text for _, text in lines(";\n".join(statements), dialect)] == statements


@pytest.mark.parametrize(
    ("text", "dialect", "message"),
    [
        ("select 1;\nselect 'a;\n;", POSTGRESQL, "line 2: the ' that begins here is not closed"),
        ("select 1;\n\ndo $x$ a; $$", POSTGRESQL, "line 3: the $x$ that begins here is not closed"),
        ("select 1;\nselect `a;", MYSQL, "line 2: the ` that begins here is not closed"),
        ("select 1;\n/* a;", SQLITE, "line 2: a comment or a quote is not closed"),
        ("select 1\nGO\nselect [a", SQLSERVER, "line 3: the ] that begins here is not closed"),
        ("select '\n\\a';\n  \\set x 1\nselect 1", POSTGRESQL, "line 3: \\set is a command of psql; only SQL is run"),
        ("select 1;\n" * 9000 + "select 'a;", MYSQL, "line 9001: the ' that begins here is not closed"),
    ],
)
def test_what_cannot_be_split_is_named_with_its_line(text: str, dialect: Dialect, message: str) -> None:
    with pytest.raises(SplitError) as caught:
        split_script(text, dialect)
    assert str(caught.value) == message


BEGIN, COMMIT, WORK, SETTING = Role.BEGIN, Role.COMMIT, Role.WORK, Role.SETTING


@pytest.mark.parametrize(
    ("text", "dialect", "roles"),
    [
        ("begin; select 1; commit", POSTGRESQL, [BEGIN, WORK, COMMIT]),
        ("set x = 1; start transaction isolation level serializable; select 1; end;", POSTGRESQL, None),
        ("select 1; commit work", POSTGRESQL, [WORK, COMMIT]),
        ("set transaction read only; savepoint a; rollback to a; rollback work to savepoint a", POSTGRESQL, [WORK] * 4),
        ("use hr; begin; begin not atomic select 1", MYSQL, "BEGIN"),
        ("use hr; begin; select 1; commit; set x = 1", MYSQL, [SETTING, BEGIN, WORK, COMMIT, SETTING]),
        (
            "pragma foreign_keys=off; begin immediate; select 1; end; pragma foreign_keys=on",
            SQLITE,
            [SETTING, BEGIN, WORK, COMMIT, SETTING],
        ),
        ("pragma user_version=2; rollback transaction to a", SQLITE, [WORK, WORK]),
        ("begin tran\ncommit\nGO\nrollback", SQLSERVER, [WORK, WORK]),
    ],
)
def test_a_script_may_frame_its_own_transaction(text: str, dialect: Dialect, roles: list[Role] | str | None) -> None:
    if isinstance(roles, str):
        with pytest.raises(SplitError, match=roles):
            split_script(text, dialect)
    else:
        found = [statement.role for statement in split_script(text, dialect)]
        assert found == (roles or [SETTING, BEGIN, WORK, COMMIT])


@pytest.mark.parametrize(
    ("text", "dialect", "culprit"),
    [
        ("begin;\nselect 1", POSTGRESQL, "statement 1 (line 1): BEGIN"),
        ("select 1;\nbegin;\nselect 1;\ncommit", POSTGRESQL, "statement 2 (line 2): BEGIN"),
        ("begin;\nselect 1;\ncommit;\nselect 2", POSTGRESQL, "statement 1 (line 1): BEGIN"),
        ("select 1;\ncommit;\nselect 2", SQLITE, "statement 2 (line 2): COMMIT"),
        ("select 1;\nrollback", SQLITE, "statement 2 (line 2): ROLLBACK"),
        ("begin;\nselect 1;\nabort", POSTGRESQL, "statement 1 (line 1): BEGIN"),
        ("select 1;\n/* x */ prepare transaction 'a'", POSTGRESQL, "statement 2 (line 2): PREPARE"),
        ("commit and chain", POSTGRESQL, "statement 1 (line 1): COMMIT"),
        ("set autocommit = 1", MYSQL, "statement 1 (line 1): SET"),
        ("set @@session.autocommit = 1", MYSQL, "statement 1 (line 1): SET"),
        ("xa begin 'a'", MYSQL, "statement 1 (line 1): XA"),
    ],
)
def test_other_ends_of_a_transaction_are_refused(text: str, dialect: Dialect, culprit: str) -> None:
    with pytest.raises(SplitError) as caught:
        split_script(text, dialect)
    assert str(caught.value).startswith(f"{culprit}: a script is one transaction")


def test_a_long_script_can_be_given_up() -> None:
    class GivenUpError(Exception):
        pass

    def give_up() -> None:
        raise GivenUpError

    with pytest.raises(GivenUpError):
        split_script("select 1;", SQLITE, give_up)
