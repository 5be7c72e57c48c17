"""A list or a search over several sources, as one answer that says how each of them did."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mosaic_gateway.resources import ResourceRows, cursor
from mosaic_gateway.resources.query import DEFAULT_LIMIT, DEFAULT_SORT, MAX_LIMIT, refuse
from mosaic_gateway.sources.asking import ask_all
from mosaic_gateway.sources.merge import Order, Row, State, Stream, fuse, merge, unseen
from mosaic_gateway.sources.names import LOCAL, Local, Named, choose, no_such
from mosaic_gateway.sources.report import PASSING, Outcome
from mosaic_hookspecs.errors import Fault, Malformed
from mosaic_hookspecs.sources import Asked, Merged, Report, Sources
from mosaic_hookspecs.types import User

States = Mapping[str, State]  # by the source's name; one that is absent was read to its end
Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _List:
    """What a list asks for, wherever it is asked."""

    resource: str
    params: Params  # without the cursor, which each source has of its own
    order: Order
    limit: int
    belongs_to: bytes


class Fanout:
    """Asks sources all at once. Raises :class:`Malformed` for parameters that this gateway knows to be wrong."""

    def __init__(
        self, rows: ResourceRows, kinds: Sequence[Sources], cursor_keys: Callable[[], Sequence[bytes]]
    ) -> None:
        self._rows = rows
        self._kinds = kinds
        self._cursor_keys = cursor_keys

    @property
    def kinds(self) -> Sequence[str]:
        """Kinds of sources beside ``local``."""
        return [each.kind for each in self._kinds]

    async def list(self, viewer: User, resource: str, params: Params, sources: str, asked: Asked) -> Merged:
        """One page: sorted over all sources, equal rows by source, then by id.

        A page may hold fewer rows than its limit. A source that fails is left where it was: ``next_cursor`` asks
        it again while others have more, and its own cursor goes on with it alone.
        """
        chosen = await choose(sources, viewer, Local(self._rows, viewer), self._kinds)
        wanted = self._wanted(viewer, resource, params, sources)
        states = self._states(wanted, params.get("cursor"), chosen)
        questions = {
            named.name: partial(
                named.source.list, resource, _with_cursor(wanted.params, states[named.name]), asked
            )
            for named in chosen
            if named.source and named.name in states
        }
        outcomes = await ask_all(questions, asked.within)
        _refuse_what_we_refuse(outcomes.get(LOCAL))
        return self._page(wanted, chosen, states, outcomes)

    async def search(
        self, viewer: User, resources: Sequence[str] | None, params: Params, sources: str, asked: Asked
    ) -> Merged:
        """The best matches of every source, in turns; None asks each for all that it is known to share."""
        chosen = await choose(sources, viewer, Local(self._rows, viewer), self._kinds)
        limit = _limit(params)
        questions = {
            (named.name, resource): partial(named.source.search, resource, params, asked)
            for named in chosen
            if named.source
            for resource in (named.source.resources if resources is None else resources)
        }
        outcomes = await ask_all(questions, asked.within)
        for (name, _), outcome in outcomes.items():
            _refuse_what_we_refuse(outcome if name == LOCAL else None)
        found = [(key, outcome.page.items) for key, outcome in outcomes.items() if outcome.page]
        items = [
            {**row, "source": found[index][0][0], "resource": found[index][0][1]}
            for index, row in fuse([rows for _, rows in found], limit)
        ]
        reports = [_of_search(named, outcomes, items, told=resources is not None) for named in chosen]
        return Merged(items, reports)

    def _wanted(self, viewer: User, resource: str, params: Params, sources: str) -> _List:
        sort = params.get("sort", DEFAULT_SORT)
        given = [(name, text) for name, text in params.items() if name not in {"limit", "cursor", "sort"}]
        belongs_to = cursor.context(viewer, resource, sort, [*given, ("sources", sources)])
        without = {name: text for name, text in params.items() if name != "cursor"}
        return _List(resource, without, Order.of(sort), _limit(params), belongs_to)

    def _states(self, wanted: _List, text: str | None, chosen: Sequence[Named]) -> States:
        if text is None:
            return {named.name: State() for named in chosen}
        states = json.loads(cursor.verify(self._cursor_keys(), wanted.belongs_to, text))
        return {name: State(own, after and (after[0], after[1])) for name, (own, after) in states.items()}

    def _sealed(self, wanted: _List, states: States) -> str | None:
        if not states:
            return None
        payload = json.dumps({name: (state.cursor, state.after) for name, state in states.items()})
        return cursor.sign(self._cursor_keys()[0], wanted.belongs_to, payload.encode())

    def _page(
        self, wanted: _List, chosen: Sequence[Named], states: States, outcomes: Mapping[str, Outcome]
    ) -> Merged:
        order = wanted.order
        streams = {
            name: Stream(unseen(outcome.page.items, states[name].after, order), outcome.page.next_cursor)
            for name, outcome in outcomes.items()
            if outcome.page
        }
        names = list(streams)
        merged = merge(list(streams.values()), order, wanted.limit)
        taken = {name: sum(names[index] == name for index, _ in merged) for name in names}
        after = {name: states[name].moved(stream, taken[name], order) for name, stream in streams.items()}
        going_on = {name: state for name, state in after.items() if state}
        failed = {name: states[name] for name, each in outcomes.items() if each.status in PASSING}
        reports = [
            replace(
                _of_list(named, outcomes.get(named.name), taken.get(named.name, 0)),
                cursor=self._sealed(wanted, {n: s for n, s in failed.items() if n == named.name}),
            )
            for named in chosen
        ]
        items = [{**row, "source": names[index]} for index, row in merged]
        return Merged(items, reports, self._sealed(wanted, going_on | failed) if going_on else None)


def _with_cursor(params: Params, state: State) -> dict[str, str]:
    return {**params, **({"cursor": state.cursor} if state.cursor is not None else {})}


def _refuse_what_we_refuse(local: Outcome | None) -> None:
    """What this gateway cannot understand is the caller's to mend, not one source's trouble."""
    if local is not None and isinstance(local.error, Malformed):
        raise local.error


def _limit(params: Params) -> int:
    text = params.get("limit", str(DEFAULT_LIMIT))
    good = (
        text.isascii()
        and text.isdecimal()
        and len(text) <= len(str(MAX_LIMIT))
        and 1 <= int(text) <= MAX_LIMIT
    )
    refuse([] if good else [Fault("limit", f"expected a number from 1 to {MAX_LIMIT}")])
    return int(text)


def _of_list(named: Named, outcome: Outcome | None, rows: int) -> Report:
    if named.source is None:
        return _unknown(named)
    if outcome is None:
        return Report(named.name, "ok", detail="no more rows")
    age = outcome.page.age if outcome.page else None
    return _report(named.name, outcome, rows, age)


def _of_search(
    named: Named, outcomes: Mapping[tuple[str, str], Outcome], items: Sequence[Row], *, told: bool
) -> Report:
    """Of all resources of a source the worst. One that nobody named may be absent there, or without text."""
    if named.source is None:
        return _unknown(named)
    own = {resource: outcome for (name, resource), outcome in outcomes.items() if name == named.name}
    if not told and any(outcome.page for outcome in own.values()):
        own = {name: each for name, each in own.items() if each.status not in {"absent", "invalid"}}
    if not own:
        return Report(named.name, "ok", detail="it shares nothing to search")
    ages = [outcome.page.age for outcome in own.values() if outcome.page]
    worst = max(own.values(), key=lambda outcome: (outcome.page is None, outcome.status == "stale"))
    rows = sum(item["source"] == named.name for item in items)
    slowest = max(outcome.seconds for outcome in own.values())
    return _report(named.name, replace(worst, seconds=slowest), rows, max(ages, default=None))


def _report(name: str, outcome: Outcome, rows: int, age: float | None) -> Report:
    return Report(
        name,
        outcome.status,
        rows,
        latency_ms=round(outcome.seconds * 1000, 1),
        age_s=None if age is None else round(age, 3),
        detail=outcome.detail,
        remedy=outcome.remedy,
    )


def _unknown(named: Named) -> Report:
    error: Any = no_such(named.name)
    return Report(named.name, "unknown", detail=error.detail, remedy=error.remedy)
