"""Resources that the database itself describes: found at each start, between the migrations and the wall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from mosaic_gateway.database import Statements
from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.protocols import Discovery
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Resource

_sql = load_queries("mosaic_gateway.resources", "discovery.sql")
_LOCK = 0x6D6F73616965  # beside those of migrations and of the wall: of many processes one makes the views


async def discover(
    connection: Any, resources: Sequence[Resource], discoveries: Sequence[tuple[str, Discovery]]
) -> list[Resource]:
    """Return ``resources`` and what else is found; views that are no resource any more are dropped.

    ``connection`` is asyncpg's, of the tables' owner; each discovery is named with its plugin. Raises
    :class:`ConfigError` and :class:`Unavailable`, and has changed nothing then.
    """
    found = list(resources)
    if not discoveries and not await connection.fetchval(_sql.has_views):
        return found
    async with connection.transaction():
        await connection.execute(_sql.wait)
        await connection.execute(_sql.lock, _LOCK)
        for plugin, discovery in discoveries:
            for one in await _find(connection, plugin, discovery):
                if any(one.name == other.name for other in found):
                    raise ConfigError(
                        f"resource {one.name!r} of plugin {plugin!r} is there already",
                        remedy="rename it, or take the plugin with the other one out of the config",
                    )
                found.append(one)
        await connection.execute(_sql.drop_views, [one.name for one in found if one.view])
    return found


async def _find(connection: Any, plugin: str, discovery: Discovery) -> Sequence[Resource]:
    try:
        return await discovery.find(Statements(connection))
    except asyncpg.LockNotAvailableError:
        raise Unavailable(
            f"plugin {plugin!r}: what it shares is locked by somebody else",
            remedy="wait for the end of their change of the table, then start again",
        ) from None
    except asyncpg.PostgresError as error:  # its first line alone: the detail may quote rows
        raise ConfigError(
            f"plugin {plugin!r}: Postgres refuses what it shares: {error.args[0]}",
            remedy="`mosaic gateway doctor` says more",
        ) from error
