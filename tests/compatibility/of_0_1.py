"""A plugin built against mosaic-hookspecs 0.1: every hook of that release, and nothing of a later one.

Each hook notes its name in the file $CALLED, so that a test sees which ones a host calls.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import (
    AuditEvent,
    Decision,
    Finding,
    Job,
    Listener,
    MigrationSet,
    Mount,
    Probe,
    Rate,
    Resource,
    SealedColumn,
    Tier,
)


def note(what: str) -> None:
    with Path(os.environ["CALLED"]).open("a") as file:
        file.write(f"{what}\n")


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str = "cellar"


class Song(BaseModel):
    title: str


class Offer:
    """A storage, queue, cache and limiter that no config picks."""

    name = "of-0-1"

    async def take(self, key: str, rate: Rate) -> Decision:
        return Decision(True, 1, 0)


class Sink:
    async def record(self, event: AuditEvent) -> None: ...


class Authority:
    name = "of-0-1"

    async def root(self) -> bytes:
        return b""

    async def issue_client(self, csr: bytes, **facts: Any) -> Any: ...
    async def issue_server(self, csr: bytes, **facts: Any) -> Any: ...
    async def revoke(self, serial: str) -> None: ...
    async def crl(self) -> None: ...


@hookimpl
def mosaic_settings() -> type[Settings]:
    note("mosaic_settings")
    return Settings


@hookimpl
def mosaic_lifespan(host: Host) -> Any:
    note("mosaic_lifespan")

    @asynccontextmanager
    async def life() -> AsyncIterator[None]:
        assert host.settings(Settings).place == "cellar"
        note(f"tables: {await host.database.fetchval('SELECT count(*) FROM songs')} songs")
        sealed = host.sealer.seal(b"secret", place="songs/1/key")
        note(f"sealer: {host.sealer.open(sealed, place='songs/1/key').decode()}")
        await host.cache().publish("songs", "hello")
        note(f"limiter: {(await host.limiter().take('song', Rate('songs', 5, 60))).allowed}")
        await host.queue().enqueue(SING, {"title": "a"})
        note(f"resource: {host.rows.resource('songs').summary}")
        yield
        note("left")

    return life()


@hookimpl
def mosaic_tiers() -> list[Tier]:
    note("mosaic_tiers")
    return [Tier("of_0_1", "embedded", "nobody's")]


@hookimpl
def mosaic_storages(host: Host) -> list[Any]:
    note("mosaic_storages")
    return [Offer()]


@hookimpl
def mosaic_queues(host: Host) -> list[Any]:
    note("mosaic_queues")
    return [Offer()]


@hookimpl
def mosaic_caches(host: Host) -> list[Any]:
    note("mosaic_caches")
    return [Offer()]


@hookimpl
def mosaic_limiters(host: Host) -> list[Any]:
    note("mosaic_limiters")
    return [Offer()]


async def sing(data: Mapping[str, Any]) -> None:
    note(f"sang {data['title']}")


SING = Job("songs.sing", sing)


@hookimpl
def mosaic_jobs(host: Host) -> list[Job]:
    note("mosaic_jobs")
    return [SING]


@hookimpl
def mosaic_migrations() -> list[MigrationSet]:
    note("mosaic_migrations")
    return [MigrationSet("songs", "songs_of_0_1")]


@hookimpl
def mosaic_sealed_columns() -> list[SealedColumn]:
    note("mosaic_sealed_columns")
    return [SealedColumn("songs", "key", "id", "songs/{id}/key")]


@hookimpl
def mosaic_resources() -> list[Resource]:
    note("mosaic_resources")
    return [Resource("songs", Song, "Things to be sung", search=("title",))]


@hookimpl
def mosaic_probes(host: Host) -> list[Probe]:
    note("mosaic_probes")

    async def check() -> Finding:
        note("probe")
        return Finding("green", "in tune")

    return [Probe("tune", check, standalone=True)]


@hookimpl
def mosaic_listeners(host: Host) -> list[Listener]:
    note("mosaic_listeners")
    return [Listener("stage", "127.0.0.1", 1)]


@hookimpl
def mosaic_routes(host: Host) -> list[Mount]:
    from quart import Blueprint

    note("mosaic_routes")
    return [Mount("stage", Blueprint("songs", __name__), anonymous=True)]


@hookimpl
def mosaic_authorities(host: Host) -> list[Any]:
    note("mosaic_authorities")
    return [Authority()]


@hookimpl
def mosaic_audit_sinks(host: Host) -> list[Any]:
    note("mosaic_audit_sinks")
    return [Sink()]
