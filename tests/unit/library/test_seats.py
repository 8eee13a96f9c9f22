"""Who writes to an upload: when a connection counts as dead."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from server.library import seats

pytestmark = pytest.mark.anyio


async def test_with_each_piece_the_wait_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet is one from which nothing has come for long, however long ago it began."""
    monkeypatch.setattr(seats, "QUIET", 3600.0)
    seat, sent = seats.Seat(), asyncio.Queue[bytes]()

    async def coming() -> AsyncGenerator[bytes, None]:
        while True:
            yield await sent.get()

    stream = coming()
    for _ in range(2):
        taking = asyncio.create_task(seat.next(stream))
        await asyncio.sleep(0)
        assert not seat.is_quiet()
        seat.since -= 7200
        assert seat.is_quiet()
        sent.put_nowait(b"a piece")
        assert await taking == b"a piece"
        assert not seat.is_quiet()
