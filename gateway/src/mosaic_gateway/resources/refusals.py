"""What Postgres refuses, said in the project's errors: without a value, and without another user's row."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from mosaic_gateway.resources.peers import Reads
from mosaic_gateway.resources.table import Table
from mosaic_hookspecs.errors import Conflict, Fault, Invalid, Unavailable

log = logging.getLogger("mosaic.resources")


@contextmanager
def translated(table: Table) -> Iterator[None]:
    """Turn constraint violations of a write into :class:`Conflict` and :class:`Invalid`."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == f"{table.name}_external_id_key":
            raise Conflict(
                f"A row of {table.name} in this place already has this external_id.",
                remedy="update that row, or choose another external_id",
            ) from None
        raise Conflict(f"{table.name} already has a row with these values.") from None
    except asyncpg.TransactionRollbackError:  # a deadlock with another writer
        raise Conflict("The change met another change of the same rows.", remedy="try it again") from None
    except asyncpg.ForeignKeyViolationError:
        raise not_your_team(table) from None
    except asyncpg.ProgramLimitExceededError:
        raise Invalid(f"A text is too long for {table.name}.", remedy="split it") from None
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.exceptions.DataError) as error:
        where = f"/{error.column_name}" if getattr(error, "column_name", None) else ""
        rule = getattr(error, "constraint_name", None) or "the type of its column"
        raise Invalid(
            f"The row is not valid for {table.name}.", faults=[Fault(where, f"breaks the rule {rule}")]
        ) from None


@dataclass(frozen=True, slots=True)
class OfView:
    """Implements :class:`Reads`. A view shows what others keep, and may take away, close or break at any time.

    Then it raises :class:`Unavailable`, and the log says why; never with Postgres' words about a value, which may be
    of anybody's row.
    """

    reads: Reads
    name: str

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All records."""
        with self._still_there():
            return await self.reads.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any | None:
        """The first record, or None."""
        with self._still_there():
            return await self.reads.fetchrow(query, *args)

    @contextmanager
    def _still_there(self) -> Iterator[None]:
        try:
            yield
        except asyncpg.PostgresError as error:
            names_objects = isinstance(error, asyncpg.SyntaxOrAccessError)
            why = error.args[0] if names_objects else f"{type(error).__name__} ({error.sqlstate})"
            log.warning("resource %s: %s", self.name, why)
            raise Unavailable(
                f"{self.name} cannot be read at the moment",
                remedy="tell the gateway's admin: `mosaic gateway doctor` says what has changed",
            ) from None


def not_your_team(table: Table) -> Invalid:
    """One error for a team that does not exist and for one the user is not in."""
    return Invalid(
        f"The row is not valid for {table.name}.",
        faults=[Fault("/team_id", "you are in no team with this id")],
    )
