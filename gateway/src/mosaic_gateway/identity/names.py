"""What names may look like; the tables check the same."""

from __future__ import annotations

import re

from mosaic_hookspecs.errors import Fault, Invalid

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MAX_TEXT = 200  # characters


def check_username(value: str) -> str:
    """Return ``value``, or raise :class:`Invalid`."""
    if not _USERNAME.fullmatch(value):
        raise _invalid(
            "username", "1 to 63 ASCII letters, digits, '.', '_' or '-', starting with a letter or digit"
        )
    return value


def check_slug(value: str) -> str:
    """Return ``value``, or raise :class:`Invalid`."""
    if not _SLUG.fullmatch(value):
        raise _invalid(
            "team", "1 to 63 lower-case ASCII letters, digits or '-', starting with a letter or digit"
        )
    return value


def check_text(value: str, what: str, *, required: bool = False) -> str:
    """Return a name meant for people, or raise :class:`Invalid`."""
    if len(value) > _MAX_TEXT or not (value.isprintable() and (value.strip() or not required)):
        least = 1 if required else 0
        raise _invalid(what, f"{least} to {_MAX_TEXT} printable characters on one line")
    return value


def _invalid(what: str, expected: str) -> Invalid:
    return Invalid(
        f"The {what} is not valid.", remedy=f"use {expected}", faults=[Fault(what, f"expected {expected}")]
    )
