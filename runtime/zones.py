"""One set of time zone data for Rota and the Temporal server that it starts: the package tzdata."""

import zoneinfo
from importlib.resources import files


def use_packaged_zones() -> None:
    """Lets this process read zones from the package tzdata, whatever the system has.

    Rota and the server must agree to the minute on every change of the clocks; two hosts with different system data
    were seen not to (Casablanca, Havana).
    """
    zoneinfo.reset_tzpath(to=())


def zone_environment() -> dict[str, str]:
    """Returns the variable that lets a Go program, such as the Temporal server, read the same data."""
    return {"ZONEINFO": str(files("tzdata") / "zoneinfo")}
