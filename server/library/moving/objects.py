"""Reading the objects of an S3-compatible bucket; nothing is ever asked of it but list and get."""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
)

from server.errors import Invalid, Unavailable
from server.library.backup.target import reason, s3_store

# Fetched at once; one more part is on its way while one is written.
PART = 8 * 1024 * 1024
PIECE = 1024 * 1024


class Unreadable(Exception):
    """An object cannot be had, the others perhaps; the text says why."""


@dataclass(frozen=True)
class Object:
    """What the bucket's list says of an object; the key is whole, with the prefix."""

    key: str
    size: int
    etag: str | None
    modified: datetime

    @property
    def version(self) -> str:
        """What differs when somebody has put another object there."""
        return self.etag or self.modified.isoformat()

    @property
    def md5(self) -> str | None:
        """The MD5 of the bytes, where the ETag looks like one (it may be no such thing)."""
        etag = (self.etag or "").strip('"')
        return etag if re.fullmatch("[0-9a-f]{32}", etag) else None


class Objects:
    """A bucket, or what is under a prefix of it. The usual AWS variables say where and who."""

    def __init__(self, url: str) -> None:
        """`s3://bucket/prefix`. Raises Invalid for anything else."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise Invalid(f"'{url}' is not of the form s3://bucket or s3://bucket/prefix.")
        self.bucket, self.prefix = f"s3://{parts.netloc}", parts.path.strip("/")
        # Keys are whole here; the prefix is only checked.
        s3_store(parts.netloc, self.prefix)
        self._store = s3_store(parts.netloc)

    async def list(self) -> list[Object]:
        """Every object, by key. Raises Unavailable, and Invalid for keys that cannot be read."""
        found = []
        async with self._words():
            async for page in obstore.list(self._store, self.prefix or None):
                found += [
                    Object(one["path"], one["size"], one["e_tag"], one["last_modified"])
                    for one in page
                ]
        return sorted(found, key=lambda one: one.key)

    async def pieces(self, one: Object) -> AsyncGenerator[bytes, None]:
        """The bytes of an object as it was when it was listed. Raises Unreadable, Unavailable."""
        starts = range(0, one.size, PART)
        ahead = asyncio.create_task(self._part(one, 0))
        try:
            for start in starts:
                part = memoryview(await ahead)
                if start + PART < one.size:
                    # A request for each part: one for all would have to last as long.
                    ahead = asyncio.create_task(self._part(one, start + PART))
                for at in range(0, len(part), PIECE):
                    yield bytes(part[at : at + PIECE])
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def read_md5(self, one: Object) -> str:
        """The MD5 of an object's bytes, read for this. Raises Unreadable, Unavailable."""
        digest = hashlib.md5(usedforsecurity=False)
        async for piece in self.pieces(one):
            await asyncio.to_thread(digest.update, piece)
        return digest.hexdigest()

    async def _part(self, one: Object, start: int) -> obstore.Bytes:
        options: obstore.GetOptions = {"range": (start, min(start + PART, one.size))}
        if one.etag:
            options["if_match"] = one.etag
        async with self._words():
            answer = await obstore.get_async(self._store, one.key, options=options)
            return await answer.bytes_async()

    @asynccontextmanager
    async def _words(self) -> AsyncIterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise Unreadable(f"it is not there: {reason(error)}") from None
        except InvalidPathError as error:
            # The client drops the whole page of the list that such a key is on.
            said = "".join(one if one.isprintable() else "?" for one in reason(error))
            raise Invalid(
                f"{self.bucket} has a key that can neither be read nor be listed around: {said}. "
                "Such are keys with '//' in them, with '.' or '..' between slashes, or with "
                f"control characters. Import prefixes without them ({self.bucket}/PREFIX), or "
                "give those objects other keys first."
            ) from None
        except PreconditionError:
            raise Unreadable("it was changed while it was read: it comes the next time") from None
        except PermissionDeniedError as error:
            raise Unreadable(f"it may not be read: {reason(error)}") from None
        except (BaseError, OSError) as error:
            raise Unavailable(
                f"{self.bucket} does not answer as it should: {reason(error)}"
            ) from None
