"""FAL's webhook signatures: Ed25519, with the public keys at a well-known URL (JWKS).

Source: https://fal.ai/docs/documentation/model-apis/inference/webhooks.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# Seconds that a webhook may be older (or newer) than now.
_AGE = 300
_PREFIX = "x-fal-webhook-"


def read_keys(jwks: object) -> tuple[bytes, ...]:
    """The Ed25519 public keys in a JWKS; ValueError when there is none."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    found = []
    for key in keys if isinstance(keys, list) else []:
        if isinstance(key, dict) and isinstance(key.get("x"), str):
            raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
            if len(raw) == 32 and key.get("crv", "Ed25519") == "Ed25519":
                found.append(raw)
    if not found:
        raise ValueError("there is no Ed25519 key in it")
    return tuple(found)


def problem_with(
    body: bytes, headers: Mapping[str, str], keys: tuple[bytes, ...], now: datetime
) -> str | None:
    """Why a webhook is not to be believed; None when it is genuine and fresh."""
    lower = {name.lower(): value for name, value in headers.items()}
    names = ("request-id", "user-id", "timestamp", "signature")
    parts = {name: lower.get(_PREFIX + name, "") for name in names}
    missing = [name for name, value in parts.items() if not value]
    if missing:
        return f"the header {_PREFIX}{missing[0]} is missing"
    try:
        age = abs(now.timestamp() - int(parts["timestamp"]))
        signature = bytes.fromhex(parts["signature"])
    except (ValueError, OverflowError):
        return "its headers cannot be read"
    if age > _AGE:
        return f"its timestamp is outside the tolerance of {_AGE} seconds"
    signed = "\n".join(
        (
            parts["request-id"],
            parts["user-id"],
            parts["timestamp"],
            hashlib.sha256(body).hexdigest(),
        )
    ).encode()
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
        except InvalidSignature:
            continue
        return None
    return "the signature does not match"
