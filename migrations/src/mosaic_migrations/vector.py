"""The extension pgvector: made once, where the config wants it, before any migration."""

from __future__ import annotations

import asyncpg

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.sql import load_queries

_sql = load_queries("mosaic_migrations", "queries.sql")


async def has_vector(conn: asyncpg.Connection) -> bool:
    """Whether this database has the extension."""
    return bool(await conn.fetchval(_sql.has_vector))


async def create_vector(conn: asyncpg.Connection) -> None:
    """Create the extension unless it is there. Safe to repeat; the caller holds the migrations' lock.

    Raises :class:`ConfigError` if the server does not have it or the role may not create it.
    """
    try:
        await conn.execute(_sql.create_vector)
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError):
        raise ConfigError(
            "the Postgres server has no pgvector, and storage.enable_vector is on",
            remedy="install it on the server (Debian: apt install postgresql-<version>-pgvector), or set "
            "storage.enable_vector to false",
        ) from None
    except asyncpg.InsufficientPrivilegeError:
        raise ConfigError(
            "this role may not create the extension pgvector",
            remedy="as a superuser, once, in the gateway's database: CREATE EXTENSION vector",
        ) from None
