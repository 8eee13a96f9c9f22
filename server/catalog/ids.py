"""Opaque ids."""

import secrets


def new_id(noun: str) -> str:
    """A new id that says what it names: `as_3f…`; 80 random bits, nothing to guess."""
    return f"{noun}_{secrets.token_hex(10)}"
