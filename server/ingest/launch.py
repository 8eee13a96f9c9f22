"""Starts yt-dlp in a process that can connect to the filtering proxy only, and run few programs.

`python -I launch.py PROXY_PORT PROGRAMS ARGUMENT…`; PROGRAMS are absolute paths, a JSON list.
yt-dlp is told to use the proxy, but its ftp does not ask, and neither would a bug in one of its
thousand extractors. An audit hook sees every connection and every program. It does not see the
sockets of a program, so only those are started that are limited themselves.
"""

import importlib
import json
import sys
from typing import Any


class Blocked(PermissionError):
    """What is not allowed here. An OSError, so that yt-dlp goes on without it where it can."""

    def __init__(self) -> None:
        super().__init__("Blocked By Egress Guard")


def main(argv: list[str]) -> None:
    """Run yt-dlp with these arguments; exits with its status."""
    sys.addaudithook(Judge(int(argv[0]), json.loads(argv[1])))
    importlib.import_module("yt_dlp").main(argv[2:])


class Judge:
    """The audit hook: raises Blocked for connections and programs that are not allowed."""

    def __init__(self, proxy_port: int, programs: list[str]) -> None:
        self._proxy = ("127.0.0.1", proxy_port)
        self._programs = frozenset(programs)

    def __call__(self, event: str, values: tuple[Any, ...]) -> None:
        """Called by Python for everything that it audits."""
        match event.partition("."):
            case ("socket", _, name):
                allowed = self._socket(name, values)
            case ("subprocess", _, "Popen") | ("os", _, "exec" | "posix_spawn"):
                allowed = values[0] in self._programs
            case ("os", _, "system" | "spawn" | "startfile") | ("pty", _, "spawn"):
                allowed = False
            case _:
                return
        if not allowed:
            raise Blocked

    def _socket(self, name: str, values: tuple[Any, ...]) -> bool:
        match name:
            case "__new__" | "gethostname":
                return True
            case "connect":
                return tuple(values[1][:2]) == self._proxy
            case "getaddrinfo":
                return bool(values[0] == self._proxy[0])
            case _:  # look-ups of other kinds, datagrams, servers
                return False


if __name__ == "__main__":
    main(sys.argv[1:])
