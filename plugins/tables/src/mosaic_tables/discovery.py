"""At each start: look the tables up, and make the views that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from mosaic_hookspecs.errors import ConfigError, Fault
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Resource
from mosaic_tables.catalogue import look_up
from mosaic_tables.settings import Settings
from mosaic_tables.view import View

_sql = load_queries("mosaic_tables", "queries.sql")


@dataclass(frozen=True, slots=True)
class Tables:
    """Implements :class:`mosaic_hookspecs.protocols.Discovery`."""

    settings: Settings

    async def find(self, queries: Queries) -> Sequence[Resource]:
        """A resource for each table. Raises :class:`ConfigError` with the faults of all of them."""
        views, wrong = [], []
        for name, shared in self.settings.resources.items():
            try:
                views.append(View(name, shared, await look_up(queries, name, shared)))
            except ConfigError as error:
                wrong.append(error)
        if wrong:
            raise ConfigError(
                "; ".join(error.detail for error in wrong),
                faults=[fault for error in wrong for fault in error.faults],
                remedy=wrong[0].remedy,
            )
        for view in views:
            await _make(queries, view)
        return [view.resource() for view in views]


async def _make(queries: Queries, view: View) -> None:
    try:
        await queries.fetchval(_sql.make_view, view.name, view.query)
    except asyncpg.DuplicateTableError:
        where = f"plugins.tables.resources.{view.name}"
        raise ConfigError(
            f"resource {view.name!r} cannot be called so",
            faults=[Fault(where, "the gateway has a table of its own with this name")],
            remedy="choose another name for the resource",
        ) from None
