"""Where backups lie: a folder, or a bucket of an S3-compatible store.

A file there is whole or not there at all: however a write is cut off, nothing half-written is
ever seen under its name.
"""

import errno
import os
import re
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
# What a folder's half-written files are called.
_PARTIAL = re.compile(r"[0-9a-f]{32}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+")
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[!-~]*)?")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_PLAIN = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")


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

    @property
    def name(self) -> str:
        """The place in words, the same however it was written (see `name_of`)."""
        ...

    def is_new(self) -> bool:
        """Whether nothing at all is there yet."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

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


def name_of(url: str) -> str:
    """What a target is called: of two ways to write the same one, one."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return f"s3://{parts.netloc}/{parts.path.strip('/')}".rstrip("/")
    # Not resolve(): nothing is asked of a disk that may hang.
    return os.path.abspath(url)  # noqa: PTH100


class Folder:
    """A folder, on a disk of its own best of all."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.name = name_of(str(root))

    def is_new(self) -> bool:
        """See Target. Raises TargetError when the folder that it is to be made in is not there."""
        with _disk(self._root):
            try:
                # A disk of its own has that one from the start.
                return all(one.name == "lost+found" for one in self._root.iterdir())
            except FileNotFoundError:
                parent = Path(self.name).parent
                if not parent.is_dir():
                    raise TargetError(
                        f"There is no folder {parent} to make {self.name} in. Is its disk mounted?"
                    ) from None
                return True

    def has(self, name: str) -> bool:
        """See Target."""
        with _disk(self._root):
            return (self._root / name).exists()

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
        with _disk(self._root), suppress(FileNotFoundError):
            for path in (self._root / "partial").iterdir():
                if _PARTIAL.fullmatch(path.name):
                    path.unlink(missing_ok=True)


class Bucket:
    """A bucket. Credentials, region and endpoint come from the usual AWS variables."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self.name = name_of(f"s3://{bucket}/{prefix}")
        self._store = s3_store(bucket, prefix)

    def is_new(self) -> bool:
        """See Target."""
        with self._words():
            return not any(page for page in obstore.list(self._store))

    def has(self, name: str) -> bool:
        """See Target."""
        with self._words():
            try:
                obstore.head(self._store, name)
            except FileNotFoundError:
                return False
            return True

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
    """A bucket as the client has it. Raises Invalid for names and settings that cannot be used."""
    _check_s3(bucket)
    try:
        return S3Store(
            bucket,
            prefix=prefix or None,
            # An endpoint without TLS is the operator's own choice; AWS itself is asked by https.
            client_options={"allow_http": True, "timeout": timedelta(seconds=120)},
            retry_config={"max_retries": 6, "retry_timeout": timedelta(seconds=90)},
        )
    except ValueError as error:
        raise Invalid(f"The prefix '{prefix}' cannot be used: {reason(error)}") from None
    except BaseError as error:
        raise Invalid(f"s3://{bucket} cannot be used: {reason(error)}") from None


def _check_s3(bucket: str) -> None:
    """Raise Invalid for what the client panics at, when it is asked for the first time."""
    # The name is not repeated: whoever writes s3://key:secret@bucket has a secret in it.
    if not _BUCKET.fullmatch(bucket):
        raise Invalid(
            "The bucket's name may only have letters, digits, dots, hyphens and underscores: "
            "s3://bucket/prefix is wanted."
        )
    for name in _ENDPOINTS:
        url = os.environ.get(name, "")
        if url and not _ENDPOINT.fullmatch(url):
            raise Invalid(f"{name} must be a URL such as https://host or http://host:9000.")
    for name in _PLAIN:
        if re.search(r"[^!-~]", os.environ.get(name, "")):
            raise Invalid(f"{name} must not have spaces or line breaks in it.")


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
    # An answer to HEAD has no words of its own.
    if "status code: 403" in text:
        return (
            "access was denied (403). Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and "
            "what they have the right to."
        )
    if "status code: 404" in text:
        return "there is no such bucket, or nothing of that name in it (404)."
    return text.partition("\n")[0][:300]
