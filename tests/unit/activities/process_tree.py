"""A program that grows a tree of processes: `python process_tree.py TOKEN stay|exit JSON`.

JSON is a list of `[kind, children]`. Kinds: `child`; `setsid` (a session of its own); `daemon` (two forks and a session,
so that it loses its parent); `ignores` (SIGTERM and SIGINT); `clean` (a daemon that clears its environment). Each has
TOKEN in its command line and says `ready` when it stands. The root stays, or exits with 7 when all of them stand.
"""

import json
import os
import signal
import sys
import time
from typing import NoReturn, TypeAlias

Members: TypeAlias = "list[tuple[str, Members]]"


def count(members: Members) -> int:
    return sum(1 + count(below) for _, below in members)


def stay() -> NoReturn:
    while True:
        time.sleep(600)


def say_ready(stood: int) -> None:
    os.write(1, b"ready\n")
    os.write(stood, b".")


def be(kind: str, below: Members, token: str, stood: int) -> NoReturn:
    if kind in {"setsid", "daemon", "clean"}:
        os.setsid()
    if kind in {"daemon", "clean"} and os.fork():
        os._exit(0)
    if kind == "ignores":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    grow(below, token, stood)
    say_ready(stood)
    if kind == "clean":
        os.execve("/bin/sleep", [token, "600"], {})  # noqa: S606 - no shell is the point
    stay()


def grow(members: Members, token: str, stood: int) -> None:
    for kind, below in members:
        pid = os.fork()
        if pid == 0:
            be(kind, below, token, stood)
        if kind in {"daemon", "clean"}:
            os.waitpid(pid, 0)


def main(token: str, mode: str, members: Members) -> None:
    standing, stood = os.pipe()
    grow(members, token, stood)
    if mode == "stay":
        say_ready(stood)
        stay()
    missing = count(members)
    while missing:
        missing -= len(os.read(standing, 100))
    os._exit(7)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
