"""Whether each table still is what is shared, and whether its indexes help. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Host, Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Finding, Probe
from mosaic_tables.catalogue import look_up
from mosaic_tables.settings import Settings, SharedTable
from mosaic_tables.view import View

_sql = load_queries("mosaic_tables", "queries.sql")
_NOBODY = "'00000000-0000-0000-0000-000000000000'::uuid"


def probes(host: Host) -> Iterable[Probe]:
    """One for each table of the config."""
    return [_probe(host, name, shared) for name, shared in host.settings(Settings).resources.items()]


def _probe(host: Host, name: str, shared: SharedTable) -> Probe:
    async def check() -> Finding:
        async with host.database.transaction() as queries:
            return await examine(queries, name, shared)

    return Probe(f"tables.{name}", check)


async def examine(queries: Queries, name: str, shared: SharedTable) -> Finding:
    """Look at one table, within a transaction."""
    try:
        view = View(name, shared, await look_up(queries, name, shared))
    except ConfigError as error:
        return Finding("red", "; ".join([error.detail, *map(str, error.faults)]), error.remedy)
    state = await queries.fetchrow(_sql.state, name, view.query)
    if state is None or not state["there"]:
        return Finding(
            "red", f"the view of {shared.table} is not there", "start the gateway: it makes it then"
        )
    if not state["same"]:
        return Finding("red", f"{shared.table} or its config has changed since", "start the gateway again")
    if view.found.unguarded:
        return _unguarded(view)
    if missing := [index async for index in _missing(queries, view)]:
        reads = ", ".join(reason for reason, _ in missing)
        return Finding(
            "yellow", f"all of {shared.table} is read for {reads}", "; ".join(sql for _, sql in missing)
        )
    return Finding("green", f"{shared.table}, {len(shared.fields)} columns, read only")


def _unguarded(view: View) -> Finding:
    """Rows that the operator has closed by policies of his own are open to the gateway's role."""
    force = f"ALTER TABLE {view.found.quoted} FORCE ROW LEVEL SECURITY"
    another = "run the gateway with a role that is no superuser and has no BYPASSRLS"
    return Finding(
        "yellow",
        f"the row-level security of {view.shared.table} is passed by: the gateway's role is "
        + ("above all policies" if view.found.above_policies else "its owner"),
        another if view.found.above_policies else f"{force}; or give the table to another owner",
    )


async def _missing(queries: Queries, view: View) -> Any:
    """What no index serves, and the statement that makes one: asked of Postgres itself."""
    if not view.found.large:
        return
    await queries.execute(_sql.as_without_tables)
    indexed = await queries.fetchval(_sql.searches_use_indexes)
    for reason, condition, index in _wanted(view, searches=bool(indexed)):
        plan = await queries.fetchval(
            f'EXPLAIN (VERBOSE, FORMAT JSON) SELECT FROM mosaic."{view.name}" r WHERE {condition}'
        )
        if any(_scans(json.loads(plan)[0]["Plan"])):
            yield reason, f"CREATE INDEX CONCURRENTLY ON {view.found.quoted} {index}"


def _wanted(view: View, *, searches: bool) -> Iterator[tuple[str, str, str]]:
    """What the gateway asks for, as a condition, and the index that answers it."""
    shared = view.shared
    yield "a single row", f"r.id = {_NOBODY}", f"(({view.id_sql('')}))"
    owner = view.column(shared.owner).quoted
    yield "the rows of an owner", f"r.team_id IS NULL AND r.owner_id = {_NOBODY}", f"({owner})"
    if shared.team is not None:
        yield "the rows of a team", f"r.team_id = {_NOBODY}", f"({view.column(shared.team).quoted})"
    if searches and shared.search:
        yield "a search", "r.search_vector @@ 'word'::tsquery", f"USING gin (({view.words_sql('')}))"


def _scans(plan: dict[str, Any]) -> Iterator[bool]:
    """For each step whether it reads a whole table that is not the gateway's."""
    yield plan["Node Type"] == "Seq Scan" and plan.get("Schema") != "mosaic"
    for inner in plan.get("Plans", ()):
        yield from _scans(inner)
