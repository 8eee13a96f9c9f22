"""Who writes to an upload: when a connection counts as dead, and who has to leave for whom."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from server.errors import Unavailable
from server.library.seats import PATIENCE, QUIET, STALL, Seat, Seats, UploadLocked, UploadStalled
from tests.unit.clock import FakeClock

pytestmark = pytest.mark.anyio


async def pieces(sent: asyncio.Queue[bytes]) -> AsyncGenerator[bytes, None]:
    """What is sent, without an end."""
    while True:
        yield await sent.get()


class Sender:
    """A request that has the upload and waits for bytes."""

    def __init__(self, seats: Seats) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.taken: list[bytes] = []
        self.task = asyncio.create_task(self._send(seats))

    async def _send(self, seats: Seats) -> None:
        stream = pieces(self.sent)
        async with seats.take("up") as seat:
            while (piece := await seat.next(stream)) is not None:
                self.taken.append(piece)

    async def fails(self) -> BaseException:
        """How it has ended."""
        assert self.task.done()
        error = self.task.exception()
        assert error is not None
        return error


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def seats(clock: FakeClock) -> Seats:
    return Seats(clock)


async def test_with_each_piece_the_wait_begins_anew(clock: FakeClock) -> None:
    """Quiet is one from which nothing has come for long, however long ago it began."""
    seat, sent = Seat(clock), asyncio.Queue[bytes]()
    stream = pieces(sent)
    for _ in range(2):
        taking = asyncio.create_task(seat.next(stream))
        await clock.settle()
        assert not seat.is_quiet()
        await clock.advance(QUIET + 0.1)
        assert seat.is_quiet()
        sent.put_nowait(b"a piece")
        assert await taking == b"a piece"
        assert not seat.is_quiet()


async def test_a_connection_that_is_dead_ends_by_itself(clock: FakeClock, seats: Seats) -> None:
    """Nobody else may ever want the upload: its memory and its reader are given back all the
    same, and no sooner than that.
    """
    sender = Sender(seats)
    for _ in range(3):  # three times nearly too late
        await clock.advance(STALL - 1)
        sender.sent.put_nowait(b"x")
        await clock.settle()
    await clock.advance(STALL - 1)
    assert not sender.task.done()
    await clock.advance(1)
    assert isinstance(await sender.fails(), UploadStalled)
    assert sender.taken == [b"x"] * 3


async def test_a_quiet_one_leaves_for_who_comes_back(clock: FakeClock, seats: Seats) -> None:
    """The former connection of a client must not keep it out: nobody told us that it is dead."""
    old = Sender(seats)
    await clock.advance(QUIET + 0.1)
    new = Sender(seats)
    await clock.settle()
    assert isinstance(await old.fails(), UploadLocked)
    new.sent.put_nowait(b"x")
    await clock.settle()
    assert new.taken == [b"x"]
    new.task.cancel()


async def test_one_that_goes_on_sending_stays(clock: FakeClock, seats: Seats) -> None:
    """Another request waits for it a moment, then is refused; it can try again."""
    old = Sender(seats)
    await clock.settle()
    new = Sender(seats)
    waited = 0.0
    while not new.task.done():
        assert waited <= PATIENCE + 1
        old.sent.put_nowait(b"x")
        await clock.advance(QUIET / 2)
        waited += QUIET / 2
    assert isinstance(await new.fails(), UploadLocked)
    assert waited >= PATIENCE
    assert not old.task.done()
    old.task.cancel()


async def test_who_deletes_the_upload_waits_for_nobody(clock: FakeClock, seats: Seats) -> None:
    """Bytes that are to go need not be waited for."""
    old = Sender(seats)
    await clock.settle()
    async with seats.take("up", at_once=True):
        assert isinstance(await old.fails(), UploadLocked)


async def test_all_leave_when_the_service_ends(clock: FakeClock, seats: Seats) -> None:
    """A shutdown that waits for the slowest sender would be cut off."""
    sender = Sender(seats)
    await clock.settle()
    seats.close()
    await clock.settle()
    assert isinstance(await sender.fails(), Unavailable)


async def test_who_gives_up_waiting_does_not_keep_the_upload(
    clock: FakeClock, seats: Seats
) -> None:
    """A request that is cut off while it waits its turn must not have the upload for ever."""
    old = Sender(seats)
    await clock.settle()
    new = Sender(seats)
    await clock.settle()
    new.task.cancel()
    old.task.cancel()
    await clock.settle()
    async with seats.take("up"):
        pass
