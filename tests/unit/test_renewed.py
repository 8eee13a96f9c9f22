"""A provider's webhook keys: how long they are believed in, how often they are asked for."""

import pytest

from server.providers.renewed import Renewed
from tests.unit.clock import FakeClock

pytestmark = pytest.mark.anyio


class Provider:
    """Counts how often it is asked; `key` is what it says."""

    asked = 0
    key = "first"

    async def fetch(self) -> str:
        self.asked += 1
        return self.key


async def test_a_key_is_believed_in_for_a_day() -> None:
    """A provider that takes a stolen key back does not tell us."""
    provider, clock = Provider(), FakeClock()
    keys = Renewed(provider.fetch, clock)
    assert await keys.get() == "first"
    provider.key = "second"
    await clock.advance(86_400)
    assert (await keys.get(), provider.asked) == ("first", 1)
    await clock.advance(1)
    assert (await keys.get(), provider.asked) == ("second", 2)


async def test_bad_signatures_ask_the_provider_seldom() -> None:
    """Anybody can send one: they must not make us a load on the provider."""
    provider, clock = Provider(), FakeClock()
    keys = Renewed(provider.fetch, clock)
    await keys.get()
    provider.key = "second"
    for _ in range(10):
        assert await keys.instead_of("first") is None
        await clock.advance(29)
    assert provider.asked == 1
    await clock.advance(10)
    assert await keys.instead_of("first") == "second"
    assert await keys.instead_of("first") == "second"  # had already: nobody is asked
    assert await keys.instead_of("second") is None
    assert provider.asked == 2


async def test_a_key_that_was_given_is_used_for_good() -> None:
    """Who has set one wants no other."""
    provider, clock = Provider(), FakeClock()
    keys = Renewed(provider.fetch, clock, "given")
    await clock.advance(10**6)
    assert (await keys.get(), await keys.instead_of("given"), provider.asked) == ("given", None, 0)
