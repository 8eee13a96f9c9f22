"""The one policy for waiting and giving up.

A temporary fault says nothing about what was asked for: it is tried again. Each wait is longer
than the one before, up to a bound. The bound is a time, as these calls cost nothing. What costs
money (another prediction) is bounded by `REELBASE_MAX_ATTEMPTS` alone. A verdict (a refusal, a
file that cannot be decoded) ends at once, wherever it comes from.

docs/settings.md has the table of these policies; a test compares them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@dataclass(frozen=True)
class Policy:
    """Seconds: the `first` wait, doubled each time up to `longest`; `bound`: given up after."""

    first: float
    longest: float
    bound: float

    def wait(self, failures: int) -> float:
        """The wait after so many failures in a row (1 and more), without jitter."""
        # The exponent has a bound as floats overflow.
        return float(min(self.first * 2.0 ** min(max(failures, 1) - 1, 60), self.longest))

    def is_spent(self, failures: int) -> bool:
        """Whether the waits between so many failures add up to the bound."""
        waited = 0.0
        for failure in range(1, failures):
            waited += self.wait(failure)
            if waited >= self.bound:
                return True
        return False

    def delay(self, failures: int, spread: Callable[[], float]) -> timedelta:
        """The wait after so many failures, with jitter: see `jittered`."""
        return timedelta(seconds=jittered(self.wait(failures), spread))


# A submission that surely did not reach the provider, and a file that is uploaded for it.
SUBMIT = Policy(1.0, MINUTE, DAY)
# Looking a prediction up.
LOOK_UP = Policy(1.0, MINUTE, DAY)
# The result of a prediction that has ended.
RESULT = Policy(1.0, MINUTE, 15 * MINUTE)
# Looking for the prediction of a submission that was not answered, beyond the grace.
LOST = Policy(1.0, 30.0, 15 * MINUTE)
# Before another prediction; not bounded in time, but by REELBASE_MAX_ATTEMPTS.
AGAIN = Policy(5.0, 5 * MINUTE, DAY)
# Storing an output; the first wait is REELBASE_SAVE_RETRY_SECONDS.
SAVE = Policy(15.0, 10 * MINUTE, 7 * DAY)
# Probe and poster, the last frame of a clip, combining: the media process was killed, or had no
# time, memory or file descriptors.
MEDIA = Policy(5.0, HOUR, 6 * HOUR)
# A download; the first wait is REELBASE_DOWNLOAD_RETRY_SECONDS.
DOWNLOAD = Policy(10.0, 10 * MINUTE, 30 * MINUTE)
# A message to a caller's webhook.
DELIVER = Policy(5.0, 8 * HOUR, DAY)
# A job that failed in a way that nobody foresaw.
UNFORESEEN = Policy(5.0, 10 * MINUTE, HOUR)

# Waits from here on are reported, with why and until when.
REPORTED = 2.0


def jittered(seconds: float, spread: Callable[[], float] = random.random) -> float:
    """A wait of 75 to 125 percent, so that those who failed together do not return together."""
    return seconds * (0.75 + spread() / 2)
