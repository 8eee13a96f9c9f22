"""How far a download is, how fast, and how long still: from what its parts say, for its row."""

from collections import deque
from collections.abc import Callable
from typing import Any

from server.ingest.output import Progress

# Seconds over which the speed is taken.
WINDOW = 3.0
# Of a fetched file that still has to go into its blob.
FETCHED = 0.9
# Whole is only what is stored.
MOST = 0.99


class Meter:
    """Hears of bytes; `news` is what has changed since it was last asked."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` in seconds, from anywhere."""
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._share = 0.0
        self._from = 0.0  # where the share of the present step begins
        self._speed: float | None = None
        self._eta: float | None = None
        self._status = "processing"
        self._told: dict[str, Any] = {}

    def heard(self, progress: Progress) -> None:
        """What yt-dlp says; its speed is of one fragment, so ours is taken from the bytes."""
        self._count(progress.downloaded or 0, progress.total, FETCHED)

    def arrived(self) -> None:
        """The file is here; it goes on into the blob."""
        self._status = "storing"
        self._share = self._from = FETCHED
        self._speed = self._eta = None
        self._seen = deque([(self._clock(), 0)])

    def took(self, done: int, total: int | None) -> None:
        """Bytes that are in the blob."""
        self._count(done, total, MOST)

    def storing(self) -> None:
        """All bytes are in the blob: only judging and committing is left."""
        self._status = "storing"
        self._share = MOST
        self._speed = self._eta = None

    def news(self) -> dict[str, Any]:
        """Columns of the job that are other than they were told; empty when none is."""
        now = {
            "status": self._status,
            "progress": round(self._share, 3),
            "speed": None if self._speed is None else round(self._speed),
            "eta": None if self._eta is None else round(self._eta, 1),
        }
        news = {name: value for name, value in now.items() if self._told.get(name) != value}
        self._told = now
        return news

    def _count(self, done: int, total: int | None, most: float) -> None:
        now = self._clock()
        while len(self._seen) > 1 and self._seen[0][0] < now - WINDOW:
            self._seen.popleft()
        began, before = self._seen[0]
        # One mark in a tenth of a window is enough: pieces come by the thousand.
        if now - self._seen[-1][0] >= WINDOW / 10:
            self._seen.append((now, done))
        if now - began > WINDOW / 10:
            self._speed = max(0.0, (done - before) / (now - began))
        if total:
            share = min(1.0, done / total)
            self._share = max(self._share, self._from + (most - self._from) * share)
            self._eta = max(0, total - done) / self._speed if self._speed else None
