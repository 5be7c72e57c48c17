"""Whether the target holds the source's rows already, or rows of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from mosaic_migrations.tier.cutover import refuse_foreign, refuse_others
from mosaic_migrations.tier.sides import LIVE
from mosaic_migrations.tier.tables import Checked, Table, digest, occupied, read_tables


async def already_there(
    leader: asyncpg.Connection, target: asyncpg.Connection, tables: Mapping[str, Table]
) -> Sequence[Checked]:
    """All tables if the target already holds the source's rows, and nothing if it holds none.

    Raises :class:`Conflict` if it holds others, or tables of another release.
    """
    there = await read_tables(target, LIVE)
    await refuse_others(target, LIVE)
    rows_in = await occupied(target, LIVE, there)
    if there and tables.keys() <= there.keys() and rows_in == await occupied(leader, LIVE, tables):
        checked = [await _compare(leader, target, tables[name], there[name]) for name in tables]
        if all(each.source == each.target for each in checked):
            return checked
        rows_in &= {each.name for each in checked if each.source != each.target} or rows_in
    await refuse_foreign(leader, target, rows_in)
    return []


async def _compare(
    leader: asyncpg.Connection, target: asyncpg.Connection, ours: Table, theirs: Table
) -> Checked:
    names = [column.name for column in ours.columns]
    if not set(names) <= {column.name for column in theirs.columns}:
        return Checked(
            ours.name, await digest(leader, LIVE, ours, names), await digest(target, LIVE, theirs, [])
        )
    return Checked(
        ours.name, await digest(leader, LIVE, ours, names), await digest(target, LIVE, theirs, names)
    )
