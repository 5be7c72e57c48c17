"""What would have changed if a grant had had another scope: its recent requests, from the audit log, asked again.

The log keeps no query, only its hash. So a row asked for by its id is told from that id's hash, and of a list or a
search no more than whether its resource would still be there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from mosaic_federation.grants import Grants
from mosaic_federation.scopes import build_scope
from mosaic_hookspecs.errors import Invalid
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView, Survey

Outcome = Literal["answered", "refused", "not known"]

_EVERY = 1000  # audit rows between two words of progress


@dataclass(frozen=True, slots=True)
class Replayed:
    """Requests of one kind, and what would become of them."""

    verb: str
    resource: str
    before: Outcome
    after: Outcome
    requests: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A resource, under the scope as it is and as it is proposed."""

    resource: str
    rows_now: int
    rows_then: int
    hidden_columns: tuple[str, ...]  # shown now, and then no more


@dataclass(frozen=True, slots=True)
class Simulation:
    """Everything there is to tell."""

    since: datetime
    requests: tuple[Replayed, ...]
    resources: tuple[Changed, ...]

    @property
    def lost(self) -> int:
        """Requests that were answered and then would be refused."""
        return sum(
            each.requests for each in self.requests if (each.before, each.after) == ("answered", "refused")
        )


async def simulate(
    host: Host, grant_id: UUID, written: Mapping[str, object], *, days: int, progress: Callable[[int], None]
) -> Simulation:
    """Replay ``days`` of a grant's requests against another scope. Changes nothing.

    ``progress`` is told how many were read. Raises :class:`NotFound`, and :class:`Invalid` for what is no scope.
    """
    grant = await Grants(host).show(grant_id)
    view = grant.view
    if view is None:
        raise Invalid(
            f"this release cannot read the scope of grant {grant_id}", remedy="give it another first"
        )
    proposed = GrantView(
        view.grant_id,
        view.subject_id,
        build_scope(written, host.rows, await host.identity.teams_of(view.subject_id)),
    )
    since = datetime.now(UTC) - timedelta(days=days)
    asked: Counter[tuple[str, str, str, str]] = Counter()
    read = 0
    async for row in host.audit_log().rows_of(grant_id, since=since):
        said = json.loads(row.payload)
        if said["verb"] in {"list", "search", "get"}:
            asked[said["verb"], said["resource"], said["query_hash"], said["outcome"]] += 1
        read += 1
        if read % _EVERY == 0:
            progress(read)
    progress(read)
    names = [name for name in host.rows.names() if name in {*view.scope.resources, *proposed.scope.resources}]
    ids = {name: {q for verb, resource, q, _ in asked if (verb, resource) == ("get", name)} for name in names}
    now = {name: await host.rows.survey(view, name, ids[name]) for name in names}
    then = {name: await host.rows.survey(proposed, name, ids[name]) for name in names}
    resources = tuple(
        Changed(name, now[name].rows, then[name].rows, tuple(_hidden(host, name, view.scope, proposed.scope)))
        for name in names
    )
    return Simulation(since, tuple(_replayed(asked, proposed.scope, now, then)), resources)


def _replayed(
    asked: Counter[tuple[str, str, str, str]],
    scope: Scope,
    now: Mapping[str, Survey],
    then: Mapping[str, Survey],
) -> Iterator[Replayed]:
    kinds: Counter[tuple[str, str, Outcome, Outcome]] = Counter()
    for (verb, resource, query, outcome), times in asked.items():
        before: Outcome = "answered" if outcome == "ok" else "refused"
        kinds[verb, resource, before, _after(verb, resource, query, before, scope, now, then)] += times
    for kind, times in sorted(kinds.items()):
        yield Replayed(*kind, times)


def _after(
    verb: str,
    resource: str,
    query: str,
    before: Outcome,
    scope: Scope,
    now: Mapping[str, Survey],
    then: Mapping[str, Survey],
) -> Outcome:
    if resource not in then or not scope.allows(resource):
        return "refused"
    if verb != "get":  # one that was refused may have been wrong in itself, or by a name it may use then
        return "answered" if before == "answered" else "not known"
    if query in then[resource].known:
        return "answered"
    # A row that is not there any more would be refused under either scope.
    return "refused" if query in now[resource].known or before == "refused" else "not known"


def _hidden(host: Host, name: str, now: Scope, then: Scope) -> list[str]:
    columns = then.columns(name)
    if columns is None or not (now.allows(name) and then.allows(name)):
        return []
    before = now.columns(name) or {*host.rows.resource(name).columns}
    return sorted(before - columns)
