"""Scopes as people write and read them: names in, one checked :class:`Scope` out, and back into words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from pydantic import ValidationError

from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.protocols import Rows
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import Team


@dataclass(frozen=True, slots=True)
class ScopeRequest:
    """A scope as it is asked for: teams by slug, exclusions as ``resource`` or ``resource/row-id``."""

    resources: tuple[str, ...]
    teams: tuple[str, ...] = ()
    all_teams: bool = False
    personal: bool = False
    exclude: tuple[str, ...] = ()
    max_rows: int = 100


@lru_cache(maxsize=1024)
def parse_scope(text: str) -> Scope:
    """A scope as stored. Cached: the same few are read at every request."""
    return Scope.model_validate_json(text)


def build_scope(wanted: ScopeRequest, rows: Rows, teams: Sequence[Team]) -> Scope:
    """Check ``wanted`` against what this gateway has and the subject is a member of.

    Raises :class:`Invalid` with a fault for every wrong place.
    """
    faults = [
        *_unknown(wanted.resources, "scope.resources", "resource", _federable(rows)),
        *_unknown(
            [name.partition("/")[0] for name in wanted.exclude],
            "scope.excluded_resources",
            "resource",
            _federable(rows),
        ),
        *_unknown(wanted.teams, "scope.include_teams", "team of the subject", [team.slug for team in teams]),
    ]
    if wanted.all_teams and wanted.teams:
        faults.append(Fault("scope.include_teams", "name teams or take them all, not both"))
    if faults:
        raise _invalid(faults)
    ids = {team.slug: team.id for team in teams}
    try:
        return Scope(
            resources=wanted.resources,
            excluded_resources=wanted.exclude,
            include_teams="all" if wanted.all_teams else tuple(ids[slug] for slug in wanted.teams),
            include_personal=wanted.personal,
            max_rows_per_query=wanted.max_rows,
        )
    except ValidationError as error:
        raise _invalid([_fault(found["loc"], found["msg"]) for found in error.errors()]) from None


def in_words(scope: Scope, teams: Sequence[Team]) -> list[str]:
    """One line for each rule, for whoever is about to accept or to offer it."""
    allowed = [name for name in scope.resources if scope.allows(name)]
    withheld = [name for name in scope.excluded_resources if "/" in name]
    lines = [f"read, list and search {_and(allowed)}"]
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
    return lines


def _federable(rows: Rows) -> list[str]:
    return [name for name in rows.names() if rows.resource(name).federable]


def _unknown(names: Sequence[str], path: str, what: str, known: Sequence[str]) -> Iterator[Fault]:
    for index, name in enumerate(names):
        if name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
            yield Fault(f"{path}[{index}]", f"{name!r} is no {what} that can be shared; {hint}")


def _fault(loc: tuple[int | str, ...], message: str) -> Fault:
    path = "scope" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return Fault(path, message.removeprefix("Value error, "))


def _invalid(faults: Sequence[Fault]) -> Invalid:
    return Invalid("the scope is not valid", faults=faults, remedy="mend the places above")


def _and(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
