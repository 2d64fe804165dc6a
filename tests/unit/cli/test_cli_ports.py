"""Where the servers listen, checked before anything starts."""

import re
import socket
from collections.abc import Iterator

import pytest

from cli.ports import Ports, check_listen
from runtime.settings import SettingsError

HOST = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ((8080, 7233, 99999), "--ui-port: 99999 is not a port: 1 to 65535"),
        ((0, 7233, 8233), "--api-port: 0 is not a port: 1 to 65535"),
        ((8080, 8080, 8233), "--api-port and --temporal-port are both 8080: each needs a port of its own"),
        ((8080, 8233, 8233), "--temporal-port and --ui-port are both 8233: each needs a port of its own"),
    ],
)
def test_what_cannot_be_three_ports_is_refused(ports: tuple[int, int, int], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        Ports(HOST, *ports).check()


def test_a_taken_port_is_named_with_its_option(taken: int) -> None:
    with pytest.raises(SettingsError, match=f"^--port: {HOST}:{taken} cannot be used: Address already in use$"):
        check_listen("--port", HOST, taken)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64 + ".example"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=r"^--port: .*(cannot be used|neither a name)"):
        check_listen("--port", host, 0)


def test_any_free_port_will_do() -> None:
    check_listen("--port", HOST, 0)
