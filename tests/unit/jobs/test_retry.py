"""The policy of waiting and giving up, by itself."""

import re
from pathlib import Path

import pytest

from server.jobs import retry
from server.jobs.retry import Policy, jittered

SETTINGS = Path(__file__).parents[3] / "docs" / "settings.md"
POLICIES = {name: one for name, one in vars(retry).items() if isinstance(one, Policy)}


def test_the_bounds_are_those_of_the_docs() -> None:
    """An operator reads there how long what is waited out, and what comes then."""
    row = re.compile(r"^\| `([A-Z_]+)`: [^|]+ \| (\d+) \| (\d+) \| (\d+|none) \|", re.M)
    stated = {name: numbers for name, *numbers in row.findall(SETTINGS.read_text())}
    assert stated == {
        name: [
            f"{one.first:g}",
            f"{one.longest:.0f}",
            "none" if name == "AGAIN" else f"{one.bound:.0f}",
        ]
        for name, one in POLICIES.items()
    }


@pytest.mark.parametrize("name", POLICIES)
def test_waits_grow_to_the_longest_and_end(name: str) -> None:
    """Nothing is asked for in a tight circle, nor for ever."""
    policy = POLICIES[name]
    waits = [policy.wait(failures) for failures in range(1, 200)]
    assert waits[0] == policy.first
    assert waits == sorted(waits)
    assert waits[-1] == policy.longest
    assert policy.wait(10**9) == policy.longest
    assert not policy.is_spent(1)
    failures = next(number for number in range(1, 5000) if policy.is_spent(number))
    waited = sum(policy.wait(number) for number in range(1, failures))
    assert policy.bound <= waited < policy.bound + policy.longest
    assert policy.is_spent(failures + 1)


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_waits_differ(spread: float, share: float) -> None:
    """Those who failed together do not return together."""
    assert jittered(8.0, lambda: spread) == pytest.approx(8.0 * share)
