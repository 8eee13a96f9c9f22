"""The guarded way out, for everything that follows a foreign URL.

`addresses` judges text and addresses (pure), `guard` resolves once and connects to what it
judged, `transport` puts httpx on top of that.
"""

from server.egress.addresses import (
    BlockedAddress,
    HostNotFound,
    ParsedURL,
    UnsupportedURL,
    authority,
    check_url,
    is_public,
    parse_allowed,
    split_authority,
)
from server.egress.guard import Guard

__all__ = [
    "BlockedAddress",
    "Guard",
    "HostNotFound",
    "ParsedURL",
    "UnsupportedURL",
    "authority",
    "check_url",
    "is_public",
    "parse_allowed",
    "split_authority",
]
