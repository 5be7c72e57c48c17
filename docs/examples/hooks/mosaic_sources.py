from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sources import Asked, Source, SourcePage, Sources
from mosaic_hookspecs.types import User


@dataclass(frozen=True)
class Almanac:
    """Sayings, searched with ``sources=almanac:sayings``."""

    name: str = "sayings"
    resources: Sequence[str] = ("notes",)

    async def list(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        if resource not in self.resources:
            raise NotFound(f"the almanac has no {resource}")
        return SourcePage([{"id": "may", "title": "A cool May fills the barn"}])

    async def search(self, resource: str, params: Mapping[str, str], asked: Asked) -> SourcePage:
        page = await self.list(resource, params, asked)
        return SourcePage([row for row in page.items if params["q"].lower() in row["title"].lower()])


@dataclass(frozen=True)
class Almanacs:
    """The same one for every user."""

    kind: str = "almanac"

    async def readable_by(self, viewer: User) -> Sequence[Source]:
        return [Almanac()]


@hookimpl
def mosaic_sources(host: Host) -> list[Sources]:
    return [Almanacs()]
