"""Which password an extension may have, and the making of one. Pure.

Wrong passwords are counted on the network, but whoever has overheard one registration can try at leisure: length is
what helps against that.
"""

from __future__ import annotations

import secrets

MIN_LENGTH = 8
MIN_DIGITS = 12
"""Shortest password of digits alone."""
MAX_LENGTH = 128

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 characters that are told apart on paper and on a phone's display: 5 bits each."""
_GENERATED_LENGTH = 16


def weakness(number: str, password: str) -> str | None:
    """Why `password` can't protect the extension `number`, as a sentence that doesn't hold it; None when it can."""
    if not (password.isascii() and password.isprintable()) or password != password.strip():
        return "It may hold letters, digits and signs of ASCII only, no space at its ends: phones can't enter others."
    if password == number:
        return "It is the number itself, which everybody tries first."
    if len(password) < MIN_LENGTH:
        return f"It has {len(password)} characters; at least {MIN_LENGTH} are needed."
    if password.isdigit() and len(password) < MIN_DIGITS:
        return f"It has digits only; then at least {MIN_DIGITS} are needed."
    if len(password) > MAX_LENGTH:
        return f"It has {len(password)} characters; at most {MAX_LENGTH} are allowed."
    return None


def generate() -> str:
    """A strong password: 80 random bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_LENGTH))
