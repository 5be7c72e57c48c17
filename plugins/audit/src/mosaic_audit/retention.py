"""Old months go as a whole; a signed checkpoint says up to which row each stream was given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from mosaic_audit.checkpoints import Span, sign, sign_all
from mosaic_audit.key import load_key, public
from mosaic_audit.stored import Stored
from mosaic_audit.verifying import verify
from mosaic_hookspecs.errors import Conflict
from mosaic_hookspecs.protocols import Host, Queries
from mosaic_hookspecs.sql import load_queries

_LOCKED = "55P03"  # Postgres: lock_not_available

_sql = load_queries("mosaic_audit", "queries.sql")


@dataclass(frozen=True, slots=True)
class Retired:
    """What went."""

    partition: str
    ended: datetime


async def old_months(host: Host, before: datetime) -> Sequence[Retired]:
    """Partitions that ended by ``before``, oldest first."""
    return [
        Retired(row["name"], row["ends"]) for row in await host.database.fetch(_sql.past_partitions, before)
    ]


async def retire(
    host: Host, before: datetime, archive: Callable[[int], Awaitable[None]] | None = None
) -> Sequence[Retired]:
    """Drop the partitions that ended by ``before``; return them, oldest first.

    First a checkpoint is signed that gives up their rows; ``archive`` is awaited with its number, and if it raises
    the rows stay. Interrupted at any moment, the same call goes on. Raises :class:`Conflict` if the rows cannot go
    as a whole, if the log does not hold, if someone reads it for longer than 2 s, or does the same at this moment.
    """
    async with host.database.transaction() as alone:  # another's archive would lack what is dropped meanwhile
        if not await alone.fetchval(_sql.retire_alone):
            raise Conflict(
                "old months are being dropped by another process",
                remedy="wait until it has ended, and look again",
            )
        return await _retire(host, before, archive)


async def _retire(
    host: Host, before: datetime, archive: Callable[[int], Awaitable[None]] | None
) -> Sequence[Retired]:
    old = await old_months(host, before)
    if not old:
        return []
    await sign_all(host)
    async with host.database.transaction() as sql:
        await sql.execute(_sql.one_snapshot)  # what is signed is what was verified
        await _refuse_if_broken(sql, host)
        spans = [_given_up(row) for row in await sql.fetch(_sql.last_before, old[-1].ended)]
    if spans:
        async with host.database.transaction() as sql:
            await sql.execute(_sql.lock_checkpoints)
            await sign(sql, host, spans)
    number = await host.database.fetchval(_sql.latest_retirement)
    if archive and number:
        await archive(number)
    await _drop(host, old)
    return old


async def _refuse_if_broken(sql: Queries, host: Host) -> None:
    """Once rows are given up, nobody can tell any more what was done to them, or which were given up in their place."""
    key = await load_key(sql, host.sealer)
    for report in await verify(Stored(sql), public(key) if key else None):
        if report.broken_at is not None:
            where = f"stream {report.stream}" if report.stream else "its checkpoints"
            raise Conflict(
                f"the log does not hold, so nothing was given up: {where}, {report.broken_at}: {report.problem}",
                remedy="run `mosaic audit verify`, and find out who changed the log",
            )


def _given_up(row: Any) -> Span:
    if row["out_of_order"] or not row["covered"]:
        why = "goes on in an earlier month" if row["out_of_order"] else "is still written to"
        raise Conflict(
            f"the old months cannot be dropped: stream {row['stream']} {why}", remedy="choose an earlier time"
        )
    return Span(row["stream"], 1, row["last"], row["head"], sha256(b"").digest(), retired=True)


async def _drop(host: Host, old: Sequence[Retired]) -> None:
    try:
        async with host.database.transaction() as sql:
            await sql.execute(_sql.impatient)
            for each in old:
                await sql.execute(f'DROP TABLE "{each.partition}"')
    except Exception as error:
        if getattr(error, "sqlstate", "") != _LOCKED:
            raise
        raise Conflict(
            "somebody reads the log, so nothing was dropped", remedy="try again when no query or export runs"
        ) from None
