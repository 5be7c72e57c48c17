"""What makes search quick: vectors of rows, made in the background, and indexes of further languages."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mosaic_gateway.config.model import Language
from mosaic_gateway.resources.search import Searching, text_vector, vector_text
from mosaic_gateway.resources.table import Table
from mosaic_hookspecs.errors import ConfigError, MosaicError, NotFound, ReadOnly
from mosaic_hookspecs.protocols import Database, Embedder
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Job, Resource

_sql = load_queries("mosaic_gateway.resources", "search_index.sql")
_BATCH = 32  # rows
_EVERY = 5.0  # seconds until a row just written is found by its meaning, at most
_BUSY = 4.0  # seconds of embedding in one run; the rest is left to the next, so that two do not meet

log = logging.getLogger("mosaic.search")
Told = Callable[[str, int], None]  # of a resource, how many more rows have a vector


@dataclass(frozen=True, slots=True)
class Standing:
    """How far along the vectors of a resource are."""

    resource: str
    model: str | None
    rows: int
    waiting: int


async def prepare_search(
    database: Database, resources: Sequence[Resource], embedder: Embedder | None, language: Language
) -> Searching:
    """Return what searches have here; vectors of another model than the embedder's are forgotten.

    Raises :class:`ConfigError` if a resource's vectors have another number of dimensions.
    """
    walled = not await database.fetchval(_sql.words_before_walls)
    if embedder is None:
        return Searching(language, walled=walled)
    tables = await database.fetch(_sql.tables, [one.name for one in resources if one.search])
    for table in tables:
        if table["dimensions"] != embedder.dimensions:
            raise ConfigError(
                f"the vectors of {table['name']} have {table['dimensions']} dimensions, "
                f"and those of the embedder {embedder.name!r} have {embedder.dimensions}",
                remedy=f"configure an embedder with {table['dimensions']} dimensions, or none",
            )
    searching = Searching(language, embedder, frozenset(table["name"] for table in tables), walled)
    for name in searching.vectors:
        await want_anew(database, searching, name, always=False)
    return searching


async def want_anew(database: Database, searching: Searching, resource: str, *, always: bool = True) -> None:
    """Forget the vectors of a resource if they are of another model, or ``always``: its rows wait for new ones."""
    embedder = _embedder(searching, resource)
    async with database.transaction() as queries:
        if await queries.fetchval(_sql.now_of_model, resource, embedder.model, always):
            await queries.execute(_sql.forget.format(table=resource))
            await queries.execute(_sql.want_all.format(table=resource))


def index_job(database: Database, searching: Searching, resources: Sequence[Resource]) -> Job:
    """Return the job that gives a vector to every row that waits for one, after a crash as well."""

    async def run(_: Mapping[str, Any]) -> None:
        until = time.monotonic() + _BUSY
        for resource in resources:
            if resource.name in searching.vectors:
                try:
                    await embed_waiting(database, searching, resource, until=until)
                except (
                    MosaicError
                ) as error:  # the next run tries again; a failed job for each would only pile up
                    log.warning("rows of %s wait for their vectors: %s", resource.name, error.detail)

    return Job("search.index", run, every=_EVERY, attempts=1)


async def embed_waiting(
    database: Database,
    searching: Searching,
    resource: Resource,
    told: Told = lambda *_: None,
    *,
    until: float = math.inf,
) -> None:
    """Embed the rows of a resource that wait, each once, batch by batch, ``until`` then (monotonic seconds).

    Those that change meanwhile go on waiting, and so do those that it cannot be done for, which is logged.
    Raises :class:`Unavailable`.
    """
    embedder = _embedder(searching, resource.name)
    columns = ", ".join(f'r."{name}"' for name in resource.search)
    waiting = _sql.waiting.format(table=resource.name, columns=columns, batch=_BATCH)
    after = UUID(int=0)  # whoever holds up some rows holds up no others
    while time.monotonic() < until and (rows := await database.fetch(waiting, after)):
        told(resource.name, await _give_vectors(database, embedder, resource.name, rows))
        after = rows[-1]["id"]


async def _give_vectors(database: Database, embedder: Embedder, resource: str, rows: Sequence[Any]) -> int:
    """How many of these rows have a vector now."""
    try:
        vectors = await embedder.embed([row["text"] for row in rows], kind="row")
        kept = await database.fetch(
            _sql.keep.format(table=resource),
            [row["id"] for row in rows],
            [row["version"] for row in rows],
            [vector_text(vector) for vector in vectors],
        )
    except MosaicError:
        raise
    except Exception as error:  # of one row among them: its text is in nobody's log
        if len(rows) == 1:
            log.warning("row %s of %s cannot be embedded: %s", rows[0]["id"], resource, type(error).__name__)
            return 0
        return sum([await _give_vectors(database, embedder, resource, [row]) for row in rows])
    return len(kept)


async def standing(database: Database, searching: Searching) -> list[Standing]:
    """Say how far along each resource with vectors is."""
    models = {row["resource"]: row["model"] for row in await database.fetch(_sql.models)}
    found = []
    for name in sorted(searching.vectors):
        row = await database.fetchrow(_sql.status.format(table=name))
        assert row is not None  # noqa: S101 - an aggregate is one row
        found.append(Standing(name, models.get(name), row["rows"], row["waiting"]))
    return found


def language_index(resource: Resource, language: Language) -> str:
    """Return the statement that makes searches of a resource in another language than English quick.

    It may take long, and cannot run in a transaction; rows are read and written meanwhile. Raises :class:`ReadOnly`
    for a view.
    """
    if resource.view:
        raise ReadOnly(
            f"{resource.name} is a view, and has no index of its own.",
            remedy="make an index of the table that it shows",
        )
    table = Table(resource)
    text: str = _sql.language_index.format(
        table=table.name, language=language, text_vector=text_vector(table, language, "")
    )
    return text


def _embedder(searching: Searching, resource: str) -> Embedder:
    if searching.embedder is None or resource not in searching.vectors:
        raise NotFound(
            f"There are no vectors of {resource}.",
            remedy="set storage.enable_vector, and add a plugin with an embedder to the config",
        )
    return searching.embedder
