"""SQL Server sessions against a server that speaks just enough TDS (MS-TDS, version 7.4) to run scripted batches."""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.sql_script import SqlScript, SqlScriptConfig
from activities.support.step_type import StepFailure, StepRun
from tests.unit.activities.step_runs import step_run

pytest.importorskip("pymssql")

_PRELOGIN, _LOGIN, _BATCH, _ATTENTION, _ANSWER = 0x12, 0x10, 0x01, 0x06, 0x04
_MORE, _ERROR, _COUNT, _ATTENTION_DONE = 0x01, 0x02, 0x10, 0x20


def _done(status: int = 0, rows: int = 0) -> bytes:
    return struct.pack("<BHHQ", 0xFD, status, 0, rows)


def _name(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def _message(token: int, number: int, severity: int, text: str, line: int, procedure: str = "") -> bytes:
    body = struct.pack("<iBBH", number, 1, severity, len(text)) + text.encode("utf-16-le")
    body += _name("fake") + _name(procedure) + struct.pack("<i", line)
    return struct.pack("<BH", token, len(body)) + body


def _integers(name: str, values: list[int]) -> bytes:
    columns = struct.pack("<BH", 0x81, 1) + struct.pack("<IHB", 0, 0, 0x38) + _name(name)
    return columns + b"".join(struct.pack("<Bi", 0xD1, value) for value in values)


class FakeSqlServer:
    """Listens on `port`; keeps the batches that it got and what became of transactions."""

    def __init__(self) -> None:
        self.batches: list[str] = []
        self.password: str | None = None
        self.open_transactions = 0
        self.committed = 0
        self.attentions = 0
        self.busy = threading.Event()
        self.closed = threading.Event()
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            wire, _ = self._listener.accept()
            if self._stopping:
                wire.close()
                return
            with wire:
                self._talk(wire)
            self.open_transactions = 0
            self.closed.set()

    def _talk(self, wire: socket.socket) -> None:
        while (packet := self._receive(wire)) is not None:
            kind, body = packet
            if kind == _PRELOGIN:
                options = struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xFF)
                self._answer(wire, options + bytes([16, 0, 0, 0, 0, 0]) + b"\x02")
            elif kind == _LOGIN:
                self.password = self._password_of(body)
                acknowledged = b"\x01" + bytes([0x74, 0, 0, 4]) + _name("fake") + bytes([16, 0, 0, 0])
                token = struct.pack("<BH", 0xAD, len(acknowledged)) + acknowledged
                refused = _message(0xAA, 18456, 14, "Login failed for user 'sa'.", 1) + _done(_ERROR)
                self._answer(wire, token + _done() if self.password == "s3cret;pw" else refused)
            elif kind == _ATTENTION:
                self.attentions += 1
                if not self.batches[-1].startswith("trickle"):
                    self._answer(wire, _done(_ATTENTION_DONE))
            elif kind == _BATCH:
                text = body[struct.unpack("<I", body[:4])[0] :].decode("utf-16-le")
                self.batches.append(text)
                self._answer(wire, self._run(text), finished=not text.startswith("trickle"))

    def _run(self, batch: str) -> bytes:
        answers: dict[str, Callable[[], bytes]] = {
            r"SELECT XACT_STATE\(\)": lambda: _integers("", [min(self.open_transactions, 1)]) + _done(_COUNT, 1),
            r"SELECT @@TRANCOUNT": lambda: _integers("", [self.open_transactions]) + _done(_COUNT, 1),
            r"select three": lambda: _integers("n", [1, 2, 3]) + _done(_COUNT, 3),
            r"insert": lambda: _done(_COUNT, 2),
            r"print": lambda: _message(0xAB, 0, 0, "hello", 1) + _done(),
            r"fail": lambda: _message(0xAA, 208, 16, "Invalid object name 'nope'.", 3) + _done(_ERROR),
            r"deadlock": lambda: _message(0xAA, 1205, 13, "Deadlock victim.", 1) + _done(_ERROR),
            r"call": lambda: _message(0xAA, 50000, 16, "Bad.", 7, "dbo.close_all") + _done(_ERROR),
        }
        if re.match("BEGIN TRAN", batch, re.IGNORECASE):
            self.open_transactions += 1
        elif batch.startswith("COMMIT"):
            self.open_transactions -= 1
            self.committed += self.open_transactions == 0
        elif "ROLLBACK" in batch:
            self.open_transactions = 0
        elif batch.startswith("waitfor"):
            self.busy.set()
            return b""
        elif batch.startswith("trickle"):
            self.busy.set()
            return _integers("n", [1])
        return next((answer() for begin, answer in answers.items() if re.match(begin, batch)), _done())

    def _receive(self, wire: socket.socket) -> tuple[int, bytes] | None:
        body = b""
        while header := self._exactly(wire, 8):
            kind, status, length = struct.unpack(">BBH", header[:4])
            body += self._exactly(wire, length - 8)
            if status & 1:
                return kind, body
        return None

    @staticmethod
    def _exactly(wire: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = wire.recv(size - len(data))
            except OSError:
                return b""
            if not piece:
                return b""
            data += piece
        return data

    @staticmethod
    def _answer(wire: socket.socket, body: bytes, *, finished: bool = True) -> None:
        if body:
            wire.sendall(struct.pack(">BBHHBB", _ANSWER, int(finished), len(body) + 8, 0, 1, 0) + body)

    @staticmethod
    def _password_of(login: bytes) -> str:
        offset, length = struct.unpack("<HH", login[44:48])
        scrambled = login[offset : offset + 2 * length]
        # [MS-TDS] 2.2.6.4: nibbles swapped, then XOR with A5.
        return bytes(((b ^ 0xA5) >> 4) | (((b ^ 0xA5) & 0x0F) << 4) for b in scrambled).decode("utf-16-le")


@pytest.fixture
def server() -> Iterator[FakeSqlServer]:
    server = FakeSqlServer()
    yield server
    server.stop()


def script(root: Path, server: FakeSqlServer, text: str, *, more: str = "", **worker: Any) -> StepRun[Any]:
    (root / "script.sql").write_text(text)
    connection = f'Server=tcp:127.0.0.1,{server.port};User Id=sa;Password="s3cret;pw";{more}'
    config = SqlScriptConfig(sql_connection_string=connection, sql_script_path="script.sql")
    return step_run(config, root, **worker)


async def failure(step: StepRun[Any]) -> StepFailure:
    with pytest.raises(StepFailure) as caught:
        await SqlScript().run(step)
    assert "s3cret" not in f"{caught.value}{step.output.text()}"
    return caught.value


async def test_batches_go_as_they_stand_in_one_transaction(tmp_path: Path, server: FakeSqlServer) -> None:
    step = script(tmp_path, server, "insert into t values ('a;b');\ninsert 2\nGO 2\nselect three\nGO\nprint 'hello'\n")
    await SqlScript().run(step)
    assert step.output.text().splitlines() == [
        "statement 1 (line 1): 2 rows",
        "statement 1 (line 1): 2 rows",
        "statement 2 (line 4): 3 rows",
        "  n",
        "  1",
        "  2",
        "  3",
        "hello",
        "statement 3 (line 6): done",
        "committed: 3 statements, 7 rows",
    ]
    assert server.committed == 1
    begun = server.batches.index("BEGIN TRANSACTION")
    assert "SET XACT_ABORT ON" in server.batches[begun - 1]
    assert server.batches[begun + 1] == "insert into t values ('a;b');\ninsert 2"


@pytest.mark.parametrize(
    ("text", "message", "retryable"),
    [
        ("insert 1\nGO\n\nfail", "statement 2 (line 6): Invalid object name 'nope'. (error 208)", False),
        ("deadlock", "statement 1 (line 1): Deadlock victim. (error 1205)", True),
        ("call", "statement 1 (line 1): Bad. (error 50000) (in dbo.close_all, line 7)", False),
    ],
)
async def test_an_error_rolls_back_and_names_its_line(
    tmp_path: Path, server: FakeSqlServer, text: str, message: str, *, retryable: bool
) -> None:
    error = await failure(script(tmp_path, server, text))
    assert (str(error), error.retryable) == (message, retryable)
    assert server.batches[-1].endswith("ROLLBACK TRANSACTION")
    assert server.committed == 0


async def test_a_batch_may_nest_transactions_but_not_end_the_scripts_own(tmp_path: Path, server: FakeSqlServer) -> None:
    await SqlScript().run(script(tmp_path, server, "begin tran\nGO\nCOMMIT"))
    assert server.committed == 1
    ended = await failure(script(tmp_path, server, "insert 1\nGO\nROLLBACK"))
    assert str(ended).startswith("statement 2 (line 3): the batch ended the script's transaction")
    unfinished = await failure(script(tmp_path, server, "begin tran"))
    assert "a COMMIT is missing" in str(unfinished)
    assert server.committed == 1


async def test_a_stop_sends_an_attention_and_rolls_back(tmp_path: Path, server: FakeSqlServer) -> None:
    step = script(tmp_path, server, "waitfor delay '1:00'", kill_grace=timedelta(seconds=20))
    task = asyncio.create_task(SqlScript().run(step))
    await asyncio.to_thread(server.busy.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.attentions == 1
    assert server.batches[-1].endswith("ROLLBACK TRANSACTION")


async def test_a_server_that_ignores_a_stop_is_cut_off(tmp_path: Path, server: FakeSqlServer) -> None:
    task = asyncio.create_task(SqlScript().run(script(tmp_path, server, "trickle")))
    await asyncio.to_thread(server.busy.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.closed.wait, 20)
    assert server.committed == 0


async def test_a_refused_login_can_be_tried_again_and_hides_the_password(tmp_path: Path, server: FakeSqlServer) -> None:
    step = script(tmp_path, server, "select 1", more="Password=wrong-pw-1")
    error = await failure(step)
    assert str(error).startswith(
        f"cannot connect to SQL Server at 127.0.0.1:{server.port}: Login failed for user 'sa'."
    )
    assert error.retryable
    assert server.password == "wrong-pw-1"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("Integrated Security=SSPI", "only logins of SQL Server"),
        ("Encrypt=Strict", "Strict is not supported"),
        ("Connect Timeout=soon", "connect timeout is a number of seconds"),
        ("Failover=x", "SQL Server has no option 'Failover'"),
    ],
)
async def test_options_that_cannot_be_kept_are_refused(
    tmp_path: Path, server: FakeSqlServer, more: str, message: str
) -> None:
    error = await failure(script(tmp_path, server, "select 1", more=f"Pooling=true;{more}"))
    assert message in str(error)
    assert not error.retryable
    assert not server.batches


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, unused_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        (tmp_path / "script.sql").write_text("select 1")
        url = f"mssql://sa:s3cret@127.0.0.1:{unused_tcp_port}/db?connect_timeout=1"
        step = step_run(SqlScriptConfig(sql_connection_string=url, sql_script_path="script.sql"), tmp_path)
        error = await failure(step)
    assert str(error).startswith(f"cannot connect to SQL Server at 127.0.0.1:{unused_tcp_port}: ")
    assert error.retryable
