"""Changing keys while the gateway runs: a new key, every secret sealed anew with it, old keys taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mosaic_gateway.sealing.keyring import MAGIC, Keyring
from mosaic_gateway.sealing.keys import ENVIRONMENT, KeyFile
from mosaic_hookspecs.errors import ConfigError, Conflict, Fault
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import SealedColumn

LOCK_ID = 0x6D6F7365616C  # "moseal" in ASCII; the same for every gateway that shares a database
SETTLING = timedelta(
    minutes=2
)  # what was sealed with an old key is stored by then: statements end within 30 s

Progress = Callable[[str, int], None]  # the column under way, and how many rows were sealed anew so far

_BATCH = 100  # rows
_sql = load_queries("mosaic_gateway.sealing", "rotation.sql")


@dataclass(frozen=True, slots=True)
class Count:
    """How many values of a column are sealed with a key."""

    table: str
    column: str
    key: str | None  # None: what is there is not sealed
    envelopes: int
    declared: bool  # whether a loaded plugin says that the column holds sealed data


@dataclass(slots=True)
class Report:
    """What a rotation did."""

    key: str  # the active one
    added: bool  # whether it is new; else an earlier rotation was finished
    resealed: int = 0
    faults: list[Fault] = field(default_factory=list)  # where is the place of what does not open
    unknown: list[Count] = field(default_factory=list)  # sealed with another key, and no loaded plugin's


async def lock(connection: Queries) -> None:
    """Let only one at a time change keys, until ``connection`` is closed. Raises :class:`Conflict`."""
    if not await connection.fetchval(_sql.try_lock, LOCK_ID):
        raise Conflict("another rotation is under way", remedy="wait for it to end")


async def count(sql: Queries, columns: Sequence[SealedColumn]) -> list[Count]:
    """What is sealed with which key: in the declared columns, and in any other that holds envelopes."""
    declared = {(column.table, column.column) for column in columns}
    found = [(row["table"], row["column"]) for row in await sql.fetch(_sql.bytea_columns)]
    counts = []
    for table, column in sorted({*declared, *found}):
        known = (table, column) in declared
        for row in await sql.fetch(_fill("count", table, column), MAGIC):
            key = None if row["key"] is None else row["key"].decode("utf-8", "replace")
            if known or key is not None:
                counts.append(Count(table, column, key, row["envelopes"], known))
    return counts


async def rotate(
    sql: Queries, keyring: Keyring, columns: Sequence[SealedColumn], progress: Progress
) -> Report:
    """Add a key, or take up the rotation that was interrupted, and seal every secret with the active key.

    A row that changes meanwhile is never overwritten. The caller holds :func:`lock`.
    Raises :class:`ConfigError` if the keys come from the environment and there is nothing to seal anew.
    """
    file, keys = keyring.file, keyring.keys
    added = file is not None and not keys.unfinished
    if file is None and all(each.key == keys.active for each in await count(sql, columns)):
        raise ConfigError(
            f"the keys come from {ENVIRONMENT}, and all is sealed with its active key",
            remedy="add a key there, restart every process, make it active, restart again; then run this again",
        )
    if file is not None and added:
        file.write(replace(keys.with_new(), unfinished=True))
    report = Report(keyring.keys.active, added)
    for column in columns:
        await _reseal(sql, keyring, column, progress, report)
    counts = await count(sql, columns)
    report.unknown = [each for each in counts if not each.declared and each.key != report.key]
    if file is not None:
        file.write(replace(keyring.keys, unfinished=False))
    return report


async def retire(sql: Queries, keyring: Keyring, columns: Sequence[SealedColumn]) -> list[str]:
    """Forget every key but the active one; return their ids. The caller holds :func:`lock`.

    Raises :class:`Conflict` while anything in the database is sealed with one of them, or could be in a moment.
    """
    keys = keyring.keys
    old = sorted(set(keys.keys) - {keys.active})
    if not old:
        return []
    file = _file_of(keyring)
    if keys.unfinished:
        raise Conflict("a rotation was begun and has not ended", remedy="run `mosaic secrets rotate`")
    if (since := keys.made.get(keys.active)) and datetime.now(UTC) - since < SETTLING:
        raise Conflict(
            "the active key is so new that a request under way may still store what the old one sealed",
            remedy=f"try again {SETTLING.seconds} s after the rotation began",
        )
    used = [each for each in await count(sql, columns) if each.key in old]
    if used:
        raise Conflict(
            "old keys are still in use: what is sealed with them could never be opened again",
            faults=[Fault(f"{u.table}.{u.column}", f"{u.envelopes} with {u.key}{_why(u)}") for u in used],
            remedy="run `mosaic secrets rotate`; load the plugin whose table it is; erase what does not open",
        )
    file.write(keys.without(set(old)))
    return old


def _file_of(keyring: Keyring) -> KeyFile:
    if keyring.file is None:
        raise ConfigError(
            f"the keys come from {ENVIRONMENT}: no command can change it",
            remedy="take out there what `mosaic secrets status` shows as old and unused, and restart",
        )
    return keyring.file


def _why(count: Count) -> str:
    return "" if count.declared else ", and no loaded plugin says how to seal it anew"


async def _reseal(
    sql: Queries, keyring: Keyring, column: SealedColumn, progress: Progress, report: Report
) -> None:
    """Go through a column until no row changed at the very moment it was to be sealed anew."""
    header = keyring.header()
    stale = _fill("stale", column.table, column.column, column.key)
    swap = _fill("swap", column.table, column.column, column.key)
    changed = True
    while changed:
        changed, last, faults = False, None, list[Fault]()
        while rows := await sql.fetch(stale, last, header, len(header), _BATCH):
            for row in rows:
                place = column.place_of(row["key"])
                try:
                    plain = keyring.open(row["sealed"], place=place)
                except ConfigError as error:
                    faults.append(Fault(place, error.detail.removeprefix(f"{place}: ")))
                    continue
                sealed = keyring.seal(plain, place=place)
                if await sql.execute(swap, row["key"], sealed, row["sealed"]) == "UPDATE 1":
                    report.resealed += 1
                else:
                    changed = True
            progress(f"{column.table}.{column.column}", report.resealed)
            last = rows[-1]["key"]
    report.faults += faults


def _fill(query: str, table: str, column: str, key: str = "") -> str:
    quoted = {
        k: '"' + v.replace('"', '""') + '"' for k, v in (("table", table), ("column", column), ("key", key))
    }
    text: str = getattr(_sql, query)
    return text.format_map(quoted)
