"""The programs that yt-dlp may run: ffmpeg, by way of `local_ffmpeg`, and deno."""

import importlib
import os
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

WRAPPER = Path(__file__).with_name("local_ffmpeg.py")


@cache
def find_ffmpeg() -> str | None:
    """The ffmpeg on PATH, or the one in the imageio-ffmpeg wheel, which is run to try it."""
    if found := shutil.which("ffmpeg"):
        return str(Path(found).absolute())
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def find_deno() -> str | None:
    """The deno on PATH, or the one of the wheel."""
    found = shutil.which("deno", path=search_path())
    return str(Path(found).absolute()) if found else None


def search_path() -> str:
    """PATH, and before it the folder of the interpreter, where wheels put their programs."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def write_ffmpeg(ffmpeg: str, folder: Path) -> Path:
    """Write a program `ffmpeg` below `folder` that works on the files in `folder`; its path."""
    place = folder / "programs"
    place.mkdir()
    program = place / "ffmpeg"
    command = [sys.executable, "-I", "-S", str(WRAPPER), ffmpeg, str(folder)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o500)
    return program
