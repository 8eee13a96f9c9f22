"""Where backups lie: a folder, or a bucket of an S3-compatible store.

A file there is whole or not there at all: however a write is cut off, nothing half-written is
ever seen under its name.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from server.errors import Invalid, ReelbaseError

# Sent and fetched at once. An upload holds PARTS of them in memory.
PART = 8 * 1024 * 1024
PARTS = 2
# S3 takes no more parts of one object.
MAX_PARTS = 10_000
PIECE = 1024 * 1024


class TargetError(ReelbaseError):
    """What backups are written to, or read from, does not do it; the words say why."""

    status = 503
    code = "backup_target"


class Missing(TargetError):
    """There is no such file at the target."""


@dataclass(frozen=True)
class Entry:
    """A file at a target; `modified` by the target's own clock."""

    name: str
    size: int
    modified: float


class Target(Protocol):
    """Files by names with slashes in them. All methods raise TargetError."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every file whose name begins with `prefix`, which ends with a slash."""
        ...

    def read(self, name: str, size: int) -> Iterator[bytes]:
        """The bytes of a file of that size, in pieces. Raises Missing."""
        ...

    def write(self, name: str, pieces: Iterable[bytes], size: int) -> None:
        """Write a file, whole or not at all: when `pieces` raises, nothing is there."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def tidy(self) -> None:
        """Remove what writes that were cut off have left. Nobody else may be writing."""
        ...


def open_target(url: str) -> Target:
    """A folder's path, or `s3://bucket/prefix`. Raises Invalid for anything else."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise Invalid(f"{url} names no bucket: s3://bucket/prefix is wanted.")
        return Bucket(parts.netloc, parts.path.strip("/"))
    if "://" in url or not url:
        raise Invalid(f"'{url}' is neither a folder nor s3://bucket/prefix.")
    return Folder(Path(url))


class Folder:
    """A folder, on a disk of its own best of all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, prefix: str) -> Iterator[Entry]:
        """See Target."""
        with _disk(self._root):
            for folder, _, names in os.walk(self._root / prefix, onerror=_unless_missing):
                for name in sorted(names):
                    path = Path(folder, name)
                    stat = path.stat()
                    relative = path.relative_to(self._root).as_posix()
                    yield Entry(relative, stat.st_size, stat.st_mtime)

    def read(self, name: str, size: int) -> Iterator[bytes]:
        """See Target."""
        with _disk(self._root), (self._root / name).open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    def write(self, name: str, pieces: Iterable[bytes], size: int) -> None:
        """See Target."""
        path, partial = self._root / name, self._root / "partial" / uuid4().hex
        try:
            with _disk(self._root):
                partial.parent.mkdir(parents=True, exist_ok=True)
                path.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("wb") as file:
                    for piece in pieces:
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
                sync_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """See Target."""
        with _disk(self._root):
            path = self._root / name
            path.unlink(missing_ok=True)
            # The folder of a backup goes with its last file.
            if path.parent.parent.name == "backups":
                with suppress(OSError):
                    path.parent.rmdir()

    def tidy(self) -> None:
        """See Target."""
        shutil.rmtree(self._root / "partial", ignore_errors=True)


class Bucket:
    """A bucket. Credentials, region and endpoint come from the usual AWS variables."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._store = s3_store(bucket, prefix)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See Target."""
        with self._words():
            for page in obstore.list(self._store, prefix.rstrip("/")):
                for one in page:
                    yield Entry(one["path"], one["size"], one["last_modified"].timestamp())

    def read(self, name: str, size: int) -> Iterator[bytes]:
        """See Target."""
        # A request for each part: a single one would have to last as long as the whole file.
        with self._words():
            for start in range(0, size, PART):
                end = min(start + PART, size)
                part = memoryview(obstore.get_range(self._store, name, start=start, end=end))
                for at in range(0, len(part), PIECE):
                    yield bytes(part[at : at + PIECE])

    def write(self, name: str, pieces: Iterable[bytes], size: int) -> None:
        """See Target."""
        with self._words():
            if size <= PART:
                obstore.put(self._store, name, b"".join(pieces), use_multipart=False)
                return
            obstore.put(
                self._store,
                name,
                iter(pieces),
                chunk_size=max(PART, -(-size // MAX_PARTS)),
                max_concurrency=PARTS,
            )

    def delete(self, name: str) -> None:
        """See Target."""
        with self._words():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                pass

    def tidy(self) -> None:
        """See Target: parts of an upload that was cut off are the bucket's rules to remove."""

    @contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise Missing(f"s3://{self._bucket} lacks it: {reason(error)}") from None
        except (BaseError, OSError) as error:
            raise TargetError(f"s3://{self._bucket} cannot be used: {reason(error)}") from None


def s3_store(bucket: str, prefix: str = "") -> S3Store:
    """A bucket as the client has it."""
    return S3Store(
        bucket,
        prefix=prefix or None,
        # An endpoint without TLS is the operator's own choice; AWS itself is asked by https.
        client_options={"allow_http": True, "timeout": timedelta(seconds=120)},
        retry_config={"max_retries": 6, "retry_timeout": timedelta(seconds=90)},
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _disk(root: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"There is no {error.filename}.") from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        words = "is full" if full else f"cannot be used: {error.strerror}"
        raise TargetError(f"{root} {words}.") from None


def reason(error: Exception) -> str:
    """A store's answer in a sentence; the library's own text is a page long."""
    text = str(error)
    if "169.254.169.254" in text:
        return "there are no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    if "error sending request" in text:
        return "its endpoint does not answer."
    message = re.search(r"<Message>([^<]+)</Message>", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    if message and code:
        return f"{message[1].rstrip('.')} ({code[1]})."
    return text.partition("\n")[0][:300]
