"""Starts yt-dlp in a process that can open sockets to one place only: the filtering proxy.

`python -I launch.py PROXY_PORT ARGUMENT…`. yt-dlp is told to use the proxy, but its ftp does not
ask, and neither would a bug in one of its thousand extractors: an audit hook sees every connect.
"""

import importlib
import sys
from typing import Any


def main(argv: list[str]) -> None:
    """Run yt-dlp with these arguments; exits with its status."""
    proxy = ("127.0.0.1", int(argv[0]))

    def only_the_proxy(event: str, values: tuple[Any, ...]) -> None:
        if event == "socket.connect" and tuple(values[1][:2]) != proxy:
            raise ConnectionRefusedError("Blocked By Egress Guard")
        if event == "socket.getaddrinfo" and values[0] != proxy[0]:
            raise ConnectionRefusedError("Blocked By Egress Guard")

    sys.addaudithook(only_the_proxy)
    importlib.import_module("yt_dlp").main(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
