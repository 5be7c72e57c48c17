"""What a release can do, told to peers, so that two releases can talk: each asks the other for what both know.

Protocol 1 is release 0.1, which tells nothing of itself; 2 adds this document, renewals, and ways to search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Rows
from mosaic_hookspecs.types import GrantView, PeerVerb

# What a search may say, by protocol. What is dropped in silence for an older one is what that does anyway.
_SEARCH = {1: frozenset({"q", "limit"})}
_AS_EVER = {("mode", "text"), ("highlight", "false")}

_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.+-]{1,63}$")]
_Words = Annotated[tuple[_Word, ...], Field(max_length=1000)]
_Number = Annotated[int, Field(ge=1, le=1_000_000)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")  # a newer release may say more


class Protocol(_Said):
    """The versions that a release speaks."""

    min: _Number
    max: _Number

    @model_validator(mode="after")
    def _in_order(self) -> Protocol:
        if self.min > self.max:
            raise ValueError("speaks no version")
        return self


class Capabilities(_Said):
    """The document. What an older release leaves out it cannot do."""

    protocol: Protocol
    release: _Word | None = None
    verbs: _Words = ()
    search_modes: _Words = ()
    renewal: bool = False
    audit_exchange: bool = False
    resources: _Words = ()  # of the grant

    @property
    def name(self) -> str:
        """Of the release, for people."""
        return f"release {self.release}" if self.release else f"protocol {self.protocol.max}"


PROTOCOL = Protocol(min=1, max=2)
RELEASE_0_1 = Capabilities(
    protocol=Protocol(min=1, max=1), release="0.1", verbs=("list", "get", "search", "whoami")
)


@cache  # to find it, directories are read
def this_release() -> str:
    """Of the gateway that runs."""
    return version("mosaic-federation")


def capabilities_of(rows: Rows, view: GrantView) -> Capabilities:
    """What this release can do for a grant; of resources it names the grant's alone."""
    names = [name for name in rows.names() if view.scope.allows(name) and rows.resource(name).federable]
    modes = [mode for name in names for mode in rows.modes(name, view)]
    return Capabilities(
        protocol=PROTOCOL,
        release=this_release(),
        verbs=tuple(verb for verb in get_args(PeerVerb) if verb != "other"),
        search_modes=tuple(dict.fromkeys(modes)),
        renewal=True,
        audit_exchange=True,
        resources=tuple(names),
    )


def known_of(stored: Mapping[str, Any] | None) -> Capabilities | None:
    """What is on record of a peer; None: it was not asked yet."""
    try:
        return Capabilities.model_validate(stored) if stored is not None else None
    except ValidationError:  # of a release that kept something else: it is asked again
        return None


def adapted(
    known: Capabilities | None, who: str, steps: Sequence[str], params: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """``params`` as the peer's release knows them.

    Raises :class:`Unavailable`, with what it would take, for a question that it cannot be asked.
    """
    if known is None:
        return list(params)
    if known.protocol.min > PROTOCOL.max:
        raise Unavailable(
            f"{who} speaks protocol {known.protocol.min} and newer, this gateway up to {PROTOCOL.max}",
            remedy="upgrade this gateway",
        )
    known_params = _SEARCH.get(known.protocol.max) if list(steps[1:]) == ["search"] else None
    if known_params is None:
        return list(params)
    for name, value in params:
        if name not in known_params and (name, value) not in _AS_EVER:
            raise Unavailable(
                f"{who} is of {known.name}, which knows no {name!r} in a search",
                remedy=f"leave out {name!r} for it, or ask its admin for a newer release",
            )
    return [(name, value) for name, value in params if name in known_params]
