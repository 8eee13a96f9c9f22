"""What every store of bytes owes its callers."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection


@dataclass(frozen=True)
class Sealed:
    """What a finished blob is: its size in bytes and its SHA-256 as hex."""

    size: int
    sha256: str


class BlobStore(Protocol):
    """Keeps bytes under a number. A blob is written once, front to back, and never changes.

    A blob is *open* from `create` on, and invisible: what it holds may vanish. `seal` makes its
    bytes complete; `rows.publish`, in the transaction that inserts the asset, makes it visible
    and durable. An open blob whose writing process has died is swept by the next one.
    """

    async def create(self, *, expires_at: datetime | None = None) -> int:
        """Begin an empty blob. With `expires_at` it outlives this process until then."""
        ...

    async def append(
        self,
        blob_id: int,
        offset: int,
        stream: AsyncIterable[bytes],
        *,
        check: Callable[[Connection], None] | None = None,
    ) -> int:
        """Write the pieces of `stream`, of any sizes, at the end; answer the new size.

        `check` is called in each transaction by which bytes begin to count: what it raises
        undoes that, and goes on to the caller.

        `offset` must be the size so far (else Conflict): one appender at a time. When the stream
        fails, the error goes on to the caller; of a blob that is to outlive its process, what
        came before is kept. Raises StorageFull before a piece is written for which there is no
        room.
        """
        ...

    async def seal(self, blob_id: int) -> Sealed:
        """Say what was written. Nothing may be appended afterwards."""
        ...

    async def discard(self, blob_id: int) -> None:
        """Forget a blob that was not published; a published or unknown one is left alone."""
        ...

    def read(self, blob_id: int, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes [start, stop), in pieces small enough that many slow readers fit in memory.

        Holds nothing open between pieces, so that a slow reader keeps nobody waiting. Raises
        LookupError when the bytes are not there (any more).
        """
        ...

    async def delete(self, blob_ids: Sequence[int]) -> None:
        """Give the bytes of dead blobs back, in steps that never hold the writer long."""
        ...

    async def presign(self, blob_id: int) -> str | None:
        """A URL from which the bytes can be had without us, or None where there is none."""
        ...
