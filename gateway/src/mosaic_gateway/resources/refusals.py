"""What Postgres refuses, said in the project's errors: without a value, and without another user's row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from mosaic_gateway.resources.table import Table
from mosaic_hookspecs.errors import Conflict, Fault, Invalid


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


def not_your_team(table: Table) -> Invalid:
    """One error for a team that does not exist and for one the user is not in."""
    return Invalid(
        f"The row is not valid for {table.name}.",
        faults=[Fault("/team_id", "you are in no team with this id")],
    )
