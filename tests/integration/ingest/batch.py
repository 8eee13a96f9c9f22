"""Stands in for `launch.py`: fetches many URLs, one after the other, in one process.

`batch.py FILE` is written into the command by the test; FILE is JSON: `launch`, `urls`, `hidden`
(modules that cannot be imported), and `said`, the file for all that is written to standard error.
The process with yt-dlp starts once, which is most of the time that a fetch takes.
"""

import json
import os
import runpy
import sys
import traceback
from pathlib import Path


def run(file: str, arguments: list[str]) -> None:
    plan = json.loads(Path(file).read_text())
    sys.modules.update(dict.fromkeys(plan["hidden"]))  # None there is an ImportError
    with Path(plan["said"]).open("wb") as said, Path(os.devnull).open("wb") as nowhere:
        os.dup2(said.fileno(), 2)
        os.dup2(nowhere.fileno(), 1)
    main = runpy.run_path(plan["launch"])["main"]
    for url in plan["urls"]:
        sys.stderr.write(f"URL {url}\n")
        sys.stderr.flush()
        try:
            main([*arguments[:-1], url])
        except SystemExit as end:
            sys.stderr.write(f"EXIT {end.code}\n")
        except Exception:  # noqa: BLE001 - as Python itself would end
            traceback.print_exc()
        for left in Path.cwd().glob("media*"):
            left.unlink()
