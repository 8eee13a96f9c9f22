"""JSON bodies: how large they may be, and that what cannot be read is the sender's mistake."""

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException, SerializationException

from server.errors import TooLarge
from server.http.uploads import UploadBroken
from server.json_bounds import DEEPEST, ELEMENTS, TooDeepError, TooManyElementsError, check

# Limits of bodies in bytes. A route that declares none has the usual one.
SIGN_IN = 4 * 1024
USUAL = 64 * 1024
# Twenty clips with the longest prompts, whatever they are written in.
STORYBOARD = 2 * 1024 * 1024
# A provider's prediction: its logs and inputs are in it.
WEBHOOK = 4 * 1024 * 1024


class JsonRequest(Request[Any, Any, State]):
    """A request whose JSON is bounded before it is decoded, and malformed also when no UTF-8."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """See the framework, for which it is our fault when the client leaves in the middle.

        Raises UploadBroken then: nobody hears it, but it is counted and logged.
        """
        try:
            async for piece in super().stream():
                yield piece
        except InternalServerException:
            raise UploadBroken("The body ended before all of it had come. Send it again.") from None

    async def json(self) -> Any:
        """See the framework. Raises TooLarge, and SerializationException: answered with 400."""
        # Before the decoding: whose errors are to be ours must come from nothing else.
        body = await self.body()
        try:
            check(body, ELEMENTS)
            return await super().json()
        except TooManyElementsError:
            raise TooLarge(
                f"The JSON has more than {ELEMENTS} elements, those of all its lists and objects "
                "together.",
                code="too_many_elements",
            ) from None
        except (TooDeepError, RecursionError):
            raise SerializationException(
                f"JSON is malformed, or nested too deep: {DEEPEST} levels are taken"
            ) from None
        except UnicodeDecodeError:
            raise SerializationException("JSON is malformed: it is not UTF-8") from None
