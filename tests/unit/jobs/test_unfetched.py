"""Failed predictions whose files were not fetched: whose fault it was, and what follows."""

import pytest

from server.catalog.tokens import Lent
from server.jobs.unfetched import INPUT_CODES, Verdict, judge, words

FETCHED = Lent("fetched.png", (200, 200), whole=True)
NEVER = Lent("never.png", (), whole=False)
HEAD_ONLY = Lent("head.png", (200,), whole=False)
CUT_OFF = Lent("cut.png", (200, 200), whole=False)
OVERLOADED = Lent("503.png", (503,), whole=False)
REFUSED = Lent("refused.png", (401, 401), whole=False)


@pytest.mark.parametrize(
    ("lent", "missed"),
    [
        ([], ()),
        ([FETCHED], ()),
        ([REFUSED], ()),
        ([NEVER], ("never.png",)),
        ([HEAD_ONLY], ("head.png",)),
        ([CUT_OFF], ("cut.png",)),
        ([OVERLOADED], ("503.png",)),
        ([FETCHED, NEVER], ("never.png",)),
        ([REFUSED, FETCHED], ()),
        ([NEVER, CUT_OFF, FETCHED], ("never.png", "cut.png")),
    ],
)
@pytest.mark.parametrize("code", sorted(INPUT_CODES))
@pytest.mark.parametrize("was_down", [False, True])
@pytest.mark.parametrize("attempts", [1, 2])
def test_only_our_own_absence_excuses_an_unusable_input(
    lent: list[Lent], missed: tuple[str, ...], code: str, was_down: bool, attempts: int
) -> None:
    """A new prediction costs money: not for a wrong image, nor for a network that is not ours."""
    expected = missed if was_down else ()
    verdict = judge(
        code, temporary=False, lent=lent, was_down=was_down, attempts=attempts, max_attempts=2
    )
    assert verdict == Verdict(again=bool(expected) and attempts < 2, missed=expected)


@pytest.mark.parametrize("code", ["E001", "E005", "content_policy_violation", "canceled", None])
def test_other_failures_have_nothing_to_do_with_our_restart(code: str | None) -> None:
    """They are final, whether we were down or not."""
    verdict = judge(code, temporary=False, lent=[NEVER], was_down=True, attempts=1, max_attempts=9)
    assert verdict == Verdict(again=False)


@pytest.mark.parametrize("was_down", [False, True])
@pytest.mark.parametrize(("attempts", "again"), [(1, True), (2, False), (3, False)])
def test_what_the_provider_calls_temporary_is_tried_again(
    was_down: bool, attempts: int, again: bool
) -> None:
    """Within the attempts that the operator allows."""
    verdict = judge(
        "E004", temporary=True, lent=[], was_down=was_down, attempts=attempts, max_attempts=2
    )
    assert verdict == Verdict(again=again)


def test_the_words_blame_whom_they_should() -> None:
    """An operator must not look for a fault of the network after a deploy."""
    lent = [FETCHED, NEVER, REFUSED]
    said = words("Replicate", lent, ["never.png"])
    assert "Replicate asked for fetched.png and got 200." in said
    assert "did not get never.png because this service was restarted" in said
    assert "asked for refused.png and got 401." in said
    assert "can it reach" not in said
    assert "never asked for never.png: can it reach this service?" in words("FAL", [NEVER], [])
