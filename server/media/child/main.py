"""Takes one job from the wire, does it within limits, answers, and ends."""

import errno
import socket
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from . import limits
from .wire import LIMITS, UNAVAILABLE, UNREADABLE, Failure, Remote, Wire

Result = tuple[dict[str, Any], bytes]
Operation = Callable[[Sequence[tuple[Remote, str]], dict[str, Any]], Result]


def main() -> None:
    """The whole life of the process."""
    wire = Wire(socket.socket(fileno=0))
    job = wire.job()
    limits.die_with(job["parent"])
    limits.give_way()
    limits.apply(**job["limits"])
    inputs = [
        (Remote(wire, index, entry["size"]), entry["type"])
        for index, entry in enumerate(job["inputs"])
    ]
    try:
        result, payload = _operation(job["operation"])(inputs, job["arguments"])
    except Exception as error:  # noqa: BLE001 whatever a hostile file makes libav or Pillow raise
        wire.fail(*_explain(error), traceback.format_exc())
    else:
        wire.done(result, payload)


def _operation(name: str) -> Operation:
    # Imported here: the limits hold before a decoder is loaded, and a job that needs no
    # font, or no codec, does not wait for it.
    if name == "inspect":
        from .inspecting import inspect

        return inspect
    if name == "last_frame":
        from .inspecting import last_frame

        return last_frame
    if name == "faststart":
        from .remux import faststart

        return faststart
    if name == "concat":
        from .joining import concat

        return concat
    if name == "render":
        from .rendering import render

        return render
    raise Failure(LIMITS, "The media process was asked for something it does not know.")


def _explain(error: Exception) -> tuple[str, str]:
    """A code, and words for the asker, which never are the library's own."""
    if isinstance(error, Failure):
        return error.code, error.detail
    number = getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return UNAVAILABLE, "There was not enough memory to work on this file."
    if isinstance(error, ImportError) or number in {errno.EMFILE, errno.ENFILE, errno.EAGAIN}:
        return UNAVAILABLE, "The media process could not be started."
    if number == errno.EFBIG:
        return LIMITS, "The result would be larger than is allowed."
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return "storage_full", "There is no room left to write the result."
    if type(error).__name__ == "DecompressionBombError":
        return LIMITS, "The image has more pixels than are allowed."
    if isinstance(error, AttributeError | KeyError | TypeError | AssertionError):
        return LIMITS, "The media process failed on this file."
    return UNREADABLE, "The file is damaged, or its format is not supported."
