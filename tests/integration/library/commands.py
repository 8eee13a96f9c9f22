"""Commands run as a shell would, but in this process: a start takes most of a second."""

import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from server.cli import main


def reelbase(*arguments: str | Path, **environment: str | None) -> Result:
    """Run a command to its end. `output` has both streams, `stdout` and `stderr` one each."""
    before = os.umask(0)
    os.umask(before)
    try:
        environment = {"REELBASE_MIN_FREE_BYTES": "0", **environment}
        result = CliRunner().invoke(main, [str(one) for one in arguments], env=environment)
    finally:
        os.umask(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def good(*arguments: str | Path, **environment: str | None) -> Any:
    """What a command that succeeds prints with `--json`."""
    result = reelbase(*arguments, "--json", **environment)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
