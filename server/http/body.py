"""JSON bodies: whatever cannot be read as JSON is the sender's mistake, never ours."""

from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import SerializationException

# Levels of lists and objects. What is taken in is walked, kept and sent on by recursion.
DEEPEST = 64


class JsonRequest(Request[Any, Any, State]):
    """A request whose JSON is malformed also when it is no UTF-8 or nested without end."""

    async def json(self) -> Any:
        """See the framework. Raises SerializationException, which it answers with 400."""
        # Before the decoding: whose errors are to be ours must come from nothing else.
        await self.body()
        try:
            value = await super().json()
        except UnicodeDecodeError:
            raise SerializationException("JSON is malformed: it is not UTF-8") from None
        except RecursionError:
            raise _too_deep() from None
        if not _within(value, DEEPEST):
            raise _too_deep()
        return value


def _within(value: Any, levels: int) -> bool:
    """Whether lists and objects are in each other no deeper than so many levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return True
    return levels > 0 and all(_within(one, levels - 1) for one in value)


def _too_deep() -> SerializationException:
    return SerializationException(f"JSON is nested too deep: {DEEPEST} levels are taken")
