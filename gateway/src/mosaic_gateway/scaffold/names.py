"""What a new plugin may be called."""

from __future__ import annotations

import keyword
import re
from importlib.metadata import PackageNotFoundError, distribution, entry_points

from mosaic_hookspecs import PROJECT
from mosaic_hookspecs.errors import Conflict, Malformed

_NAME = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(_[a-z0-9]+)*")  # 40: a resource's table is called like it
_WORDS = """
admin api_tokens gateway hookspecs me memberships migrations peers resources search teams testing users

all analyse analyze any array asc both case cast check collate column constraint current_date current_role current_time
current_timestamp current_user default deferrable desc distinct do end except false fetch foreign grant group having
initially intersect into lateral leading limit localtime localtimestamp null offset on only order placing primary
references returning select session_user some symmetric table then to trailing true union unique user using variadic
when window
"""
#: Parts, tables and paths of the gateway; and words that SQL keeps to itself (PostgreSQL manual, appendix C).
RESERVED = frozenset(_WORDS.split())


def normalised(name: str) -> str:
    """The name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_name(name: str) -> str:
    """Return the name of a plugin that does not exist yet.

    Raises :class:`Malformed` for what is no name, and :class:`Conflict` for one that is taken.
    """
    if not _NAME.fullmatch(name):
        raise Malformed(
            f"{name!r} is not a name for a plugin",
            remedy="use 1 to 40 lower-case letters, digits and single _ between them, such as disk_room",
        )
    if name in RESERVED or keyword.iskeyword(name) or name.startswith("tier_"):
        raise Malformed(f"{name!r} is reserved", remedy="choose another name")
    if owner := _owner(name):
        raise Conflict(f"there is a plugin {name!r} already, of {owner}", remedy="choose another name")
    return name


def _owner(name: str) -> str | None:
    """The installed distribution whose name this would be, or that offers such a plugin."""
    for point in entry_points(group=PROJECT):
        if normalised(point.name) == normalised(name):
            return point.dist.name if point.dist else point.value
    try:
        return distribution(f"mosaic-{normalised(name)}").name
    except PackageNotFoundError:
        return None
