"""Long work on bytes: a bar on stderr, and words when the machine fails."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from server.library.words import size_of

STEPS = 1000


@contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to be called with the bytes done and the bytes of all.

    Nothing is shown when `quiet`, or when nobody looks at a terminal. A disk or a database that
    fails is told in a sentence.
    """
    try:
        with _bar(label, quiet) as report:
            yield report
    except (OSError, sqlite3.Error) as error:
        raise click.ClickException(f"{label} broke off: {error}.") from None


@contextmanager
def _bar(label: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(length=STEPS, label=label, file=sys.stderr) as bar:

        def report(done: int, total: int) -> None:
            bar.label = f"{label} {size_of(done)} of {size_of(total)}"
            bar.update(max(0, done * STEPS // max(1, total) - bar.pos))

        yield report
        bar.update(max(0, STEPS - bar.pos))
