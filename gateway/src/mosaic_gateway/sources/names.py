"""``sources=local,peer:work,peer:*``: which of them there are for a user."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.errors import Fault, Malformed, NotFound
from mosaic_hookspecs.sources import Asked, Source, SourcePage, Sources
from mosaic_hookspecs.types import User

LOCAL = "local"
LONGEST = 1000  # characters of all names in one request


@dataclass(frozen=True, slots=True)
class Local:
    """The gateway's own rows, as a source like any other."""

    rows: ResourceRows
    viewer: User
    name: str = LOCAL

    @property
    def resources(self) -> Sequence[str]:
        """Those with text to search."""
        return [name for name in self.rows.names() if self.rows.resource(name).search]

    async def list(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:  # noqa: ARG002
        """One page."""
        page = json.loads((await self.rows.list(self.viewer, resource, params)).body)
        return SourcePage(page["items"], page["next_cursor"])

    async def search(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:  # noqa: ARG002
        """The best matches first."""
        return SourcePage(json.loads((await self.rows.search(self.viewer, resource, params)).body)["items"])


@dataclass(frozen=True, slots=True)
class Named:
    """A source by its whole name, such as ``peer:work``; None: there is no such source for the user."""

    name: str
    source: Source | None


async def choose(text: str, viewer: User, local: Local, kinds: Sequence[Sources]) -> list[Named]:
    """The sources that a request names, each once, in its order. Raises :class:`Malformed`."""
    wanted = list(dict.fromkeys(text.split(",")))
    faults = [fault for part in wanted if (fault := _fault(part, [offer.kind for offer in kinds]))]
    if len(text) > LONGEST:
        faults = [Fault("sources", f"longer than {LONGEST} characters")]
    if faults:
        raise Malformed("Wrong query parameters: 'sources'.", faults=faults)
    known: dict[str, dict[str, Source]] = {LOCAL: {LOCAL: local}}
    for offer in kinds:
        if any(part.startswith(f"{offer.kind}:") for part in wanted):
            known[offer.kind] = {each.name: each for each in await offer.readable_by(viewer)}
    return list({named.name: named for part in wanted for named in _meant(part, known)}.values())


def _meant(part: str, known: dict[str, dict[str, Source]]) -> Iterator[Named]:
    kind, _, name = part.partition(":")
    if kind == LOCAL:
        yield Named(LOCAL, known[LOCAL][LOCAL])
    elif name == "*":
        for each in known[kind].values():
            yield Named(f"{kind}:{each.name}", each)
    else:
        yield Named(part, known[kind].get(name))


def _fault(part: str, kinds: Sequence[str]) -> Fault | None:
    kind, colon, name = part.partition(":")
    if part == LOCAL or (kind in kinds and name):
        return None
    shown = part[:80].encode(errors="backslashreplace").decode()
    forms = [LOCAL, *(f"{each}:*" for each in kinds)]
    near = get_close_matches(f"{kind}{colon}*" if colon else part, forms, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(forms)}"
    return Fault("sources", f"{shown!r} is no source; {hint}")


def no_such(name: str) -> NotFound:
    """For a source that is absent, and for one that is not for this user."""
    return NotFound(f"there is no source {name!r} for you", remedy="leave it out, or check its name")
