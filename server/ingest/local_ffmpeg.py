"""Runs ffmpeg for yt-dlp on files of one folder, and on nothing else.

`python -I -S local_ffmpeg.py FFMPEG FOLDER ARGUMENT…` (standard library only; it is a program,
not a module). ffmpeg opens dozens of URL schemes with sockets of its own, which no guard sees.
So the arguments must be those that yt-dlp's postprocessors write: merging, remuxing, asking for
a codec. All others are refused with REFUSED as the exit status and a sentence on standard error.
"""

import ctypes
import os
import re
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress

REFUSED = 77
# yt-dlp passes the last line of standard error on.
WORDS = "Not Run By Egress Guard"

# A fetched file may be a playlist that names other files, whatever its extension says.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,aac,mp3,ogg,flac,wav,flv,avi,webvtt"
INPUT_OPTIONS = ["-protocol_whitelist", "file", "-format_whitelist", DEMUXERS]
# By its extension ffmpeg chooses the muxer. Some muxers write further files, or to URLs.
EXTENSIONS = {"m4a", "mkv", "mov", "mp4", "webm"}

_OUTPUT_OPTIONS = {
    "-aspect": re.compile(r"\d+(\.\d+)?"),
    "-bsf:a": re.compile("aac_adtstoasc"),
    "-c": re.compile("copy"),
    "-c:s": re.compile("mov_text"),
    "-f": re.compile("mp4"),
    "-map": re.compile(r"\d{1,2}(:[av]:0)?"),
    "-movflags": re.compile(re.escape("+faststart")),
}
_FLAGS = {"-dn", "-ignore_unknown"}

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


class Refused(Exception):
    """ffmpeg is not run with these arguments; says why without repeating a URL or a path."""


def judged(arguments: Sequence[str], folder: str) -> list[str]:
    """Arguments for ffmpeg: those given, with limits for every input.

    Raises Refused for what yt-dlp has no need for.
    """
    if list(arguments) == ["-bsfs"]:  # yt-dlp reads the version and the filters' names from this
        return ["-bsfs"]
    left = list(arguments)
    start = ["-y", "-loglevel", "repeat+info"]
    writes = left[:3] == start
    if writes:
        del left[:3]
    inputs: list[str] = []
    while left[:1] == ["-i"]:
        inputs += [*INPUT_OPTIONS, "-i", _input(left[1:2], folder)]
        del left[:2]
    if not inputs:
        raise Refused("the arguments are not those of merging or remuxing local files")
    if not writes:  # without an output it prints what the input is
        if left:
            raise Refused("only one input can be described")
        return ["-nostdin", *inputs]
    *options, output = left or [""]
    return ["-nostdin", *start, *inputs, *_options(options), _output(output, folder)]


def _input(argument: Sequence[str], folder: str) -> str:
    path = _path(argument[0] if argument else "", folder)
    try:
        regular = stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        regular = False
    if not regular:
        raise Refused("an input is not a regular file")
    return f"file:{path}"


def _options(options: list[str]) -> list[str]:
    left = list(options)
    while left:
        name = left.pop(0)
        if name in _FLAGS:
            continue
        pattern = _OUTPUT_OPTIONS.get(re.sub(r"^-bsf:a:\d{1,2}$", "-bsf:a", name))
        if pattern is None or not left or not pattern.fullmatch(left.pop(0)):
            raise Refused("an option, or its value, is not one that yt-dlp needs")
    if "-c" not in options:
        raise Refused("streams may be copied only")
    return options


def _output(argument: str, folder: str) -> str:
    path = _path(argument, folder)
    if path.rpartition(".")[2].lower() not in EXTENSIONS:
        raise Refused("the output's extension is not one of a video or sound container")
    # A link could lead out of the folder.
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise Refused("the output is not a regular file")
    return f"file:{path}"


def _path(argument: str, folder: str) -> str:
    """The path of `file:PATH`, directly in the folder."""
    scheme, colon, path = argument.partition(":")
    if (scheme, colon) != ("file", ":") or "\0" in path:
        raise Refused("an input or output is not a local file")
    if path.rpartition("/")[0] != folder:
        raise Refused("an input or output is not in the folder of this download")
    return path


def without_network() -> None:
    """Leave the network of the machine, where the system lets us: a second line of defence."""
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is not None and unshare(_CLONE_NEWNET) != 0:
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def main(argv: list[str]) -> None:
    """Become ffmpeg, or exit with REFUSED."""
    ffmpeg, folder, *given = argv
    try:
        arguments = judged(given, folder)
    except Refused as reason:
        sys.stderr.write(f"{WORDS}: {reason}\n")
        sys.exit(REFUSED)
    without_network()
    os.chdir(folder)
    # Nothing of the environment: FFREPORT writes files, *_proxy lead outside.
    os.execve(ffmpeg, [ffmpeg, *arguments], {"LANG": "C.UTF-8"})  # noqa: S606 - not a shell


if __name__ == "__main__":
    main(sys.argv[1:])
