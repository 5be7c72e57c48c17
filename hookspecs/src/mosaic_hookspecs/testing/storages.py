"""What every storage has to do. Needs a way to ask the Postgres it gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

import pytest

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.protocols import Queries, Storage
from mosaic_hookspecs.redaction import redact
from mosaic_hookspecs.types import DatabaseLocation

Make = Callable[[], Storage]
Connect = Callable[[DatabaseLocation], AbstractAsyncContextManager[Queries]]


class StorageContract:
    """Inherit from this and give it fixtures: ``make`` returns one more storage over the same place, as another
    process would have; ``connect`` opens a connection to a location; ``unusable`` returns one that cannot be used,
    such as one whose password file is missing, and ``secrets`` what its settings hold.

    The place is written to: a table of its own, which is dropped again.
    """

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        """What its settings hold and no error may tell."""
        return ()

    def test_it_has_a_name(self, make: Make) -> None:
        assert make().name
        assert make().name.isprintable()

    @pytest.mark.parametrize("serving", [True, False], ids=["gateway", "command"])
    async def test_it_gives_a_postgres_that_answers(
        self, make: Make, connect: Connect, serving: bool
    ) -> None:
        """PostgreSQL 15 or newer, in UTF-8, to a gateway and to a command that finds none running."""
        async with make().open(serving=serving) as location, connect(location) as sql:
            assert await sql.fetchval("SELECT current_setting('server_version_num')::int") >= 150_000
            assert await sql.fetchval("SELECT current_setting('server_encoding')") == "UTF8"

    async def test_what_was_written_is_there_when_it_is_opened_again(
        self, make: Make, connect: Connect
    ) -> None:
        table = f"contract_{uuid4().hex}"
        storage = make()
        async with storage.open(serving=True) as location, connect(location) as sql:
            await sql.execute(f"CREATE TABLE {table} AS SELECT 7 AS number")
        for again in (storage, make()):
            async with again.open(serving=True) as location, connect(location) as sql:
                assert await sql.fetchval(f"SELECT number FROM {table}") == 7  # noqa: S608 - a name of our own
        async with make().open(serving=False) as location, connect(location) as sql:
            await sql.execute(f"DROP TABLE {table}")

    async def test_a_command_reaches_what_a_gateway_has_open(self, make: Make, connect: Connect) -> None:
        table = f"contract_{uuid4().hex}"
        async with make().open(serving=True) as location, connect(location) as sql:
            await sql.execute(f"CREATE TABLE {table} AS SELECT 7 AS number")
            for _ in range(2):
                async with make().open(serving=False) as joined, connect(joined) as command:
                    assert await command.fetchval(f"SELECT number FROM {table}") == 7  # noqa: S608
            assert await sql.fetchval(f"SELECT number FROM {table}") == 7  # noqa: S608
            await sql.execute(f"DROP TABLE {table}")

    async def test_an_error_inside_comes_out_and_it_opens_again(self, make: Make, connect: Connect) -> None:
        with pytest.raises(LookupError):
            async with make().open(serving=True):
                raise LookupError
        async with make().open(serving=True) as location, connect(location) as sql:
            assert await sql.fetchval("SELECT 1") == 1

    async def test_it_opens_after_an_opening_that_was_cancelled(self, make: Make, connect: Connect) -> None:
        async def hold() -> None:
            async with make().open(serving=True):
                await asyncio.sleep(3600)

        for turns in (1, 5, 50):
            task = asyncio.ensure_future(hold())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task}, timeout=30)
            assert task.done(), "it goes on opening after it was cancelled"
            assert task.cancelled(), f"it raised {task.exception()!r} when it was cancelled"
        async with make().open(serving=True) as location, connect(location) as sql:
            assert await sql.fetchval("SELECT 1") == 1

    async def test_its_location_shows_no_password(self, make: Make, secrets: Sequence[str]) -> None:
        async with make().open(serving=False) as location:
            shown = repr(location)
            assert not location.password or location.password not in shown
            assert not [secret for secret in secrets if secret in shown]

    async def test_what_cannot_be_used_is_refused_with_a_remedy(
        self, unusable: Make, secrets: Sequence[str]
    ) -> None:
        """As ``ConfigError`` or ``Unavailable``, while it is made or opened, and without any secret."""
        with pytest.raises((ConfigError, Unavailable)) as caught:
            async with asyncio.timeout(30), unusable().open(serving=True):
                pass
        said = str(caught.value)
        assert caught.value.remedy, "it does not say what to do"
        assert redact(said) == said, f"it tells what looks like a secret: {redact(said)}"
        assert not [secret for secret in secrets if secret in said], "it tells a secret"
