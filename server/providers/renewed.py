"""A provider's webhook keys: fetched once, and anew when they seem to have been rotated."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from server.clock import Clock

T = TypeVar("T")

# Anybody may send a bad signature, so the provider is asked again only this seldom (seconds).
_AGE = 300.0
# Nor is a key believed in for ever: providers take compromised ones back.
_TRUSTED = 86400.0


class Renewed(Generic[T]):
    """Keeps what `fetch` gives. Errors of `fetch` come through, and nothing is kept then."""

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], clock: Clock, given: T | None = None
    ) -> None:
        """`given` is used for good when the value is known beforehand."""
        self._fetch, self._monotonic = fetch, clock.monotonic
        self._value = given
        self._fixed = given is not None
        self._at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> T:
        """The value."""
        async with self._lock:
            old = not self._fixed and self._monotonic() > self._at + _TRUSTED
            if self._value is None or old:
                self._value = await self._fetch()
                self._at = self._monotonic()
            return self._value

    async def instead_of(self, bad: T) -> T | None:
        """A newer value than the one that failed; None when there is none to be had now."""
        async with self._lock:
            if self._value == bad:
                if self._fixed or self._monotonic() < self._at + _AGE:
                    return None
                self._value = await self._fetch()
                self._at = self._monotonic()
            return None if self._value == bad else self._value
