"""Where `rota dev` and `rota api` listen, checked before anything starts."""

import socket
from dataclasses import dataclass

from runtime.settings import SettingsError


@dataclass(frozen=True)
class Ports:
    """Where `rota dev` listens."""

    host: str
    api: int
    temporal: int
    ui: int

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        return f"http://{self.host}:{self.api}"

    @property
    def ui_url(self) -> str:
        """URL of the Temporal Web UI."""
        return f"http://{self.host}:{self.ui}"

    def check(self) -> None:
        """Checks that the ports are three, and that nothing listens there yet.

        Raises:
            SettingsError: One is no port, two are equal, or one is taken; the message names the options to change.
        """
        options = {"--api-port": self.api, "--temporal-port": self.temporal, "--ui-port": self.ui}
        owners: dict[int, str] = {}
        for option, port in options.items():
            if not 1 <= port <= 65535:
                raise SettingsError(f"{option}: {port} is not a port: 1 to 65535")
            if port in owners:
                raise SettingsError(f"{owners[port]} and {option} are both {port}: each needs a port of its own")
            owners[port] = option
        for option, port in options.items():
            check_listen(option, self.host, port)


def check_listen(option: str, host: str, port: int) -> None:
    """Checks that this process may listen on an address, and that nothing does yet.

    Args:
        option: What a user changes to listen elsewhere.
        host: Name or address.
        port: 1 to 65535, or 0 for any that is free.

    Raises:
        SettingsError: It cannot; the message names the option and says why.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(f"{option}: {host}:{port} cannot be used: {error.strerror}") from None
    except UnicodeError:
        raise SettingsError(f"{option}: {host!r} is neither a name nor an address") from None
