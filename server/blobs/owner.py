"""Whose the files of a data folder are."""

import os
from contextlib import suppress
from pathlib import Path


def hand_over(*paths: Path) -> None:
    """Give files and folders that were just made the owner of the folder that they lie in.

    A command that is run as root must leave nothing that the server, which is not root, cannot
    use. For anybody else it does nothing, nor where root may not give files away.
    """
    if os.geteuid() != 0:
        return
    for path in paths:
        folder = path.absolute().parent.stat()
        with suppress(OSError):
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
