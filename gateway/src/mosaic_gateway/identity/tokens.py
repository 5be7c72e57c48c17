"""API tokens as text: ``mos_<prefix>_<secret>``. The prefix names a token, the secret proves it."""

from __future__ import annotations

import hashlib
import re
import secrets
import string

_TOKEN = re.compile(r"mos_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_PREFIX_LETTERS = string.ascii_lowercase + string.digits


def make() -> tuple[str, str]:
    """Return a new token (256 random bits) and its prefix."""
    prefix = "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(8))
    return f"mos_{prefix}_{secrets.token_urlsafe(32)}", prefix


def prefix_of(token: str) -> str | None:
    """Return the prefix, or None for what cannot be a token."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def digest(token: str) -> bytes:
    """SHA-256: enough for 256 random bits, where a password would need a slow hash."""
    return hashlib.sha256(token.encode()).digest()
