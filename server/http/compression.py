"""Answers in JSON are compressed. Bytes never are.

Litestar's own would also compress videos, and pieces of them with their Content-Range kept.
"""

from collections.abc import Iterable

from litestar.config.compression import CompressionConfig
from litestar.datastructures import Headers
from litestar.middleware.compression import CompressionMiddleware
from litestar.types import Message, Scope, Send


class _OfJson(CompressionMiddleware):
    """Compresses what its Content-Type says is JSON; all else passes as it is."""

    def create_compression_send_wrapper(
        self, send: Send, compression_encoding: str, scope: Scope
    ) -> Send:
        """`send`, with the compression in between where it is wanted."""
        chosen = send

        async def choosing(message: Message) -> None:
            nonlocal chosen
            if message["type"] == "http.response.start" and _is_json(message["headers"]):
                create = super(_OfJson, self).create_compression_send_wrapper
                chosen = create(send, compression_encoding, scope)
            await chosen(message)

        return choosing


def _is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return "json" in Headers(headers).get("content-type", "")


# Routes that serve an asset's bytes are left alone even if those are JSON.
JSON = CompressionConfig(
    backend="gzip",
    gzip_compress_level=6,
    minimum_size=1000,
    middleware_class=_OfJson,
    exclude_opt_key="token_auth",
)
