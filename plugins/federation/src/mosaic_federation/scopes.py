"""Scopes as people write and read them: text or options in, one checked :class:`Scope` out, and back into words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from pydantic import ValidationError

from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.protocols import Rows
from mosaic_hookspecs.scope import (
    LONGEST,
    Scope,
    gateway_faults,
    like_credentials,
    scope_path,
    shape_faults,
    unknown,
)
from mosaic_hookspecs.types import Team

LONGEST_TEXT = 262_144  # characters


@dataclass(frozen=True, slots=True)
class ScopeRequest:
    """Parts of a scope as options give them: teams by slug, columns as ``tasks=title,status``.

    What is empty or None was not given.
    """

    resources: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    all_teams: bool = False
    personal: bool | None = None
    exclude: tuple[str, ...] = ()
    max_rows: int | None = None
    fields: tuple[str, ...] = ()
    max_rows_per_day: int | None = None
    expires_at: datetime | None = None
    days: int | None = None  # another way to say expires_at


def parse_scope(text: str) -> Scope:
    """A scope as stored. Raises :class:`Invalid` if it is none."""
    try:
        return _parse(text)
    except ValidationError as error:
        raise _invalid(shape_faults(error)) from None


@lru_cache(maxsize=1024)
def _parse(text: str) -> Scope:
    """Cached: the same few are read at every request."""
    return Scope.model_validate_json(text)


def read_scope(text: str) -> Mapping[str, object]:
    """Read a scope as JSON, unchecked but for what a parsed object can no longer show.

    Raises :class:`Invalid` for text that is no JSON object, or names a key twice.
    """
    if len(text) > LONGEST_TEXT:
        raise _invalid([Fault("scope", f"has more than {LONGEST_TEXT} characters")])
    try:
        value = json.loads(text, object_pairs_hook=_Object)
        faults = list(_twice(value))
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _invalid([Fault("scope", f"is not JSON{where}")]) from None
    if not isinstance(value, dict):
        faults = [Fault("scope", "expected a JSON object")]
    if faults:
        raise _invalid(faults)
    return dict(value)


def build_scope(
    wanted: ScopeRequest | Mapping[str, object],
    rows: Rows,
    teams: Sequence[Team] | None,
    *,
    base: Scope | None = None,
) -> Scope:
    """Check ``wanted`` against what this gateway has, and the teams that the subject is in; None: not known.

    ``wanted`` are options, or a scope's JSON as :func:`read_scope` returns it; what it leaves out is taken
    from ``base``. Raises :class:`Invalid` with a fault for every wrong place.
    """
    now = datetime.now(UTC)
    faults: list[Fault] = []
    written = _written(wanted, teams or (), now, faults) if isinstance(wanted, ScopeRequest) else wanted
    kept = base.model_dump(mode="json") if base else {}
    try:
        scope = Scope.model_validate_json(json.dumps({**kept, **written}))
    except ValidationError as error:
        raise _invalid(faults + shape_faults(error)) from None
    ids = None if teams is None else [team.id for team in teams]
    faults += gateway_faults(scope, shared_columns(rows), ids, now)
    if faults:
        raise _invalid(faults)
    return scope


def shared_columns(rows: Rows) -> dict[str, tuple[str, ...]]:
    """The columns of each resource that peers may see at all."""
    resources = [rows.resource(name) for name in rows.names() if not like_credentials(name)]
    return {each.name: each.columns for each in resources if each.federable}


def in_words(scope: Scope, teams: Sequence[Team]) -> list[str]:
    """One line for each rule, for whoever is about to accept or to offer it."""
    allowed = [name for name in scope.resources if scope.allows(name)]
    withheld = [name for name in scope.excluded_resources if "/" in name]
    lines = [f"read, list and search {_and(allowed)}"]
    for name in allowed:
        if name in scope.fields:
            others = [column for column in scope.fields[name] if column != "id"]
            lines.append(f"of {name} only {_and(['id', *others])}")
    if scope.include_personal:
        lines.append("rows that are the subject's own")
    if scope.include_teams == "all":
        lines.append("rows of every team the subject is a member of")
    elif scope.include_teams:
        slugs = {team.id: team.slug for team in teams}
        lines.append(f"rows of {_and([slugs.get(team, f'team {team}') for team in scope.include_teams])}")
    if withheld:
        lines.append(f"never {_and(withheld)}")
    lines.append(f"at most {scope.max_rows_per_query} rows per query")
    if scope.max_rows_per_day is not None:
        lines.append(f"at most {scope.max_rows_per_day} rows per day (UTC)")
    if scope.expires_at is not None:
        lines.append(f"until {scope.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    return lines


def _written(
    wanted: ScopeRequest, teams: Sequence[Team], now: datetime, faults: list[Fault]
) -> dict[str, object]:
    ends = wanted.expires_at
    if wanted.days is not None:
        if ends is not None:
            faults.append(Fault("scope.expires_at", "give an end or a number of days, not both"))
        if not 1 <= wanted.days <= LONGEST.days:
            faults.append(Fault("days", f"expected 1 to {LONGEST.days}"))
        else:
            ends = now + timedelta(days=wanted.days)
    parts = {
        "resources": list(wanted.resources) or None,
        "excluded_resources": list(wanted.exclude) or None,
        "include_teams": _teams(wanted, teams, faults),
        "include_personal": wanted.personal,
        "fields": _fields(wanted.fields, faults),
        "max_rows_per_query": wanted.max_rows,
        "max_rows_per_day": wanted.max_rows_per_day,
        "expires_at": ends.isoformat() if ends else None,
    }
    return {name: value for name, value in parts.items() if value is not None}


def _teams(wanted: ScopeRequest, teams: Sequence[Team], faults: list[Fault]) -> object:
    ids = {team.slug: str(team.id) for team in teams}
    for index, slug in enumerate(wanted.teams):
        if slug not in ids:
            words = unknown(slug, "team of the subject", ids)
            faults.append(Fault(f"scope.include_teams[{index}]", words))
    if wanted.all_teams and wanted.teams:
        faults.append(Fault("scope.include_teams", "name teams or take them all, not both"))
    if wanted.all_teams:
        return "all"
    return [ids[slug] for slug in wanted.teams if slug in ids] or None


def _fields(given: Sequence[str], faults: list[Fault]) -> object:
    fields: dict[str, list[str]] = {}
    for text in given:
        resource, sign, columns = text.partition("=")
        if not sign:
            faults.append(Fault("scope.fields", f"{text[:80]!a}: expected RESOURCE=COLUMN,COLUMN"))
        fields.setdefault(resource, []).extend(columns.split(","))
    return fields or None


class _Object(dict[str, object]):
    """A JSON object that remembers which names it was given more than once."""

    def __init__(self, pairs: Sequence[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]


def _twice(value: object, *path: str | int) -> Iterator[Fault]:
    if isinstance(value, _Object):
        for name in value.twice:
            yield Fault(scope_path((*path, name)), "the key is there more than once")
        for name, inner in value.items():
            yield from _twice(inner, *path, name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _twice(inner, *path, index)


def _invalid(faults: Sequence[Fault]) -> Invalid:
    return Invalid("the scope is not valid", faults=faults, remedy="mend the places above")


def _and(names: Sequence[str]) -> str:
    if not names:
        return "nothing"
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
