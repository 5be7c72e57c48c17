"""A Postgres that is there already: found by a URL, entered with a password from the URL or a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.postgres_url import PostgresURL, parse_postgres_url
from mosaic_hookspecs.secret_file import read_secret
from mosaic_hookspecs.types import DatabaseLocation, StorageTarget


class PostgresStorage:
    """Implements :class:`mosaic_hookspecs.protocols.Storage`. Starts nothing and stops nothing."""

    name = "postgres"

    def __init__(self, target: StorageTarget) -> None:
        self._target = target
        self._url = _parse(target) if target.type == self.name else None

    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:  # noqa: ARG002 - nobody owns it
        """Read the secrets. Raises :class:`ConfigError` for a file that cannot be used."""
        assert self._url is not None  # noqa: S101 - only the storage the config asks for is opened
        file = self._target.password_file
        yield self._url.location(read_secret(file, where="storage.password_file") if file else None)


def _parse(target: StorageTarget) -> PostgresURL:
    if target.url is None:
        raise ConfigError(
            "storage.url: the storage 'postgres' needs one",
            remedy="set it to postgresql://USER@HOST/DATABASE",
        )
    url = parse_postgres_url(target.url)
    if url.password and target.password_file:
        raise ConfigError(
            "storage: there is a password in url, and password_file names another",
            remedy="take one of them out of the config",
        )
    return url
